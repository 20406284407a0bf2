"""Totals of a flux cube in Pg C: the globe, bands of latitude, land cover, climate.

total = sum over cells of flux x areacella x sftlf / 100. Its spread is the sample standard
deviation over the totals of the members, never a sum of the spreads of cells: errors of
neighbours are not independent.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import years_of
from upscale.product.reader import CellSlices, FluxCube, occupied, open_flux_cube
from upscale.stores.files import write_whole
from upscale.variables import FLUXES, IGBP, KOPPEN

GRAMS_PER_PG = 1e15
#: Southern edges of the bands of latitude, degrees north; a cell belongs to one by its centre.
BANDS = (60, 30, 0, -30, -60, -90)

Kind = Literal["global", "latitude", "igbp", "koppen"]
KINDS: tuple[Kind, ...] = ("global", "latitude", "igbp", "koppen")
_LEGENDS: dict[Kind, tuple[str, ...]] = {
    "global": ("global",),
    "latitude": ("60N-90N", "30N-60N", "0-30N", "0-30S", "30S-60S", "60S-90S"),
    "igbp": ("unknown", *IGBP),
    "koppen": ("unknown", *KOPPEN),
}
_TABLE = (len(BANDS), len(IGBP) + 1, len(KOPPEN) + 1)
_AXIS: dict[Kind, int] = {"latitude": 2, "igbp": 3, "koppen": 4}


@dataclass(frozen=True)
class Total:
    """One flux of one region in one calendar year.

    total: Pg C over the `days` of the year that the cube covers, mean over members; sd: its
    spread over members, NaN where members were not kept or there is only one; rate: Pg C yr-1,
    the same number where the year is whole (at least 365 days), else NaN; covered: share of
    land area x days with a value (ice and gaps lack one); land: 1e6 km2 of land in the region.
    """

    kind: Kind
    region: str
    year: int
    flux: str
    days: int
    total: float
    sd: float
    rate: float
    covered: float
    land: float

    @property
    def whole(self) -> bool:
        """True where the cube covers the whole year."""
        return self.days >= 365

    def describe(self) -> str:
        """One line for people."""
        spread = "" if math.isnan(self.sd) else f" +- {self.sd:.3g}"
        text = f"{self.flux.upper()} {self.region} {self.year}: {self.total:.4g}{spread} Pg C"
        return text + (" yr-1" if self.whole else f" in {self.days} days (no whole year)")


def totals(store: str, kinds: Iterable[Kind] = KINDS) -> list[Total]:
    """Totals of every flux, year and region of a flux cube that has land.

    Reads 400 x 400 cells at a time; with member sums the sums alone are read, without them
    the daily means (and no spread is known).
    """
    cube = open_flux_cube(store)
    account = _Account.of(cube)
    for cells in occupied(cube, cube.span(400)):
        account.add(cube, cells)
    return [row for kind in kinds for row in account.rows(kind)]


def global_totals(store: str) -> list[Total]:
    """Totals of the whole grid alone."""
    return totals(store, ("global",))


def write_totals(path: Path, rows: Iterable[Total]) -> bool:
    """Write totals as CSV, one row each, unless they are there; missing numbers are empty.

    True where the file was written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Total)])
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _text(value) for key, value in asdict(row).items()})
    content = text.getvalue().encode()
    if path.exists() and path.read_bytes() == content:
        return False
    write_whole(path, content)
    return True


