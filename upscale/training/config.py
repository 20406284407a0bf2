"""TRAIN.yaml: everything that decides a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from upscale.drivers.features import FEATURE_SETS, FEATURES, REQUIRED

#: Networks (`upscale.network.networks.architectures`) and boosted trees, as releases name them.
Model = Literal["tamrl", "tamlstm", "ct-lstm", "tamrl-carbonfluxbench", "xgboost", "lightgbm"]

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowSettings(_Section):
    """Windows in days, as `upscale.network.windows.WindowRule`."""

    length: Count = 45
    stride: Count = 15


#: What a model leaves no choice about: none of these has a history of the place, and trees see
#: one day at a time. The released code of the paper's authors uses windows of 30 days.
_GIVEN: dict[str, dict[str, Any]] = {
    "tamlstm": {"context": "query"},
    "ct-lstm": {"context": "query"},
    "tamrl-carbonfluxbench": {"context": "query", "window": WindowSettings(length=30, stride=15)},
    "xgboost": {"context": "query", "window": WindowSettings(length=1, stride=1)},
    "lightgbm": {"context": "query", "window": WindowSettings(length=1, stride=1)},
}


class Holdout(_Section):
    """share: of the clusters, kept for judging; folds: validation folds of the others."""

    share: Share = 0.22
    seed: int = 4
    folds: Annotated[int, Field(ge=2)] = 5


class NetworkSettings(_Section):
    """Sizes of a network; one takes those that it has. Channels and classes follow from data."""

    hidden: Count = 64
    latent: Count = 16
    encoder_hidden: Count = 32
    generator_hidden: Count = 32
    layers: Count = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    class_skip: bool = False


class Draw(_Section):
    """One step: `towers` towers of `windows` query windows and `support` support windows each,
    the latter from one to `years` random years."""

    towers: Count = 32
    windows: Count = 8
    support: Count = 8
    years: Count = 3


class Augmentation(_Section):
    """How training inputs are spoilt, so that the run's are not strange.

    hide_optional: share of places whose optional feature is hidden, for each feature;
    unknown_class: share of classes turned to unknown; offset: standard deviation of a
    constant shift of the features in `noisy`, per place and step, in scaled units;
    embedding: standard deviation of noise added to z.
    """

    hide_optional: Share = 0.15
    unknown_class: Share = 0.2
    offset: Annotated[float, Field(ge=0)] = 0.0
    embedding: Annotated[float, Field(ge=0)] = 0.0
    noisy: tuple[str, ...] = ("ta", "sw_in", "vpd", "p")


class LossWeights(_Section):
    """alpha: weight of the carbon balance; class_power: 1 = inverse class frequencies as in
    the paper, 0 = none; variance_power: towers weigh by the inverse of the variance of their
    fluxes to this power, 1 = as by R2, 0 = as by squared error; days: how many last days of a
    window count; embedding: weight of the mean square of z."""

    alpha: Annotated[float, Field(ge=0)] = 0.1
    class_power: Annotated[float, Field(ge=0, le=1)] = 0.5
    variance_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    days: Count = 15
    embedding: Annotated[float, Field(ge=0)] = 0.0


class Stage(_Section):
    """One stage of training: AdamW, a cosine from `rate` to a tenth of it, early stopping.

    epochs of `steps` steps; patience: epochs without a better validation; decay: weight decay;
    clip: largest norm of a gradient; average: decay of the running mean of the weights that is
    validated and kept, 0 = the weights themselves.
    """

    rate: Annotated[float, Field(gt=0)] = 1e-3
    epochs: Count = 20
    steps: Count = 40
    patience: Count = 8
    decay: Annotated[float, Field(ge=0)] = 1e-2
    clip: Annotated[float, Field(gt=0)] = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.98


class Pretraining(Stage):
    """A stage before the others, for the encoder alone, on drivers alone: two support sets of a
    place from different windows are to be told from those of other places (see
    `upscale.training.networks.pretraining`). temperature: of the contrast."""

    temperature: Annotated[float, Field(gt=0)] = 0.2


class CardText(_Section):
    """What the model card says beyond what is computed: texts, one bullet each."""

    failures: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()


class TrainConfig(_Section):
    """A training run.

    data: folder of towers; out: folder of the release; model: what is trained; features: a set
    by name (met, met+modis, met+vi) or names in order; optional: those that may be missing, by
    default all but temperature, radiation and what latitude and day give; members: trained with
    different seeds and validation folds; cross_validation: 0, or the number of folds by which all
    towers are judged (`upscale.training.crossvalidate`): nothing is then held out from the
    release but suspect towers. Models of one stage (tamlstm, ct-lstm) are trained by
    `joint_stage`, the long one, so that they are rivals with as many steps. ValueError where
    `context` or `window` are not what the model asks for; left out, they are.
    """

    name: str
    data: Path
    out: Path
    model: Model = "tamrl"
    features: tuple[str, ...] = FEATURE_SETS["met"]
    optional: tuple[str, ...] = ()
    context: Literal["support-years", "query"] = "support-years"
    seed: int = 1
    members: Count = 5
    workers: Count = 1
    cross_validation: Annotated[int, Field(ge=0)] = 0
    window: WindowSettings = WindowSettings()
    holdout: Holdout = Holdout()
    network: NetworkSettings = NetworkSettings()
    draw: Draw = Draw()
    augmentation: Augmentation = Augmentation()
    loss: LossWeights = LossWeights()
    pretraining: Pretraining | None = None
    decoder_stage: Stage = Stage(epochs=10)
    joint_stage: Stage = Stage(epochs=40)
    boosting_rounds: Count = 1000
    card: CardText = CardText()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        names = _feature_names(raw.get("features", "met"))
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

    ValueError (pydantic's ValidationError among them) names the key at fault. Relative paths
    are taken from the working directory.
    """
    text = Path(path).read_text(encoding="utf-8")
    raw = yaml.safe_load(text) or {}
    for override in overrides:
        _apply(raw, override)
    return TrainConfig.model_validate(raw)


def _apply(raw: dict[str, Any], override: str) -> None:
    key, sign, value = override.partition("=")
    if not sign:
        raise ValueError(f"expected key=value, found {override!r}, e.g. joint_stage.epochs=20")
    *parents, last = key.split(".")
    for name in parents:
        raw = raw.setdefault(name, {})
    raw[last] = yaml.safe_load(value)
