"""TRAIN.yaml: the configuration of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from upscale.drivers.features import FEATURE_SETS, FEATURES, REQUIRED
from upscale.jobs.settings import Strict, parse, read_yaml

#: Networks (`upscale.network.networks.architectures`) and boosted trees, as releases name them.
Model = Literal["tamrl", "tamlstm", "ct-lstm", "tamrl-carbonfluxbench", "xgboost", "lightgbm"]

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

#: Width of a layer, and number of layers: beyond, a network is built without an end.
Width = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=100)]


class WindowSettings(Strict):
    """Windows in days, as `upscale.network.windows.WindowRule`."""

    length: Count = 45
    """Days of a window."""
    stride: Count = 15
    """Days at its end that are used."""


#: What a model leaves no choice about: none of these has a history of the place, and trees see
#: one day at a time. The released code of the paper's authors uses windows of 30 days.
_GIVEN: dict[str, dict[str, Any]] = {
    "tamlstm": {"context": "query"},
    "ct-lstm": {"context": "query"},
    "tamrl-carbonfluxbench": {"context": "query", "window": WindowSettings(length=30, stride=15)},
    "xgboost": {"context": "query", "window": WindowSettings(length=1, stride=1)},
    "lightgbm": {"context": "query", "window": WindowSettings(length=1, stride=1)},
}


class Holdout(Strict):
    """Which clusters are left out for evaluation, and which ones decide when members stop."""

    share: Share = 0.22
    """Share of the clusters left out for evaluation."""
    seed: int = 4
    """Seed of the draw of these clusters."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the learning clusters that members stop by."""


class NetworkSettings(Strict):
    """Sizes of a network; each kind uses its own. Channels and classes follow from data."""

    hidden: Width = 64
    """Width of the decoder."""
    latent: Width = 16
    """Width of the task embedding z."""
    encoder_hidden: Width = 32
    """Width of each direction of the encoder."""
    generator_hidden: Width = 32
    """Width of the generator's hidden layer."""
    layers: Depth = 1
    """Layers of the decoder."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the decoder's states that are dropped in training."""
    class_skip: bool = False
    """Classes enter z directly, too, and not only through the encoder (`tamrl`)."""


class Draw(Strict):
    """The sample drawn for one training step."""

    towers: Count = 32
    """Towers of a step, each as likely as any other."""
    windows: Count = 8
    """Windows of each tower to predict."""
    support: Count = 8
    """Windows of the support set of each tower."""
    years: Count = 3
    """Most random years that the support windows of a tower come from."""


class Augmentation(Strict):
    """How training inputs are degraded, so that a network learns the faults of a run's inputs."""

    hide_optional: Share = 0.15
    """Share of places that lose an optional feature, for each feature."""
    unknown_class: Share = 0.2
    """Share of classes turned to unknown."""
    offset: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of a shift of `noisy` features, per place and step, scaled."""
    embedding: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of noise on z."""
    noisy: tuple[str, ...] = ("ta", "sw_in", "vpd", "p")
    """Features that are shifted."""


class LossWeights(Strict):
    """What the loss weighs."""

    alpha: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the carbon balance."""
    class_power: Annotated[float, Field(ge=0, le=1)] = 0.5
    """1: classes weigh by their inverse frequency, as in the paper; 0: all alike."""
    variance_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Towers weigh by the inverse variance of their fluxes to this power. 1: as by R2; 0: as by
    squared error."""
    days: Count = 15
    """Last days of a window that count."""
    embedding: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean square of z."""


class Stage(Strict):
    """One stage of training: AdamW, a cosine from `rate` to a tenth of it, early stopping."""

    rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate at the start; it falls along half a cosine to a tenth."""
    epochs: Count = 20
    """Most epochs."""
    steps: Count = 40
    """Steps of an epoch."""
    patience: Count = 8
    """Epochs without a better validation before the stage ends."""
    decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of AdamW."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of a gradient."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """Decay of the running mean of the weights, which is what is validated and kept; 0: the weights
    themselves."""


class Pretraining(Stage):
    """A stage before the others, for the encoder alone, on drivers alone: two support sets of a
    place from different windows are to be told from those of other places (see
    `upscale.training.networks.pretraining`)."""

    temperature: Annotated[float, Field(gt=0)] = 0.2
    """Temperature of the contrast."""


class CardText(Strict):
    """What the model card says beyond what is computed: texts, one bullet each."""

    failures: tuple[str, ...] = ()
    """Bullets for the card: where it fails."""
    tried: tuple[str, ...] = ()
    """Bullets for the card: what did not help."""
    citations: tuple[str, ...] = ()
    """Sources to cite beside those of the towers."""


