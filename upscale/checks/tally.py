"""The counts behind the checks: one pass over its values, mergeable piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of, day_of_year
from upscale.product.layout import FluxLayout
from upscale.product.quality import REASONS, Quality, has
from upscale.product.reader import CellSlices, FluxCube
from upscale.product.uncertainty import INDEX_BITS
from upscale.variables import FLUXES, WATER_CLASS, variable

#: Poleward of this latitude GPP peaks in summer everywhere on land.
SEASONAL_LATITUDE = 45.0
#: Relative (to the sum of magnitudes) and absolute (g m-2) tolerance of a sum of float32.
SUM_TOLERANCE = (1e-4, 1e-3)

Bools = NDArray[np.bool_]


@dataclass
class Tally:
    """Counts of faults, the first place of each, and moments; `merge` adds two of them.

    per_day: values of GPP on each day `(day,)` of the cube; faults: number by check; places:
    where the first fault of a check lies; moments: sums over values by name; extremes:
    smallest and largest value of each array.
    """

    per_day: NDArray[np.int64]
    faults: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    extremes: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def values(self) -> int:
        return int(self.per_day.sum())

    def merge(self, other: Tally) -> Tally:
        """Both together."""
        merged = Tally(self.per_day + other.per_day, dict(self.faults), other.places | self.places)
        for name, count in other.faults.items():
            merged.faults[name] = merged.faults.get(name, 0) + count
        merged.moments = dict(self.moments)
        for name, value in other.moments.items():
            merged.add(name, value)
        merged.extremes = dict(self.extremes)
        for name, (low, high) in other.extremes.items():
            merged.widen(name, low, high)
        return merged

    def fault(self, check: str, where: Bools, place: str) -> None:
        """Count the faults of a check; `place` says where the array lies."""
        count = int(where.sum())
        if count:
            self.faults[check] = self.faults.get(check, 0) + count
            self.places.setdefault(check, place)

    def add(self, name: str, value: float) -> None:
        """Add to a moment."""
        self.moments[name] = self.moments.get(name, 0.0) + float(value)

    def widen(self, name: str, low: float, high: float) -> None:
        """Widen the extremes of an array."""
        old = self.extremes.get(name, (low, high))
        self.extremes[name] = (min(old[0], low), max(old[1], high))


def empty_tally(layout: FluxLayout) -> Tally:
    """Nothing counted yet."""
    return Tally(np.zeros(layout.count, np.int64))


def scan(cube: FluxCube, cells: CellSlices, block: int) -> Tally:
    """Count what is in one rectangle of cells in one block of days."""
    tally = empty_tally(cube.layout)
    piece = _Piece.read(cube, cells, block)
    tally.per_day[piece.days] = piece.there("gpp").sum(axis=(1, 2))
    for flux in FLUXES:
        _scan_flux(tally, piece, flux)
        _scan_spread(tally, piece, flux, cube.layout.members)
    _scan_quality(tally, piece)
    _scan_closure(tally, piece)
    _scan_seasons(tally, piece, cube, cells)
    if cube.has_sums:
        _scan_sums(tally, piece, cube, cells, block)
    if cube.has_steps:
        _scan_steps(tally, piece, cube, cells, block)
    return tally


@dataclass(frozen=True)
class _Piece:
    """The arrays of one rectangle in one block: fluxes and spreads `(day, row, col)`."""

    days: slice
    place: str
    arrays: dict[str, NDArray[np.float32]]
    quality: NDArray[np.uint16]
    filled: NDArray[np.uint8]
    sftlf: NDArray[np.float32]
    igbp: NDArray[np.uint8]

    @classmethod
    def read(cls, cube: FluxCube, cells: CellSlices, block: int) -> _Piece:
        """Read everything that is counted of some cells and one block."""
        days = cube.layout.days(block)
        names = (*FLUXES, *(f"{flux}_sd" for flux in FLUXES))
        return cls(
            days,
            _place(cube, cells, days),
            {name: cube.daily(name, days, cells) for name in names},
            cube.daily("quality", days, cells),
            cube.daily("filled_share", days, cells),
            cube.layer("sftlf", cells),
            cube.layer("igbp", cells),
        )

    def there(self, name: str) -> Bools:
        """Where an array has a number."""
        return np.isfinite(self.arrays[name])


def _place(cube: FluxCube, cells: CellSlices, days: slice) -> str:
    first = date_of(cube.layout.first + days.start)
    lat, lon = cube.grid.lat[cells.rows], cube.grid.lon[cells.cols]
    return f"{lat[0]:g} to {lat[-1]:g} N, {lon[0]:g} to {lon[-1]:g} E, from {first}"


def _scan_flux(tally: Tally, piece: _Piece, flux: str) -> None:
    """Count impossible values of a flux, and values that do not match their quality."""
    values, row = piece.arrays[flux], variable(flux)
    there, reason = piece.there(flux), has(piece.quality, REASONS)
    tally.fault("finite", np.isinf(values), f"{flux}, {piece.place}")
    tally.fault("reasons", np.isnan(values) != reason, f"{flux}, {piece.place}")
    tally.fault("land", there & ~(piece.sftlf > 0), f"{flux}, {piece.place}")
    if not there.any():
        return
    low, high = float(values[there].min()), float(values[there].max())
    tally.widen(flux, low, high)
    beyond = there & ((values < row.valid_min) | (values > row.valid_max))
    tally.fault("range", beyond, f"{flux}, {piece.place}")
    if flux != "nee":
        tally.fault("nonnegative", there & (values < 0), f"{flux}, {piece.place}")


def _scan_spread(tally: Tally, piece: _Piece, flux: str, members: int) -> None:
    spread, there = piece.arrays[f"{flux}_sd"], piece.there(flux)
    known = np.isfinite(spread)
    wrong = (known & ((spread < 0) | ~there)) | np.isinf(spread)
    if members > 1:
        wrong |= there & ~known
    tally.fault("spread", wrong, f"{flux}_sd, {piece.place}")
    if known.any():
        tally.widen(f"{flux}_sd", float(spread[known].min()), float(spread[known].max()))


def _scan_quality(tally: Tally, piece: _Piece) -> None:
    domain = np.isfinite(piece.sftlf)
    tally.add("cells in domain x blocks", domain.sum())
    tally.fault("produced", has(piece.quality, Quality.NOT_PRODUCED) & domain, piece.place)
    dry = (piece.sftlf > 0) & (piece.igbp != WATER_CLASS)
    tally.fault("water", has(piece.quality, Quality.WATER) & dry, piece.place)
    there = piece.there("gpp")
    tally.fault("filled_share", (piece.filled <= 100) != there, piece.place)


def _scan_closure(tally: Tally, piece: _Piece) -> None:
    there = piece.there("gpp") & piece.there("reco") & piece.there("nee")
    gpp, reco, nee = (piece.arrays[flux][there].astype(np.float64) for flux in FLUXES)
    balance = reco - gpp
    tally.add("n", len(nee))
    tally.add("residual", (nee - balance).sum())
    tally.add("residual2", ((nee - balance) ** 2).sum())
    tally.add("nee2", (nee**2).sum())
    tally.add("balance2", (balance**2).sum())
    tally.add("nee_balance", (nee * balance).sum())


def _scan_seasons(tally: Tally, piece: _Piece, cube: FluxCube, cells: CellSlices) -> None:
    """Sums of GPP poleward of 45 degrees in the local summer and winter half-year."""
    doy = day_of_year(cube.layout.first + np.arange(piece.days.start, piece.days.stop))
    warm_north = (doy >= 91) & (doy <= 273)
    lat = cube.grid.lat[cells.rows]
    for side, rows, summer in (
        ("north", lat > SEASONAL_LATITUDE, warm_north),
        ("south", lat < -SEASONAL_LATITUDE, ~warm_north),
    ):
        for season, days in (("summer", summer), ("winter", ~summer)):
            values = piece.arrays["gpp"][days][:, rows]
            there = np.isfinite(values)
            tally.add(f"{side} {season} gpp", values[there].sum(dtype=np.float64))
            tally.add(f"{side} {season} n", there.sum())


def _scan_sums(tally: Tally, piece: _Piece, cube: FluxCube, cells: CellSlices, block: int) -> None:
    """Sums of the members, averaged, against the sums of the daily means."""
    index = cube.layout.segment_index(block)
    segments = cube.layout.segments_of(block)
    counts = cube.segment_days(segments, cells)
    for flux in FLUXES:
        means = cube.member_sums(flux, segments, cells).mean(axis=0)
        values = piece.arrays[flux].astype(np.float64)
        for segment in range(len(counts)):
            days = values[index == segment]
            found = np.isfinite(days).sum(axis=0)
            place = f"{flux}_member, {piece.place}"
            tally.fault("sums", counts[segment] != found, f"segment_days, {piece.place}")
            gap = np.abs(means[segment] - np.nansum(days, axis=0))
            allowed = SUM_TOLERANCE[0] * np.nansum(np.abs(days), axis=0) + SUM_TOLERANCE[1]
            tally.fault("sums", ~(gap <= allowed), place)


def _scan_steps(tally: Tally, piece: _Piece, cube: FluxCube, cells: CellSlices, block: int) -> None:
    """Indices only where there are fluxes, and bits that say the same as their thresholds."""
    steps = cube.layout.steps_of(block)
    step = cube.layout.step_index(piece.days) - steps.start
    there = piece.there("gpp")
    served = np.stack([there[step == i].any(axis=0) for i in range(steps.stop - steps.start)])
    tally.add("steps", len(served))
    for name in filter(cube.has, INDEX_BITS):
        index, place = cube.steps(name, steps, cells), f"{name}, {piece.place}"
        known = np.isfinite(index)
        tally.fault("applicability", (known & (~served | (index < 0))) | np.isinf(index), place)
        with np.errstate(invalid="ignore"):
            outside = there & (index > cube.array(name).attrs["applicability_threshold"])[step]
        tally.fault("applicability", has(piece.quality, INDEX_BITS[name]) != outside, place)
        if known.any():
            tally.widen(name, float(index[known].min()), float(index[known].max()))
    _scan_drivers(tally, piece, cube, cells, steps)


def _scan_drivers(
    tally: Tally, piece: _Piece, cube: FluxCube, cells: CellSlices, steps: slice
) -> None:
    """A driver is named, and points are counted, where there is an index and nowhere else."""
    known = np.isfinite(cube.steps("extrapolation", steps, cells))
    driver = cube.steps("extrapolation_driver", steps, cells)
    names = len(cube.array("extrapolation_driver").attrs["flag_values"])
    wrong = ((driver > 0) != known) | (driver >= names)
    tally.fault("applicability", wrong, f"extrapolation_driver, {piece.place}")
    density = cube.steps("point_density", steps, cells)
    wrong = (np.isfinite(density) != known) | (density < 0)
    tally.fault("applicability", wrong, f"point_density, {piece.place}")
