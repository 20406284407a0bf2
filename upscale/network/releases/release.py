"""Model releases: a folder with all that is needed to run an ensemble.

`release.yaml` (model, scaling, drivers), `members.safetensors` (the weights of networks, stacked
on a leading member axis) or one file for each regressor of boosted trees in the format of their
library, `CARD.md` and `skill.csv` (for people). Nothing is pickled, and nothing is used before
its digest, names, units and shapes are checked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import yaml
from torch import Tensor

from upscale.network.boosting.trees import TREES, Trees, TreesConfig, check_trees
from upscale.network.classes import Classes
from upscale.network.networks.architectures import Network
from upscale.network.releases.manifest import (
    ContextSpec,
    ReleaseManifest,
    ReleaseSpec,
    TreesFile,
    WeightsFile,
    WindowSpec,
    parse_manifest,
)
from upscale.network.releases.resolve import CARD, MANIFEST, SKILL, ReleaseError, find_release
from upscale.network.scaler import Scaler
from upscale.network.support import SupportRule
from upscale.network.uncertainty.applicability import Applicability, read_applicability
from upscale.network.windows import WindowRule
from upscale.stores.broken import BROKEN, in_short
from upscale.stores.files import write_whole
from upscale.variables import FLUXES

__all__ = [
    "ContextSpec", "Member", "Release", "ReleaseError", "ReleaseManifest", "ReleaseSpec",
    "WeightsFile", "WindowSpec", "find_release", "load_release", "save_release",
]  # fmt: skip

WEIGHTS = "members.safetensors"
APPLICABILITY = "applicability.safetensors"

#: Makes torch.load run pickled code even if the caller passed `weights_only=True`.
UNSAFE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


#: A member as `save_release` takes it: the `state_dict()` of a network, or the regressors of
#: boosted trees for gpp, reco and nee.
Member = Mapping[str, Tensor] | Sequence[Trees]


@dataclass(frozen=True)
class Release:
    """A checked release.

    weights: {name: `(member, ...)`} of networks, float32, on the CPU; trees: `(member, flux)`
    regressors; applicability_tensors: those of `upscale.network.uncertainty.applicability` as they
    were saved, empty if the release has none; digest: sha256 over `release.yaml` and the digest
    of the weights, which identifies the release in the provenance of every product.
    """

    path: Path
    manifest: ReleaseManifest
    weights: Mapping[str, Tensor]
    digest: str
    applicability_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    trees: tuple[tuple[Trees, ...], ...] = ()

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

    @cached_property
    def applicability(self) -> Applicability | None:
        """The area of applicability, None if the release has none; ValueError if its tensors
        are invalid."""
        tensors = self.applicability_tensors
        return read_applicability(tensors, len(self.scaler.names)) if tensors else None

    @property
    def spec(self) -> ReleaseSpec:
        """The description without its files, as `save_release` takes it."""
        files = {"weights", "trees", "applicability"}
        return ReleaseSpec.model_validate(self.manifest.model_dump(exclude=files))

    @property
    def states(self) -> list[Member]:
        """The members, as `save_release` takes them."""
        if self.trees:
            return list(self.trees)
        return [self._state(member) for member in range(self.members)]

    def networks(self) -> list[Network]:
        """The members as separate networks in evaluation mode; empty for boosted trees."""
        sizes = self.manifest.architecture
        if isinstance(sizes, TreesConfig):
            return []
        networks = [sizes.build() for _ in range(self.members)]
        for member, network in enumerate(networks):
            network.load_state_dict(self._state(member))
        return [network.eval() for network in networks]

    def _state(self, member: int) -> dict[str, Tensor]:
        return {name: stack[member] for name, stack in self.weights.items()}


def save_release(
    folder: Path,
    spec: ReleaseSpec,
    members: Sequence[Member],
    card: str,
    skill: str,
    applicability: Mapping[str, Tensor] | None = None,
) -> Release:
    """Write a release and load it back.

    members: in the order of `spec.seeds`; card: Markdown; skill: the text of `skill.csv`;
    applicability: tensors for `applicability.safetensors`. An existing release is replaced,
    weights first, `release.yaml` last. ReleaseError if the members do not fit the description.
    """
    if len(members) != len(spec.seeds):
        raise ReleaseError(
            f"expected one seed for each of {len(members)} members, found the seeds {spec.seeds}"
        )
    content = spec.model_dump(mode="json")
    files = _tree_files(members, spec) if spec.is_trees else _weight_file(members, spec)
    described = [_described(name, payload) for name, payload in files.items()]
    content |= {"trees": described} if spec.is_trees else {"weights": described[0]}
    if applicability:
        files[APPLICABILITY] = safetensors.torch.save(dict(applicability))
        content["applicability"] = _described(APPLICABILITY, files[APPLICABILITY])
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    files |= {CARD: card.encode(), SKILL: skill.encode(), MANIFEST: text.encode()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in files.items():
        write_whole(folder / name, payload)
    return load_release(folder)


def _weight_file(members: Sequence[Any], spec: ReleaseSpec) -> dict[str, bytes]:
    weights = _stack(members)
    _check_weights(weights, spec, "the members given")
    return {WEIGHTS: safetensors.torch.save(weights)}


def _tree_files(members: Sequence[Any], spec: ReleaseSpec) -> dict[str, bytes]:
    _check_trees(members, spec, "the members given")
    return {
        f"member-{number:02d}-{flux}{trees.suffix}": trees.payload()
        for number, member in enumerate(members)
        for flux, trees in zip(FLUXES, member, strict=True)
    }


def _described(name: str, payload: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}


def load_release(name_or_path: str | Path) -> Release:
    """The checked release at a path, of a shipped name or at a URL.

    ReleaseError: release not found, `UNSAFE_SWITCH` set, invalid `release.yaml` (unknown
    feature, wrong units, other schema), wrong digest, tensors or trees that do not fit, or trees
    whose library is not installed.
    """
    refuse_unsafe_switch()
    folder = find_release(name_or_path)
    text = _read(folder / MANIFEST)
    manifest = parse_manifest(text, folder / MANIFEST)
    weights = _tensors(folder, manifest.weights)
    trees = _read_trees(folder, manifest)
    if manifest.weights:
        _check_weights(weights, manifest, str(folder / manifest.weights.file))
    # the text itself contains the digests of all other files
    digest = hashlib.sha256(text + (manifest.weights.sha256.encode() if manifest.weights else b""))
    tensors = _tensors(folder, manifest.applicability)
    release = Release(folder, manifest, weights, digest.hexdigest(), tensors, trees)
    _check_applicability(release)
    return release


def _check_applicability(release: Release) -> None:
    """Refuse an area of applicability that does not fit the drivers and embeddings."""
    manifest = release.manifest
    try:
        area = release.applicability
    except ValueError as error:
        raise ReleaseError(f"{release.path / APPLICABILITY}: {error}") from None
    found = area.embedding.points.shape[1] if area and area.embedding else None
    expected = release.members * manifest.architecture.latent
    if found is not None and (found != expected or manifest.context.rule == "query"):
        raise ReleaseError(
            f"{release.path / APPLICABILITY}: expected embeddings of {expected} numbers and "
            f"support years, found {found} and the context rule {manifest.context.rule}: fit the "
            "applicability again"
        )


def _tensors(folder: Path, file: WeightsFile | None) -> dict[str, Tensor]:
    """The tensors of a file with the expected digest, empty without a file."""
    if file is None:
        return {}
    try:
        return safetensors.torch.load(_checked(folder, file))
    except ReleaseError:
        raise
    except (safetensors.SafetensorError, *BROKEN) as error:
        raise ReleaseError(
            f"{folder / file.file}: expected tensors in the form safetensors, found something else "
            f"({in_short(error)}): fetch the release again"
        ) from error


def _read_trees(folder: Path, manifest: ReleaseManifest) -> tuple[tuple[Trees, ...], ...]:
    """The regressors `(member, flux)` of a release of boosted trees, empty for networks."""
    if not manifest.is_trees:
        return ()
    parsed = [_read_regressor(folder, file, manifest) for file in manifest.trees]
    trees = tuple(zip(*[iter(parsed)] * len(FLUXES), strict=True))
    _check_trees(trees, manifest, str(folder))
    return trees


def _read_regressor(folder: Path, file: TreesFile, manifest: ReleaseManifest) -> Trees:
    """Trees of a file, after its digest is checked; ReleaseError says why they cannot be read."""
    payload, sizes = _checked(folder, file), manifest.architecture
    assert isinstance(sizes, TreesConfig)
    try:
        return TREES[manifest.model].parse(payload, sizes)
    except (ImportError, OSError) as error:  # not installed, or a system library is missing
        raise ReleaseError(
            f"{folder} holds trees of {manifest.model}, which cannot be loaded here ({error}): "
            "pip install 'upscale[train]'"
        ) from None
    except Exception as error:  # every library raises its own types
        raise ReleaseError(
            f"{folder / file.file}: {manifest.model} cannot read its trees ({error}): fetch the "
            f"release again or train it again, or correct model and architecture in {MANIFEST}"
        ) from error


def refuse_unsafe_switch() -> None:
    """ReleaseError where `UNSAFE_SWITCH` is set."""
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


def _checked(folder: Path, expected: WeightsFile | TreesFile) -> bytes:
    """The bytes of a file; refused unless they have the digest in `release.yaml`."""
    payload = _read(folder / expected.file)
    found = hashlib.sha256(payload).hexdigest()
    if (len(payload), found) != (expected.bytes, expected.sha256):
        raise ReleaseError(
            f"{folder / expected.file} is not the file that {MANIFEST} names: expected "
            f"{expected.bytes} bytes with sha256 {expected.sha256}, found {len(payload)} bytes "
            f"with {found}; it is damaged or was changed: fetch the release again"
        )
    return payload


def _check_trees(members: Sequence[Sequence[Trees]], spec: ReleaseSpec, where: str) -> None:
    """Refuse trees whose sizes or outputs do not fit the description."""
    sizes = spec.architecture
    assert isinstance(sizes, TreesConfig)
    for number, member in enumerate(members):
        try:
            for trees in member:
                check_trees(trees, sizes)
        except ValueError as error:
            raise ReleaseError(
                f"{where}: trees of member {number}: {error}: correct the architecture in "
                f"{MANIFEST} or train the release again"
            ) from None


def _check_weights(weights: Mapping[str, Tensor], spec: ReleaseSpec, where: str) -> None:
    """Refuse tensors whose names, shapes, types or values do not fit the architecture."""
    sizes = spec.architecture
    assert not isinstance(sizes, TreesConfig)
    with torch.device("meta"):
        expected = sizes.build().state_dict()
    strange = sorted(expected.keys() ^ weights.keys())
    if strange:
        raise ReleaseError(
            f"{where}: tensors {', '.join(strange)[:1000]} are missing or unknown; expected "
            f"those of the architecture in {MANIFEST}: correct it or fetch the release again"
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
        raise ReleaseError(f"the members differ in architecture: {error}") from None
