"""Model releases: a folder that says all that is needed to run an ensemble.

`release.yaml` (what it is, how to scale, what to feed), `members.safetensors` (the weights,
stacked on a leading member axis), `CARD.md` and `skill.csv` (for people). Nothing is pickled,
and nothing is used before its digest, names, units and shapes are checked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors.torch
import torch
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
from torch import Tensor

from upscale.network.architectures import ARCHITECTURES, Architecture, Network
from upscale.network.calibration import Calibration
from upscale.network.classes import Classes
from upscale.network.resolve import MANIFEST, ReleaseError, find_release
from upscale.network.scaler import Feature, FluxScale, Scaler
from upscale.network.support import SupportRule, Years
from upscale.network.windows import WindowRule

__all__ = [
    "ContextSpec", "Release", "ReleaseError", "ReleaseManifest", "ReleaseSpec", "WeightsFile",
    "WindowSpec", "find_release", "load_release", "save_release",
]  # fmt: skip

WEIGHTS = "members.safetensors"
APPLICABILITY = "applicability.safetensors"
CARD = "CARD.md"
SKILL = "skill.csv"

#: Makes torch.load run pickled code even where the caller asked for weights alone.
UNSAFE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


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

    years, most_years, window, windows_per_year: see `upscale.network.support`; they mean
    nothing under the rule `query`.
    """

    rule: Literal["support-years", "query"] = "support-years"
    years: Years = "auto"
    most_years: int = Field(default=3, ge=1)
    window: int = Field(default=45, ge=1)
    windows_per_year: int = Field(default=8, ge=1)

    @property
    def support_rule(self) -> SupportRule:
        return SupportRule(self.years, self.most_years, self.window, self.windows_per_year)


class WeightsFile(_Strict):
    """The weights beside `release.yaml`."""

    file: str = Field(pattern=r"^[\w.-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


def _parse_sizes(value: Any, info: ValidationInfo) -> Any:
    """The sizes of the network that the field `model` names."""
    config = ARCHITECTURES.get(info.data.get("model", ""))
    if config is None:  # the field `model` says what is wrong
        return value
    try:
        return TypeAdapter(config).validate_python(value)
    except ValidationError as error:
        raise ValueError(_faults(error, "sizes")) from None


class ReleaseSpec(_Strict):
    """All of `release.yaml` but the files beside it: what training knows of its ensemble.

    model: a name in `upscale.network.architectures`, whose sizes `architecture` holds;
    training_digest: of the training data; seeds: one for each member, in order; skill: per
    flux, numbers on towers left out; held_out: clusters of towers that the weights never saw;
    learned: sites whose fluxes they saw; calibration: of the spread, on towers left out.
    """

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    model: str = "tamrl"
    architecture: Annotated[Architecture, PlainValidator(_parse_sizes)]
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
    calibration: Calibration | None = None
    citations: tuple[str, ...] = ()

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if model not in ARCHITECTURES:
            raise ValueError(f"expected one of {', '.join(ARCHITECTURES)}, found {model!r}")
        return model

    @model_validator(mode="after")
    def _sizes_agree(self) -> ReleaseSpec:
        needed = Scaler(self.features, self.fluxes).channels, self.classes.width
        found = self.architecture.channels, self.architecture.classes
        if found != needed:
            raise ValueError(
                "architecture.channels and architecture.classes: the features and classes "
                f"give {needed}, found {found}"
            )
        return self


class ReleaseManifest(ReleaseSpec):
    """`release.yaml`."""

    weights: WeightsFile
    applicability: WeightsFile | None = None


@dataclass(frozen=True)
class Release:
    """A checked release. weights: {name: `(member, ...)`}, float32, on the CPU.

    applicability: the tensors of `upscale.network.applicability` as they were saved, empty
    where the release has none;
    digest: sha256 over `release.yaml` and the digest of the weights; it names this release in
    the provenance of everything that is made with it.
    """

    path: Path
    manifest: ReleaseManifest
    weights: Mapping[str, Tensor]
    digest: str
    applicability: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def members(self) -> int:
        return len(self.manifest.seeds)

    @property
    def classes(self) -> Classes:
        return self.manifest.classes

    @property
    def window_rule(self) -> WindowRule:
        return self.manifest.window.rule

    @property
    def support_rule(self) -> SupportRule:
        return self.manifest.context.support_rule

    @cached_property
    def scaler(self) -> Scaler:
        return Scaler(self.manifest.features, self.manifest.fluxes)

    @property
    def spec(self) -> ReleaseSpec:
        """The description without its files, as `save_release` takes it."""
        files = {"weights", "applicability"}
        return ReleaseSpec.model_validate(self.manifest.model_dump(exclude=files))

    def networks(self) -> list[Network]:
        """The members as networks of their own, in evaluation mode."""
        return [self._network(member) for member in range(self.members)]

    def _network(self, member: int) -> Network:
        network = self.manifest.architecture.build()
        network.load_state_dict({name: stack[member] for name, stack in self.weights.items()})
        return network.eval()


def save_release(
    folder: Path,
    spec: ReleaseSpec,
    members: Sequence[Mapping[str, Tensor]],
    card: str,
    skill: str,
    applicability: Mapping[str, Tensor] | None = None,
) -> Release:
    """Write a release and load it back.

    members: `state_dict()` of each network, in the order of `spec.seeds`; card: Markdown;
    skill: the text of `skill.csv`; applicability: tensors for `applicability.safetensors`.
    A release that is there already is replaced, weights first, `release.yaml` last.
    ReleaseError where the members do not fit the description.
    """
    if len(members) != len(spec.seeds):
        raise ReleaseError(f"expected one seed for each of {len(members)} members: {spec.seeds}")
    weights = _stack(members)
    _check_weights(weights, spec, "the members given")
    folder.mkdir(parents=True, exist_ok=True)
    payload = safetensors.torch.save(weights)
    manifest = spec.model_dump(mode="json") | {"weights": _described(WEIGHTS, payload)}
    contents = {WEIGHTS: payload, CARD: card.encode(), SKILL: skill.encode()}
    if applicability:
        contents[APPLICABILITY] = safetensors.torch.save(dict(applicability))
        manifest["applicability"] = _described(APPLICABILITY, contents[APPLICABILITY])
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)
    for name, content in (contents | {MANIFEST: text.encode()}).items():
        _replace(folder / name, content)
    return load_release(folder)


