"""`release.yaml`: the model of a release, its scaling, its drivers and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from upscale.network.boosting.trees import TREES, TreesConfig
from upscale.network.classes import Classes
from upscale.network.networks.architectures import ARCHITECTURES, Architecture
from upscale.network.releases.resolve import ReleaseError
from upscale.network.scaler import Feature, FluxScale, Scaler
from upscale.network.support import SupportRule, Years
from upscale.network.uncertainty.calibration import Calibration
from upscale.network.windows import WindowRule
from upscale.stores.broken import BROKEN, in_short
from upscale.variables import FLUXES

#: Every model that a release may hold.
MODELS = (*ARCHITECTURES, *TREES)


#: Widest layer and most layers of a network: beyond, it is built without an end before its weights
#: are looked at.
_MOST_SIZE, _MOST_LAYERS = 1_000_000, 100

#: Faults that are listed.
_MOST_FAULTS = 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WindowSpec(_Strict):
    """The window rule, in days; see `upscale.network.windows`."""

    length: int = 45
    stride: int = 15

    @property
    def rule(self) -> WindowRule:
        return WindowRule(self.length, self.stride)


class ContextSpec(_Strict):
    """What the encoder reads: support years, or the query window itself.

    years, most_years, window, windows_per_year: see `upscale.network.support`; unused with the
    rule `query`.
    """

    rule: Literal["support-years", "query"] = "support-years"
    years: Years = "auto"
    most_years: int = Field(default=3, ge=1)
    window: int = Field(default=45, ge=1)
    windows_per_year: int = Field(default=8, ge=1)

    @property
    def support_rule(self) -> SupportRule:
        return SupportRule(self.years, self.most_years, self.window, self.windows_per_year)


class _File(_Strict):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class WeightsFile(_File):
    """Tensors beside `release.yaml`."""

    file: str = Field(pattern=r"^[\w.-]+\.safetensors$")


class TreesFile(_File):
    """One regressor beside `release.yaml`, in the format of its library."""

    file: str = Field(pattern=r"^[\w.-]+\.(json|txt)$")


class LearnedPlace(_Strict):
    """Location in degrees of a site whose fluxes the weights were trained on."""

    name: str = Field(min_length=1)
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=360)


def _parse_sizes(value: Any, info: ValidationInfo) -> Any:
    """The sizes of the model that the field `model` names."""
    model = info.data.get("model")
    if model is None:  # the error of the field `model` is enough
        return value
    config: Any = TreesConfig if model in TREES else ARCHITECTURES[model]
    try:
        sizes = TypeAdapter(config).validate_python(value)
    except ValidationError as error:
        raise ValueError(faults_of(error, "sizes")) from None
    for name, size in vars(sizes).items():
        most = _MOST_LAYERS if name == "layers" else _MOST_SIZE
        if isinstance(size, int) and not 0 <= size <= most:
            raise ValueError(f"{name}: expected at most {most:,}, found {size}")
    return sizes


class ReleaseSpec(_Strict):
    """`release.yaml` without the list of files: all that training knows of the ensemble.

    model: a name in `upscale.network.networks.architectures` or a library of boosted trees, whose
    sizes `architecture` holds; training_digest: of the training data; seeds: one for each
    member, in order; skill: scores of each flux at left-out towers; held_out: clusters of towers
    that the weights were not trained on; learned: sites that they were trained on, and
    learned_places: the locations of these sites; calibration: of the spread, at left-out towers.
    """

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    model: str = "tamrl"
    architecture: Annotated[Architecture | TreesConfig, PlainValidator(_parse_sizes)]
    features: tuple[Feature, ...]
    fluxes: tuple[FluxScale, ...]
    classes: Classes
    window: WindowSpec = WindowSpec()
    context: ContextSpec = ContextSpec()
    day_definition: Literal["local-standard", "utc"] = "local-standard"
    training_digest: str
    training_settings: dict[str, Any] = {}
    code_version: str
    seeds: tuple[int, ...] = Field(min_length=1)
    skill: dict[str, dict[str, float]] = {}
    held_out: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    learned_places: tuple[LearnedPlace, ...] = ()
    calibration: Calibration | None = None
    citations: tuple[str, ...] = ()

    @property
    def is_trees(self) -> bool:
        """Whether the members are boosted trees rather than networks."""
        return self.model in TREES

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"expected one of {', '.join(MODELS)}, found {model!r}")
        return model

    @model_validator(mode="after")
    def _sizes_agree(self) -> ReleaseSpec:
        """Refuse an architecture whose inputs are not the features and classes of the release."""
        sizes, scaler = self.architecture, Scaler(self.features, self.fluxes)
        if isinstance(sizes, TreesConfig):
            key, needed, found = "features", len(self.features), sizes.features
        else:
            key, needed, found = "channels", scaler.channels, sizes.channels
        if (found, sizes.classes) != (needed, self.classes.width):
            raise ValueError(
                f"architecture.{key} and architecture.classes: the features and classes "
                f"give {(needed, self.classes.width)}, found {(found, sizes.classes)}"
            )
        return self

    @model_validator(mode="after")
    def _trees_see_single_days(self) -> ReleaseSpec:
        window = self.window.length, self.window.stride
        if self.is_trees and (window != (1, 1) or self.context.rule != "query"):
            raise ValueError(
                f"trees see one day at a time: expected window 1, 1 and context query, found "
                f"{window} and {self.context.rule}"
            )
        return self


class ReleaseManifest(ReleaseSpec):
    """`release.yaml`.

    weights: of networks; trees: the regressors for gpp, reco and nee of each member in turn;
    applicability: None if the release has no area of applicability.
    """

    weights: WeightsFile | None = None
    trees: tuple[TreesFile, ...] = ()
    applicability: WeightsFile | None = None

    @model_validator(mode="after")
    def _names_its_members(self) -> ReleaseManifest:
        regressors = len(FLUXES) * len(self.seeds) if self.is_trees else 0
        if (self.weights is None, len(self.trees)) != (self.is_trees, regressors):
            raise ValueError(
                f"weights and trees: expected {'no' if self.is_trees else 'a'} file of weights "
                f"and {regressors} of trees with model {self.model} and {len(self.seeds)} seeds, "
                f"found {'no' if self.weights is None else 'a'} file and {len(self.trees)}"
            )
        return self


#: The safe loader in C, where PyYAML has it: a release that lists its towers is long.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_manifest(text: bytes, path: Path) -> ReleaseManifest:
    """A checked `release.yaml`; ReleaseError lists all faults and names `path`."""
    try:
        content = yaml.load(text, Loader=_YAML)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = str(error)[:500]
        raise ReleaseError(f"{path} is not YAML ({found}): fetch the release again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != 1:
        raise ReleaseError(
            f"{path}: expected schema_version 1, found {repr(version)[:50]}: use a version of "
            "upscale that reads this schema, or a release made for this version"
        )
    try:
        return ReleaseManifest.model_validate(content)
    except ValidationError as error:
        raise ReleaseError(
            f"{path} does not describe a model that this version can run: "
            f"{faults_of(error, 'release')}. Correct the file or fetch the release again"
        ) from None
    except BROKEN as error:
        raise ReleaseError(
            f"{path}: expected the description of a model, found something else "
            f"({in_short(error)}): fetch the release again"
        ) from error


def faults_of(error: ValidationError, whole: str) -> str:
    """The first faults in one line; whole: name for a fault that concerns no single key."""
    return "; ".join(
        f"{'.'.join(str(part)[:60] for part in fault['loc']) or whole}: {fault['msg'][:600]}"
        for fault in error.errors()[:_MOST_FAULTS]
    )
