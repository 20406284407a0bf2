"""Model releases: a folder that says all that is needed to run an ensemble.

`release.yaml` (what it is, how to scale, what to feed), `members.safetensors` (the weights,
stacked on a leading member axis), `CARD.md` and `skill.csv` (for people). Nothing is pickled,
and nothing is used before its digest, names, units and shapes are checked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from upscale.network.classes import Classes
from upscale.network.resolve import MANIFEST, ReleaseError, find_release
from upscale.network.scaler import Feature, FluxScale, Scaler
from upscale.network.support import SupportRule, Years
from upscale.network.tamrl import TamRl, TamRlConfig
from upscale.network.windows import WindowRule

__all__ = [
    "ContextSpec", "Release", "ReleaseError", "ReleaseManifest", "ReleaseSpec", "WeightsFile",
    "WindowSpec", "find_release", "load_release", "save_release",
]  # fmt: skip

WEIGHTS = "members.safetensors"
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


class ReleaseSpec(_Strict):
    """All of `release.yaml` but the weights: what training knows of its ensemble.

    training_digest: of the training data; seeds: one for each member, in order; skill: per
    flux, numbers on towers left out; held_out: clusters of towers that the weights never saw.
    """

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    model: Literal["tamrl"] = "tamrl"
    architecture: TamRlConfig
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
    citations: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class Release:
    """A checked release. weights: {name: `(member, ...)`}, float32, on the CPU.

    digest: sha256 over `release.yaml` and the digest of the weights; it names this release in
    the provenance of everything that is made with it.
    """

    path: Path
    manifest: ReleaseManifest
    weights: Mapping[str, Tensor]
    digest: str

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
        """The description without its weights, as `save_release` takes it."""
        return ReleaseSpec.model_validate(self.manifest.model_dump(exclude={"weights"}))

    def networks(self) -> list[TamRl]:
        """The members as networks of their own, in evaluation mode."""
        return [self._network(member) for member in range(self.members)]

    def _network(self, member: int) -> TamRl:
        network = TamRl(self.manifest.architecture)
        network.load_state_dict({name: stack[member] for name, stack in self.weights.items()})
        return network.eval()


def save_release(
    folder: Path,
    spec: ReleaseSpec,
    members: Sequence[Mapping[str, Tensor]],
    card: str,
    skill: str,
) -> Release:
    """Write a release and load it back.

    members: `TamRl.state_dict()` of each, in the order of `spec.seeds`; card: Markdown;
    skill: the text of `skill.csv`. A release that is there already is replaced, weights
    first, `release.yaml` last. ReleaseError where the members do not fit the description.
    """
    if len(members) != len(spec.seeds):
        raise ReleaseError(f"expected one seed for each of {len(members)} members: {spec.seeds}")
    weights = _stack(members)
    _check_weights(weights, spec, "the members given")
    folder.mkdir(parents=True, exist_ok=True)
    payload = safetensors.torch.save(weights)
    described = WeightsFile(
        file=WEIGHTS, sha256=hashlib.sha256(payload).hexdigest(), bytes=len(payload)
    )
    manifest = spec.model_dump(mode="json") | {"weights": described.model_dump()}
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=100)
    contents = {WEIGHTS: payload, CARD: card.encode(), SKILL: skill.encode()}
    for name, content in (contents | {MANIFEST: text.encode()}).items():
        _replace(folder / name, content)
    return load_release(folder)


def load_release(name_or_path: str | Path) -> Release:
    """The release at a path, under a shipped name or at a URL, with everything checked.

    ReleaseError: not found, unsafe switch set, `release.yaml` not understood (unknown
    feature, wrong units, other schema), wrong digest, tensors that do not fit.
    """
    _refuse_unsafe_switch()
    folder = find_release(name_or_path)
    text = _read(folder / MANIFEST)
    manifest = _parse(text, folder / MANIFEST)
    payload = _read(folder / manifest.weights.file)
    _check_digest(payload, manifest.weights, folder)
    weights = safetensors.torch.load(payload)
    _check_weights(weights, manifest, str(folder / manifest.weights.file))
    digest = hashlib.sha256(text + manifest.weights.sha256.encode()).hexdigest()
    return Release(folder, manifest, weights, digest)


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
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'release'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ReleaseError(
            f"{path} does not describe a model that this version can run: {faults}. "
            "Correct the file or fetch the release again"
        ) from None


def _check_digest(payload: bytes, expected: WeightsFile, folder: Path) -> None:
    found = hashlib.sha256(payload).hexdigest()
    if (len(payload), found) != (expected.bytes, expected.sha256):
        raise ReleaseError(
            f"{folder / expected.file} is not the file that {MANIFEST} names: expected "
            f"{expected.bytes} bytes with sha256 {expected.sha256}, found {len(payload)} bytes "
            f"with {found}; it is damaged or was changed: fetch the release again"
        )


def _check_weights(weights: Mapping[str, Tensor], spec: ReleaseSpec, where: str) -> None:
    """Names, shapes, types and values as the architecture asks."""
    with torch.device("meta"):
        expected = TamRl(spec.architecture).state_dict()
    strange = sorted(expected.keys() ^ weights.keys())
    if strange:
        raise ReleaseError(
            f"{where}: tensors {', '.join(strange)} are missing or not known; expected those of "
            f"the architecture in {MANIFEST}: correct it or fetch the release again"
        )
    for name, tensor in weights.items():
        shape = (len(spec.seeds), *expected[name].shape)
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise ReleaseError(
                f"{where}: tensor {name}: expected float32 {shape} (one row for each seed), "
                f"found {tensor.dtype} {tuple(tensor.shape)}: correct the architecture in "
                f"{MANIFEST} or fetch the release again"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ReleaseError(f"{where}: tensor {name} is not finite: train the ensemble again")


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