def _described(name: str, payload: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}


def load_release(name_or_path: str | Path) -> Release:
    """The release at a path, under a shipped name or at a URL, with everything checked.

    ReleaseError: not found, unsafe switch set, `release.yaml` not understood (unknown
    feature, wrong units, other schema), wrong digest, tensors that do not fit.
    """
    _refuse_unsafe_switch()
    folder = find_release(name_or_path)
    text = _read(folder / MANIFEST)
    manifest = _parse(text, folder / MANIFEST)
    weights = safetensors.torch.load(_checked(folder, manifest.weights))
    _check_weights(weights, manifest, str(folder / manifest.weights.file))
    extra = manifest.applicability
    applicability = safetensors.torch.load(_checked(folder, extra)) if extra else {}
    # the digests of all other files stand in the text itself
    digest = hashlib.sha256(text + manifest.weights.sha256.encode()).hexdigest()
    return Release(folder, manifest, weights, digest, applicability)


def _refuse_unsafe_switch() -> None:
    if os.environ.get(UNSAFE_SWITCH):
        raise ReleaseError(
            f"the environment variable {UNSAFE_SWITCH} is set, which lets model files run code: "
            f"unset it (`unset {UNSAFE_SWITCH}`) and try again"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ReleaseError(
            f"expected the file {path.name} in the release {path.parent}, found none: "
            "fetch the whole folder again"
        ) from None


def _parse(text: bytes, path: Path) -> ReleaseManifest:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ReleaseError(f"{path} is not YAML ({error}): fetch the release again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != 1:
        raise ReleaseError(
            f"{path}: expected schema_version 1, found {version!r}: use a version of upscale "
            "that knows it, or a release made for this one"
        )
    try:
        return ReleaseManifest.model_validate(content)
    except ValidationError as error:
        raise ReleaseError(
            f"{path} does not describe a model that this version can run: "
            f"{_faults(error, 'release')}. Correct the file or fetch the release again"
        ) from None


def _faults(error: ValidationError, whole: str) -> str:
    """All faults in one line; whole: what to call the thing itself."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}" for fault in error.errors()
    )


def _checked(folder: Path, expected: WeightsFile) -> bytes:
    """The bytes of a file, once they have the digest that `release.yaml` names."""
    payload = _read(folder / expected.file)
    found = hashlib.sha256(payload).hexdigest()
    if (len(payload), found) != (expected.bytes, expected.sha256):
        raise ReleaseError(
            f"{folder / expected.file} is not the file that {MANIFEST} names: expected "
            f"{expected.bytes} bytes with sha256 {expected.sha256}, found {len(payload)} bytes "
            f"with {found}; it is damaged or was changed: fetch the release again"
        )
    return payload


def _check_weights(weights: Mapping[str, Tensor], spec: ReleaseSpec, where: str) -> None:
    """Names, shapes, types and values as the architecture asks."""
    with torch.device("meta"):
        expected = spec.architecture.build().state_dict()
    strange = sorted(expected.keys() ^ weights.keys())
    if strange:
        raise ReleaseError(
            f"{where}: tensors {', '.join(strange)} are missing or not known; expected those of "
            f"the architecture in {MANIFEST}: correct it or fetch the release again"
        )
    for name, tensor in weights.items():
        shape = (len(spec.seeds), *expected[name].shape)
        kind = expected[name].dtype
        if tuple(tensor.shape) != shape or tensor.dtype != kind:
            raise ReleaseError(
                f"{where}: tensor {name}: expected {_plain(kind)} {shape} (one row for each "
                f"seed), found {_plain(tensor.dtype)} {tuple(tensor.shape)}: correct the "
                f"architecture in {MANIFEST} or fetch the release again"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ReleaseError(f"{where}: tensor {name} is not finite: train the ensemble again")


def _plain(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _stack(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """{name: `(member, ...)`} of the members' tensors."""
    try:
        return {
            name: torch.stack([member[name].detach().cpu() for member in members]).contiguous()
            for name in members[0]
        }
    except (KeyError, RuntimeError) as error:
        raise ReleaseError(f"the members are not of one architecture: {error}") from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever reads half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