class TrainConfig(Strict):
    """A training run.

    Models of one stage (tamlstm, ct-lstm) are trained by `joint_stage`, the long one, so that they
    are compared after as many steps. ValueError where `context` or `window` are not what the model
    asks for; left out, they are.
    """

    name: str
    """Name of the release."""
    data: Path
    """Folder of towers."""
    out: Path
    """Folder of the release."""
    model: Model = "tamrl"
    """What is trained."""
    features: tuple[str, ...] = FEATURE_SETS["met"]
    """A set by name (`met`, `met+modis`, `met+vi`), or a list in the order of the inputs."""
    optional: tuple[str, ...] = ()
    """Features that may be missing. Left out: all but temperature, radiation and what follows from
    place and day."""
    context: Literal["support-years", "query"] = "support-years"
    """What the encoder reads: the history of the place, or `query`, the window itself."""
    seed: int = 1
    """Member n has seed + n."""
    members: Count = 5
    """Networks, or draws of boosted trees. Member n stops by fold n of the learning clusters,
    counted around."""
    workers: Count = 1
    """Members that train side by side, each in a process of its own on one thread."""
    cross_validation: Annotated[int, Field(ge=0)] = 0
    """Folds of clusters used to evaluate all towers; the release then learns from all but
    suspect towers. 0: it is evaluated on the clusters held out."""
    window: WindowSettings = WindowSettings()
    """Windows; left out: those that the model asks for."""
    holdout: Holdout = Holdout()
    """Which clusters of towers are left out."""
    network: NetworkSettings = NetworkSettings()
    """Sizes of the network."""
    draw: Draw = Draw()
    """The sample drawn for one training step."""
    augmentation: Augmentation = Augmentation()
    """How training inputs are degraded."""
    loss: LossWeights = LossWeights()
    """What the loss weighs."""
    pretraining: Pretraining | None = None
    """A stage for the encoder alone, before the others. Left out: there is none."""
    decoder_stage: Stage = Stage(epochs=10)
    """The decoder without a task embedding."""
    joint_stage: Stage = Stage(epochs=40)
    """The whole network; of models with one stage, that one."""
    boosting_rounds: Count = 1000
    """Trees of XGBoost and LightGBM, also as baselines."""
    card: CardText = CardText()
    """What the model card says beyond what is computed."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        names = _feature_names(raw.get("features", "met"))
        if not isinstance(names, list | tuple):
            return raw
        optional = [name for name in names if name not in REQUIRED]
        given = {"optional": optional} | _GIVEN.get(str(raw.get("model")), {})
        return given | raw | {"features": names}

    @field_validator("features")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        strange = [name for name in names if name not in FEATURES]
        if strange:
            raise ValueError(f"unknown: {', '.join(strange)}; known: {', '.join(FEATURES)}")
        return names

    @model_validator(mode="after")
    def _suits_the_model(self) -> TrainConfig:
        for key, needed in _GIVEN.get(self.model, {}).items():
            if getattr(self, key) != needed:
                raise ValueError(
                    f"expected {key} {needed!r} with model {self.model}, found "
                    f"{getattr(self, key)!r}: leave {key} out"
                )
        return self


def _feature_names(given: Any) -> Any:
    """The names of a feature set; anything but a name is left to the checks that follow."""
    if not isinstance(given, str):
        return given
    if given not in FEATURE_SETS:
        raise ValueError(f"unknown feature set {given!r}; known: {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[given]


def stages_of(config: TrainConfig) -> tuple[tuple[str, Stage], ...]:
    """The stages of a network in order.

    `pretrain`: the encoder alone, on drivers alone, where `pretraining` is given; `decoder`: no
    task embedding; `joint`: with it. TAMLSTM is the second alone, CT-LSTM the third alone.
    """
    alone = {"tamlstm": "decoder", "ct-lstm": "joint"}
    if config.model in alone:
        return ((alone[config.model], config.joint_stage),)
    before = (("pretrain", config.pretraining),) if config.pretraining else ()
    return (*before, ("decoder", config.decoder_stage), ("joint", config.joint_stage))


def with_model(config: TrainConfig, model: Model) -> TrainConfig:
    """The same run for another model, with the window and context that this one asks for.

    A rule that only the older model asked for stays: begin with a configuration of `tamrl`.
    """
    return config.model_copy(update={"model": model, **_GIVEN.get(model, {})})


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read TRAIN.yaml; `key=value` overrides, dots for nested keys, values are YAML.

    ConfigError names every key that is missing, unknown or wrong. Relative paths are taken from
    the working directory.
    """
    content = read_yaml(Path(path), overrides, "a TRAIN.yaml")
    return parse(TrainConfig, content, f"{path} cannot be trained from")
