"""Compare the fluxes of a flux cube with tower measurements."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from upscale.drivers.from_towers import Cell, SkippedTower, best_by_cell
from upscale.evaluation.learned import splits_by_list
from upscale.evaluation.skill import SkillRow, skill_rows, skill_table
from upscale.grid import Tile
from upscale.product.cube import layout_of, open_flux_group
from upscale.product.layout import FluxLayout
from upscale.product.quality import DTYPE, REASONS, count_flags
from upscale.towers.table import Tower, read_towers
from upscale.variables import FLUXES


@dataclass(frozen=True)
class Comparison:
    """rows: one per tower and flux. left_out: every other tower of the folder, with the
    reason. unmatched: good flux days of compared towers on which the cube holds no value.
    suspect: sites whose measured carbon balance is implausible."""

    rows: tuple[SkillRow, ...]
    left_out: tuple[SkippedTower, ...]
    unmatched: int
    suspect: frozenset[str]


@dataclass(frozen=True)
class _Meeting:
    """A tower with the days `(day,)` of the cube, both `(day, 3)` gpp, reco, nee."""

    tower: Tower
    cell: Cell
    measured: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @property
    def days(self) -> int:
        """Days with both a measured and a predicted flux."""
        both = np.isfinite(self.measured) & np.isfinite(self.predicted)
        return int(both.all(axis=1).sum())


def compare(store: str, folder: str | Path) -> Comparison:
    """Compare a flux cube with the towers of a folder on their good flux days.

    Of towers that share a cell of the cube only the one with most good days is compared, as
    in `towers_on_grid`. The split of a row follows from the sites that the cube says the
    model learned from: `train`, `near`, `suspect` or `test`, see
    `upscale.evaluation.learned.splits_by_list`. A cube that names only the clusters held out gives
    `test` for those, `suspect`, and `train` for the rest; the split is empty where it names
    neither.
    Raises ValueError where `store` is no flux cube, FileNotFoundError or ValueError where
    the folder is not one of towers.
    """
    group = open_flux_group(store)
    layout = layout_of(group.attrs)
    towers = read_towers(folder)
    best, left_out = best_by_cell(towers, layout.grid)
    measured = {cell: _measured(tower, layout) for cell, tower in best.items()}
    used = {cell: tower for cell, tower in best.items() if np.isfinite(measured[cell]).any()}
    silent = [SkippedTower(t.site, "no good flux day in the period") for t in _rest(best, used)]
    met = [
        _Meeting(used[cell], cell, measured[cell], predicted)
        for cell, predicted in _read_cells(group, layout, list(used)).items()
    ]
    empty = [SkippedTower(m.tower.site, _why(group, layout, m.cell)) for m in met if not m.days]
    met = [m for m in met if m.days]
    splits = _splits(towers, group.attrs)
    return Comparison(
        rows=tuple(row for m in met for row in _rows(m, group.attrs, splits)),
        left_out=tuple(sorted((*left_out, *silent, *empty), key=lambda left: left.site)),
        unmatched=sum(int(np.isfinite(m.measured[:, 0]).sum()) - m.days for m in met),
        suspect=frozenset(tower.site for tower in towers if tower.suspect),
    )


def _rest(best: Mapping[Cell, Tower], used: Mapping[Cell, Tower]) -> Iterable[Tower]:
    return (tower for cell, tower in best.items() if cell not in used)


def _measured(tower: Tower, layout: FluxLayout) -> NDArray[np.float32]:
    """Fluxes `(day, 3)` on the days of the cube, NaN on all but good flux days."""
    fluxes = np.full((layout.count, len(FLUXES)), np.nan, np.float32)
    index = tower.days - layout.first
    use = tower.good & (index >= 0) & (index < layout.count)
    fluxes[index[use]] = tower.fluxes[use]
    return fluxes


def _read_cells(
    group: zarr.Group, layout: FluxLayout, cells: Sequence[Cell]
) -> dict[Cell, NDArray[np.float32]]:
    """Predicted fluxes `(day, 3)` of each cell; every tile is read once."""
    fluxes = {}
    for there in _by_tile(cells, layout.tile).values():
        blocks = [_read_block(group[name], there) for name in FLUXES]
        for i, cell in enumerate(there):
            fluxes[cell] = np.stack([block[:, i] for block in blocks], axis=1)
    return {cell: fluxes[cell] for cell in cells}


def _by_tile(cells: Iterable[Cell], tile: int) -> dict[Tile, list[Cell]]:
    tiles: dict[Tile, list[Cell]] = defaultdict(list)
    for row, col in cells:
        tiles[Tile(row // tile, col // tile)].append((row, col))
    return tiles


def _read_block(array: Any, cells: Sequence[Cell]) -> NDArray[Any]:
    """Values `(day, cell)` of cells of one tile, in one read of the rectangle around them."""
    rows, cols = np.array(cells).T
    top, left = rows.min(), cols.min()
    block = np.asarray(array[:, top : rows.max() + 1, left : cols.max() + 1])
    return block[:, rows - top, cols - left]


def _why(group: zarr.Group, layout: FluxLayout, cell: Cell) -> str:
    """Why a cell has no value on any good flux day, from the quality of all its days."""
    quality = np.asarray(group["quality"][:, cell[0], cell[1]])
    reasons = count_flags(quality & DTYPE(REASONS))
    if not reasons:
        return "values on none of its good flux days"
    counts = ", ".join(f"{name} on {count}" for name, count in reasons.items())
    return f"no value on any of its good flux days (of {layout.count} days {counts})"


def _rows(
    met: _Meeting, attributes: Mapping[str, Any], splits: Mapping[str, str]
) -> list[SkillRow]:
    tower = met.tower
    model = str(attributes.get("model_name", ""))
    return skill_rows(
        met.measured, met.predicted, tower.site, tower.cluster, model, splits[tower.site]
    )


def _splits(towers: Sequence[Tower], attributes: Mapping[str, Any]) -> dict[str, str]:
    """Split of every tower by site, as far as the cube records it."""
    learned = _listed(attributes, "learned_sites")
    if learned:
        pairs = (text.split() for text in _listed(attributes, "learned_places") or ())
        return splits_by_list(towers, learned, [(float(lat), float(lon)) for lat, lon in pairs])
    held_out = _listed(attributes, "held_out_clusters")
    return {tower.site: _split(tower, held_out) for tower in towers}


def _listed(attributes: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """The items of an attribute; None where the cube does not have it."""
    text = attributes.get(name)
    return None if text is None else tuple(filter(None, str(text).split(", ")))


def _split(tower: Tower, held_out: Sequence[str] | None) -> str:
    if held_out is None:
        return ""
    if tower.suspect:
        return "suspect"
    return "test" if tower.cluster in held_out else "train"


def write_json(rows: Iterable[SkillRow], path: str | Path) -> None:
    """Write rows as a JSON list of objects; NaN becomes null."""
    plain = [
        {key: None if value != value else value for key, value in asdict(row).items()}
        for row in rows
    ]
    Path(path).write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")


def quartiles(comparison: Comparison) -> pd.DataFrame:
    """Quartiles of rmse, r2 and bias over towers, one row per group of towers and flux.

    Columns: group, flux, towers, days, then `<score>_q25`, `_median`, `_q75`. Groups:
    all towers, without suspect ones, and each split where splits are known.
    """
    table = skill_table(comparison.rows)
    rows = []
    for label, part in _groups(table, comparison.suspect):
        for flux, scores in part.groupby("flux", sort=False):
            rows.append({"group": label, "flux": flux, **_spread(scores)})
    return pd.DataFrame(rows)


def _groups(table: pd.DataFrame, suspect: frozenset[str]) -> list[tuple[str, pd.DataFrame]]:
    doubtful = table["tower"].isin(list(suspect))
    groups = [("all", table), ("without suspect", table[~doubtful])]
    splits = [name for name in ("test", "near", "train") if (table["split"] == name).any()]
    return groups + [(name, table[table["split"] == name]) for name in splits]


def _spread(scores: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = {"towers": len(scores), "days": int(scores["n"].sum())}
    for name in ("rmse", "r2", "bias"):
        for label, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
            found[f"{name}_{label}"] = float(scores[name].quantile(share))
    return found
