"""Summaries of model releases, read without their weights and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from upscale import shipped
from upscale.network.releases.resolve import CARD, MANIFEST, ReleaseError
from upscale.stores.broken import BROKEN, in_short
from upscale.variables import FLUXES

#: Heading of the section of a model card on licences.
_LICENCES = "## Licences and citations"


@dataclass(frozen=True)
class ReleaseSummary:
    """A release as its `release.yaml` describes it, unchecked.

    name: of its folder, by which a shipped release is found; model: kind of model; needed,
    optional: drivers; skill: median R2 by flux over `towers` left-out towers; licence: paragraph
    of the model card, empty if there is none.
    """

    name: str
    path: str
    model: str
    members: int
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    day_definition: str
    towers: int
    skill: Mapping[str, float]
    applicability: bool
    licence: str
    citations: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def release_folders(folder: Path | None = None) -> list[Path]:
    """Folders with a `release.yaml`: the shipped releases, or `folder` and its subfolders.

    ReleaseError if there is none.
    """
    inside = folder or shipped.folder("models")
    found = sorted(path.parent for path in [*inside.glob(MANIFEST), *inside.glob(f"*/{MANIFEST}")])
    if not found:
        raise ReleaseError(
            f"{inside}: expected a release, or folders of releases, with a {MANIFEST}, found "
            "none: correct the folder"
        )
    return found


def read_summary(folder: Path) -> ReleaseSummary:
    """The summary of the release in a folder; ReleaseError if its `release.yaml` is invalid."""
    path = folder / MANIFEST
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _summary(folder, content)
    except (*BROKEN, yaml.YAMLError) as error:
        raise ReleaseError(
            f"{path}: expected a description of a model, found something else "
            f"({in_short(error)}): fetch the release again"
        ) from None


def _summary(folder: Path, content: dict[str, Any]) -> ReleaseSummary:
    """The entry of a release in `upscale models`, from the content of its release.yaml."""
    skill, features = content.get("skill") or {}, content["features"]
    by_flux = {flux: skill[flux] for flux in FLUXES if flux in skill}
    return ReleaseSummary(
        name=folder.resolve().name,
        path=str(folder),
        model=str(content["model"]),
        members=len(content["seeds"]),
        needed=tuple(each["name"] for each in features if each["required"]),
        optional=tuple(each["name"] for each in features if not each["required"]),
        day_definition=str(content.get("day_definition", "local-standard")),
        towers=int(max((numbers["towers"] for numbers in by_flux.values()), default=0)),
        skill={flux: float(numbers["r2_median"]) for flux, numbers in by_flux.items()},
        applicability=bool(content.get("applicability")),
        licence=_licence(folder / CARD),
        citations=tuple(content.get("citations") or ()),
    )


def _licence(card: Path) -> str:
    """The paragraph of a model card on licences."""
    if not card.is_file():
        return ""
    _, _, after = card.read_text(encoding="utf-8").partition(_LICENCES)
    return after.strip().split("\n\n")[0].removesuffix("Cite:").strip()