def _text(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return value


@dataclass(frozen=True)
class _Account:
    """Running sums over the joint table of band, IGBP and Koeppen classes.

    grams: `(flux, member, year, *table)` g; land_days: `(year, *table)` m2 x days with a
    value; land: `(*table)` m2; days: `(year,)` days of each year in the cube.
    """

    years: NDArray[np.int64]
    days: NDArray[np.int64]
    grams: NDArray[np.float64]
    land_days: NDArray[np.float64]
    land: NDArray[np.float64]

    @classmethod
    def of(cls, cube: FluxCube) -> _Account:
        layout = cube.layout
        years, days = np.unique(
            years_of(layout.first + np.arange(layout.count)), return_counts=True
        )
        members = layout.members if cube.has_sums else 1
        grams = np.zeros((len(FLUXES), members, len(years), *_TABLE))
        return cls(years, days, grams, np.zeros((len(years), *_TABLE)), np.zeros(_TABLE))

    def add(self, cube: FluxCube, cells: CellSlices) -> None:
        """Add the cells of one tile."""
        area = cube.land_area(cells)
        if not area.any():
            return
        labels = _labels(cube, cells)
        self.land[...] += _sum_by(labels, area[None])[0]
        parts = _from_sums(cube, cells) if cube.has_sums else _from_days(cube, cells)
        for part in parts:
            year = int(np.searchsorted(self.years, part.year))
            if part.days is not None:
                self.land_days[year] += _sum_by(labels, (part.days * area)[None])[0]
            for index, sums in part.sums.items():
                self.grams[index, :, year] += _sum_by(labels, sums * area)

    def rows(self, kind: Kind) -> Iterator[Total]:
        """Totals of each region of one kind with land."""
        grams, land_days, land = (
            _along(array, kind) for array in (self.grams, self.land_days, self.land)
        )
        for place, region in enumerate(_LEGENDS[kind]):
            if not land[place]:
                continue
            for y, year in enumerate(self.years):
                days = int(self.days[y])
                covered = float(land_days[y, place] / (land[place] * days))
                for index, flux in enumerate(FLUXES):
                    members = grams[index, :, y, place] / GRAMS_PER_PG
                    total, sd = float(members.mean()), _spread(members)
                    rate = total if days >= 365 else math.nan
                    area = float(land[place]) / 1e12
                    yield Total(kind, region, int(year), flux, days, total, sd, rate, covered, area)


def _spread(members: NDArray[np.float64]) -> float:
    return float(members.std(ddof=1)) if len(members) > 1 else math.nan


@dataclass(frozen=True)
class _PartialTotals:
    """A share of one year in a tile.

    sums: `(member, row, col)` g m-2 by position of the flux; days: `(row, col)`, None where they
    were counted with another flux.
    """

    year: int
    sums: dict[int, NDArray[np.float64]]
    days: NDArray[np.integer] | None


def _from_sums(cube: FluxCube, cells: CellSlices) -> Iterator[_PartialTotals]:
    """Segment by segment; a stored chunk of them and one flux in memory at a time."""
    years = years_of(np.array([segment.first for segment in cube.layout.segments]))
    for stored in cube.layout.stored_segments:
        days = cube.segment_days(stored, cells)
        for index, flux in enumerate(FLUXES):
            sums = cube.member_sums(flux, stored, cells)
            for i, year in enumerate(years[stored].tolist()):
                counted = days[i] if index == 0 else None
                yield _PartialTotals(year, {index: sums[:, i]}, counted)


def _from_days(cube: FluxCube, cells: CellSlices) -> Iterator[_PartialTotals]:
    """Year by year, a stored chunk of days at a time."""
    step = cube.layout.chunk[0]
    for start in range(0, cube.layout.count, step):
        days = slice(start, min(start + step, cube.layout.count))
        years = years_of(cube.layout.first + np.arange(days.start, days.stop))
        values = [cube.daily(flux, days, cells).astype(np.float64) for flux in FLUXES]
        for year in np.unique(years):
            chosen = years == year
            sums = {i: np.nansum(each[chosen], axis=0)[None] for i, each in enumerate(values)}
            yield _PartialTotals(int(year), sums, np.isfinite(values[0][chosen]).sum(axis=0))


def _labels(cube: FluxCube, cells: CellSlices) -> NDArray[np.int64]:
    """Place of each cell `(row, col)` in the joint table."""
    band = np.searchsorted(-np.array(BANDS), -cube.grid.lat[cells.rows], side="left")
    igbp, koppen = (cube.layer(name, cells).astype(np.int64) for name in ("igbp", "koppen"))
    band = np.broadcast_to(band[:, None], igbp.shape)
    labels: NDArray[np.int64] = np.ravel_multi_index((band, igbp, koppen), _TABLE)
    return labels


def _sum_by(labels: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums `(layer, *table)` of values `(layer, row, col)` by label."""
    size, layers = math.prod(_TABLE), len(values)
    places = labels.ravel() + size * np.arange(layers)[:, None]
    sums: NDArray[np.float64] = np.zeros(size * layers)
    sums += np.bincount(places.ravel(), values.ravel(), minlength=size * layers)
    return sums.reshape(layers, *_TABLE)


def _along(table: NDArray[np.float64], kind: Kind) -> NDArray[np.float64]:
    """Sum a table over its last three axes except that of `kind`; `(..., region)`."""
    axes = {name: axis - 5 for name, axis in _AXIS.items() if name != kind}
    summed: NDArray[np.float64] = table.sum(axis=tuple(axes.values()))
    return summed[..., None] if kind == "global" else summed
