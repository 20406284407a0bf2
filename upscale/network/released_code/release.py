"""A model release made from weights of the released TAM-RL code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upscale.network.classes import CARBONFLUXBENCH
from upscale.network.released_code.scaling import (
    MINIMAL,
    Scaling,
    choose_features,
    make_scaler,
)
from upscale.network.released_code.state import Imported, read_member
from upscale.network.releases.release import (
    ContextSpec,
    Release,
    ReleaseError,
    ReleaseSpec,
    WindowSpec,
    save_release,
)
from upscale.version import __version__

_SKILL = "tower,cluster,flux,model,split,n,rmse,r2,bias\n"
_SOURCE = (
    "Rozanov A., Renganathan A., Zhang Y., Kumar V. (2026) CarbonBench: A Global Benchmark for "
    "Upscaling of Carbon Fluxes Using Zero-Shot Learning, arXiv:2603.09868"
)


@dataclass(frozen=True)
class Import:
    """A release made from files of weights, and the assumptions to report to the user.

    assumed: names whose scaling constants are stand-ins; default_features: True if the user
    named no features; left_out: tensors that predictions do not use.
    """

    release: Release
    assumed: tuple[str, ...]
    default_features: bool
    left_out: tuple[str, ...]


def import_release(
    files: Sequence[Path],
    out: Path,
    features: Sequence[str] = (),
    scaling: Scaling | None = None,
    name: str | None = None,
) -> Import:
    """Write a release with one member for each file, and load it back.

    features: names in the order in which the decoder reads them; name: of the release, by
    default that of the folder `out`. ReleaseError if a file does not hold weights of the
    released code, the members differ in size, or features, one-hots and constants do not fit.
    """
    members = [read_member(path) for path in files]
    _check_alike(members, files)
    given = scaling or Scaling()
    config = members[0].config
    _check_classes(config.classes, config.channels, files[0])
    chosen = choose_features(config.channels, features, given)
    scaler, assumed = make_scaler(chosen, given)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    default = not features and not given.features
    spec = ReleaseSpec(
        name=name or out.resolve().name,
        model="tamrl-carbonfluxbench",
        architecture=config,
        features=scaler.features,
        fluxes=scaler.fluxes,
        classes=CARBONFLUXBENCH,
        window=WindowSpec(length=30, stride=15),
        context=ContextSpec(rule="query"),
        day_definition="utc",
        training_digest="not known: the weights were imported",
        training_settings={
            "imported": [
                {"file": path.name, "sha256": digest}
                for path, digest in zip(files, digests, strict=True)
            ],
            "stand_in_constants": list(assumed),
            "default_features": default,
        },
        code_version=__version__,
        seeds=tuple(range(len(files))),
        citations=(_SOURCE,),
    )
    card = _card(spec, assumed, default)
    made = save_release(out, spec, [member.weights for member in members], card, _SKILL)
    return Import(made, assumed, default, members[0].left_out)


def _check_alike(members: Sequence[Imported], files: Sequence[Path]) -> None:
    for member, path in zip(members, files, strict=True):
        if member.config != members[0].config:
            raise ReleaseError(
                f"{path}: expected the sizes of {files[0]} ({members[0].config}), found "
                f"{member.config}: import them as separate releases"
            )


def _check_classes(found: int, channels: int, path: Path) -> None:
    if found != CARBONFLUXBENCH.width:
        raise ReleaseError(
            f"{path}: the encoder reads {found + channels} inputs and the decoder {channels} "
            f"drivers, which leaves {found} one-hots: expected {CARBONFLUXBENCH.width} (16 IGBP, 5 "
            "main groups, 30 Koeppen classes), the only layout that can be imported"
        )


def _card(spec: ReleaseSpec, assumed: Sequence[str], default: bool) -> str:
    """CARD.md of an imported release: its files and what had to be assumed."""
    files = spec.training_settings["imported"]
    parts = [
        f"# {spec.name}\n",
        f"An ensemble of {len(spec.seeds)} TAM-RL networks in the variant of their released code, "
        "imported from files of weights. Their training data and their skill are unknown; "
        "skill.csv is empty.\n",
        "| file | sha256 |\n|---|---|",
        *(f"| {each['file']} | {each['sha256']} |" for each in files),
        "\n## What was assumed\n",
        *_assumptions(assumed, default),
        "- The context is the predicted window itself; windows of 30 days, of which the last 15 "
        "are kept; days in UTC, as the daily ERA5-Land of the released code counts them.",
        "- One-hots: 16 IGBP, 5 main groups, 30 Koeppen-Geiger classes. Barren ground and "
        "unknown classes are zero throughout.",
        "- `lon` may draw a seam at 180 degrees.\n",
        f"## Citation\n\n- {_SOURCE}\n",
    ]
    return "\n".join(parts)


def _assumptions(assumed: Sequence[str], default: bool) -> list[str]:
    """One bullet for each assumption about what the files of weights do not state."""
    said = []
    if default:
        said.append(
            "- The features are the default list. Its MODIS part is that of the released code; "
            f"its ERA5-Land part ({', '.join(MINIMAL)}) stands for a set whose names are not "
            "published with the code."
        )
    if assumed:
        said.append(
            f"- Scaling constants of {', '.join(assumed)} are stand-ins, not those of the "
            "training: **fluxes mean nothing until the real ones are given** (`--scaling`)."
        )
    return said
