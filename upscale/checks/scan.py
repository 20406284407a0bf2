"""The one pass over the values: each rectangle of cells and block of days is read once, and what
is wrong in it is counted.

Arrays are zero-filled in place after the first look at them, so that all sums are plain ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year
from upscale.checks.piece import SPREADS, Piece
from upscale.checks.tally import Tally, empty_tally
from upscale.product.quality import REASONS, Quality, has
from upscale.product.reader import FluxCube
from upscale.product.uncertainty import INDEX_BITS
from upscale.variables import FLUXES, IGBP, KOPPEN, variable

#: Poleward of this latitude GPP peaks in summer everywhere on land.
SEASONAL_LATITUDE = 45.0
#: Relative (to the sum of magnitudes) and absolute (g m-2) tolerance of a sum of float32.
SUM_TOLERANCE = (1e-4, 1e-3)
#: The spread of a sum is at most the sum of the spreads (Minkowski); room for rounding.
SPREAD_TOLERANCE = (1e-3, 1e-2)
#: RECO, g m-2 d-1, of a place that is neither frozen nor bare: GPP there is not zero.
LIVING = 2.0
#: Days that no window reaches across.
FAR = 90
#: Exact zeros of NEE in one work item, which is not clipped, that are no coincidence.
MANY_ZEROS = 20
#: Values of a work item from which NEE is compared with RECO - GPP, and the cosine between both
#: below which its sign is turned.
MANY_VALUES, TURNED = 1000, -0.3
#: Spread of the sums of members over the sum of daily spreads, at least, in a work item of so many
#: cells: one where members always differ alike, near zero where the spreads are not those of these
#: members. The order of members may turn with the seasons: at single towers NEE comes down to 0.11.
ALIKE, SOME_CELLS = 0.1001, 10

Reals = NDArray[np.float64]


def scan(cube: FluxCube, piece: Piece) -> Tally:
    """Count what is in one rectangle of cells in one block of days; the piece is used up."""
    tally = empty_tally(cube.layout)
    tally.per_day[piece.days] = piece.there["gpp"].sum(axis=(1, 2))
    for flux in FLUXES:
        _scan_flux(tally, piece, flux)
        _scan_spread(tally, piece, flux, cube.layout.members)
    _scan_ground(tally, piece)
    _scan_quality(tally, piece)
    for name, values in piece.arrays.items():
        values[~piece.there[name]] = 0
    _scan_zeros(tally, piece, cube.layout.members)
    _scan_closure(tally, piece)
    _scan_seasons(tally, piece)
    if cube.has_sums:
        _scan_sums(tally, piece, cube)
    if cube.has_steps:
        _scan_steps(tally, piece, cube)
    return tally


def _scan_flux(tally: Tally, piece: Piece, flux: str) -> None:
    """Count impossible values of a flux, and values that do not match their quality."""
    values, row, there = piece.arrays[flux], variable(flux), piece.there[flux]
    infinite = np.isinf(values)
    piece.fault(tally, "finite", infinite, flux)
    piece.fault(tally, "reasons", (there | infinite) == piece.reason, flux)
    bare = ~(piece.sftlf > 0) & there.any(axis=0)
    if bare.any():
        piece.fault(tally, "land", there & bare, flux)
    if not there.any():
        return
    low, high = (
        float(values.min(where=there, initial=np.inf)),
        float(values.max(where=there, initial=-np.inf)),
    )
    tally.widen(flux, low, high)
    with np.errstate(invalid="ignore"):
        if low < row.valid_min or high > row.valid_max:
            beyond = there & ((values < row.valid_min) | (values > row.valid_max))
            piece.fault(tally, "range", beyond, flux)
        if flux != "nee" and low < 0:
            piece.fault(tally, "nonnegative", there & (values < 0), flux)


def _scan_spread(tally: Tally, piece: Piece, flux: str, members: int) -> None:
    """A spread is there where a flux is, not negative, and no larger than members above zero let
    it be: sd <= mean sqrt(members)."""
    name = f"{flux}_sd"
    spread, known, there = piece.arrays[name], piece.there[name], piece.there[flux]
    with np.errstate(invalid="ignore"):
        wrong = (known & ((spread < 0) | ~there)) | np.isinf(spread)
        if members > 1:
            wrong |= there & ~known
            if flux != "nee":
                most = np.float32(1.001 * members**0.5)
                wrong |= spread > most * piece.arrays[flux] + np.float32(1e-5)
    piece.fault(tally, "spread", wrong, name)
    if known.any():
        low, high = (
            spread.min(where=known, initial=np.inf),
            spread.max(where=known, initial=-np.inf),
        )
        tally.widen(name, float(low), float(high))


def _scan_ground(tally: Tally, piece: Piece) -> None:
    """Codes in the legend, and reasons that are those of the static layers, in every cell."""
    for name, codes, legend in (("igbp", piece.igbp, IGBP), ("koppen", piece.koppen, KOPPEN)):
        piece.fault(tally, "classes", codes > len(legend), name)
    bare = piece.ground > 0
    same = (piece.any_bit == piece.ground) & (piece.every_bit == piece.ground)
    on_land = (piece.any_bit & _mask(piece, Quality.WATER | Quality.ICE)) > 0
    piece.fault(tally, "ground", np.where(bare, ~same, on_land), "quality")
    unknown = ((piece.igbp == 0) | (piece.koppen == 0)) & piece.valued
    said = (piece.any_bit & _mask(piece, Quality.CLASS_UNKNOWN)) > 0
    piece.fault(tally, "classes", (unknown != said) & ~bare, "quality")


def _mask(piece: Piece, flags: Quality) -> Any:
    """Bits in the type of the stored quality: stores of version 0.1 have 16 of them."""
    dtype = piece.quality.dtype
    return dtype.type(int(flags) & np.iinfo(dtype).max)


def _scan_quality(tally: Tally, piece: Piece) -> None:
    """Bits that can be together, and the share of filled days as the bits of the days say."""
    domain = np.isfinite(piece.sftlf)
    tally.add("cells in domain x blocks", domain.sum())
    missed = (piece.any_bit & _mask(piece, Quality.NOT_PRODUCED)) > 0
    if (missed & domain).any():
        left_out = has(piece.quality, Quality.NOT_PRODUCED) & domain
        piece.fault(tally, "produced", left_out, "quality")
    _scan_bits(tally, piece)
    there = piece.there["gpp"]
    share = piece.filled
    piece.fault(tally, "filled_share", (share <= 100) != there, "filled_share")
    _scan_filled(tally, piece)


def _scan_bits(tally: Tally, piece: Piece) -> None:
    """Bits that are none, reasons beside bits that qualify a value, and two opposites."""
    known, flags = Quality(0), Quality(0)
    for flag in Quality:
        known |= flag
        flags |= Quality(0) if flag & REASONS else flag
    strange = (piece.any_bit & ~_mask(piece, known)) > 0
    qualified = (piece.any_bit & _mask(piece, flags)) > 0
    both = qualified & (piece.any_bit & _mask(piece, REASONS) > 0)
    piece.fault(tally, "bits", strange, "quality")
    if both.any():
        clash = piece.reason & has(piece.quality, flags)
        piece.fault(tally, "bits", clash, "quality")
    unseen = Quality.CLASS_UNKNOWN | Quality.CLASS_UNSEEN
    mask = _mask(piece, unseen)
    piece.fault(tally, "bits", (piece.any_bit & mask) == mask, "quality")


def _scan_filled(tally: Tally, piece: Piece) -> None:
    """A day with a filled driver lies in its own window; a share without any such day near is
    made up."""
    there, share = piece.there["gpp"], piece.filled
    bit = has(piece.quality, Quality.DRIVERS_FILLED)
    wrong = there & ((bit & (share == 0)) | (~bit & (share == 100)))
    piece.fault(tally, "filled_share", wrong, "filled_share")
    middle = slice(FAR, len(share) - FAR)
    if middle.start < middle.stop:
        whole = there.all(axis=0) & ~bit.any(axis=0)
        alone = whole & (share[middle].max(axis=0) > 0)
        piece.fault(tally, "filled_share", alone, "filled_share")


def _scan_zeros(tally: Tally, piece: Piece, members: int) -> None:
    """Exact zeros: a mean of members that are clipped is zero where all of them are."""
    clipped = has(piece.quality, Quality.CLIPPED)
    zero = {flux: piece.there[flux] & (piece.arrays[flux] == 0) for flux in FLUXES}
    for flux in ("gpp", "reco"):
        if members > 1:
            split = zero[flux] & (piece.arrays[f"{flux}_sd"] > 0)
            piece.fault(tally, "zeros", split, flux)
    piece.fault(tally, "zeros", zero["reco"] & ~clipped, "reco")
    alive = zero["gpp"] & ~clipped & (piece.arrays["reco"] > LIVING)
    piece.fault(tally, "zeros", alive, "gpp")
    if np.count_nonzero(zero["nee"]) >= MANY_ZEROS:
        piece.fault(tally, "zeros", zero["nee"], "nee")
    if members > 1:
        same = piece.there["gpp"] & (piece.arrays["gpp_sd"] == 0) & (piece.arrays["gpp"] > 0.1)
        if np.count_nonzero(same) > 0.01 * np.count_nonzero(piece.there["gpp"]):
            piece.fault(tally, "zeros", same, "gpp_sd")


def _scan_closure(tally: Tally, piece: Piece) -> None:
    """NEE against RECO - GPP, over all values and in every work item."""
    there = piece.there["gpp"] & piece.there["reco"] & piece.there["nee"]
    nee = piece.arrays["nee"]
    balance = piece.arrays["reco"] - piece.arrays["gpp"]
    if not all(np.array_equal(there, piece.there[flux]) for flux in FLUXES):
        nee, balance = nee * there, balance * there
    residual = nee - balance
    sums = {
        "n": there.sum(axis=0).astype(np.float64),
        "residual": residual.sum(axis=0, dtype=np.float64),
        "residual2": _product(residual, residual),
        "nee2": _product(nee, nee),
        "balance2": _product(balance, balance),
        "nee_balance": _product(nee, balance),
    }
    tiles = {name: piece.by_tile(cells) for name, cells in sums.items()}
    for name, parts in tiles.items():
        tally.add(name, parts.sum())
    size = np.sqrt(tiles["nee2"] * tiles["balance2"])
    turned = (tiles["n"] >= MANY_VALUES) & (tiles["nee_balance"] < TURNED * size)
    piece.tile_fault(tally, "turned", turned, "nee")


def _product(one: NDArray[np.float32], other: NDArray[np.float32]) -> Reals:
    """Sum over days of a product, `(row, col)`."""
    product: Reals = np.einsum("drc,drc->rc", one, other).astype(np.float64)
    return product


def _scan_seasons(tally: Tally, piece: Piece) -> None:
    """Sums of GPP poleward of 45 degrees in the local summer and winter half-year."""
    doy = day_of_year(piece.layout.first + np.arange(piece.days.start, piece.days.stop))
    warm_north = (doy >= 91) & (doy <= 273)
    lat = piece.grid.lat[piece.cells.rows]
    for side, rows, summer in (
        ("north", lat > SEASONAL_LATITUDE, warm_north),
        ("south", lat < -SEASONAL_LATITUDE, ~warm_north),
    ):
        if not rows.any():
            continue
        per_day = piece.arrays["gpp"][:, rows].sum(axis=(1, 2), dtype=np.float64)
        count = piece.there["gpp"][:, rows].sum(axis=(1, 2))
        for season, days in (("summer", summer), ("winter", ~summer)):
            tally.add(f"{side} {season} gpp", per_day[days].sum())
            tally.add(f"{side} {season} n", count[days].sum())


@dataclass(frozen=True)
class _Segments:
    """Sums over the days of each segment of a block, `(segment, row, col)`."""

    edges: NDArray[np.int64]

    def sum(self, values: NDArray[Any], dtype: Any = np.float64) -> NDArray[Any]:
        parts = [
            values[a:b].sum(axis=0, dtype=dtype)
            for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)
        ]
        return np.stack(parts)


def _scan_sums(tally: Tally, piece: Piece, cube: FluxCube) -> None:
    """Sums of the members against the sums of the daily means and of the daily spreads."""
    index = cube.layout.segment_index(piece.block)
    segments = cube.layout.segments_of(piece.block)
    each = _Segments(np.append(np.searchsorted(index, np.arange(index[-1] + 1)), len(index)))
    first = piece.days.start + each.edges
    counts = cube.segment_days(segments, piece.cells)
    for flux, spread in zip(FLUXES, SPREADS, strict=True):
        members = cube.member_sums(flux, segments, piece.cells)
        values = piece.arrays[flux]
        found = each.sum(piece.there[flux], np.int64)
        piece.fault(tally, "sums", counts != found, "segment_days", first)
        size = each.sum(np.abs(values) if flux == "nee" else values)
        gap = np.abs(members.mean(axis=0) - (each.sum(values) if flux == "nee" else size))
        allowed = (SUM_TOLERANCE[0] + piece.rounding) * size + SUM_TOLERANCE[1]
        piece.fault(tally, "sums", ~(gap <= allowed), f"{flux}_member", first)
        if cube.layout.members > 1:
            _compare_spreads(tally, piece, spread, members, each.sum(piece.arrays[spread]), first)


def _compare_spreads(
    tally: Tally, piece: Piece, name: str, members: Reals, most: Reals, first: Any
) -> None:
    """The spread of a sum over days is at most the sum of the spreads of its days, and not
    nothing beside it: members differ alike from day to day."""
    found = members.std(axis=0, ddof=1)
    relative, absolute = SPREAD_TOLERANCE
    rounding = (relative + piece.rounding) * most + absolute + 1e-6 * np.abs(members).max(axis=0)
    piece.fault(tally, "members", found > most + rounding, name, first)
    differ = piece.by_tile(found.sum(axis=0)), piece.by_tile(most.sum(axis=0))
    many = piece.by_tile(most.max(axis=0) > 0) >= SOME_CELLS
    piece.tile_fault(tally, "members", many & (differ[0] < ALIKE * differ[1]), name)


def _scan_steps(tally: Tally, piece: Piece, cube: FluxCube) -> None:
    """Indices only where there are fluxes, and bits that say the same as their thresholds."""
    steps = cube.layout.steps_of(piece.block)
    step = cube.layout.step_index(piece.days) - steps.start
    there = piece.there["gpp"]
    served = np.stack([there[step == i].any(axis=0) for i in range(steps.stop - steps.start)])
    first = piece.days.start + np.searchsorted(step, np.arange(len(served)))
    tally.add("steps", len(served))
    for name in filter(cube.has, INDEX_BITS):
        index = cube.steps(name, steps, piece.cells)
        known = np.isfinite(index)
        wrong = (known & (~served | (index < 0))) | np.isinf(index)
        piece.fault(tally, "applicability", wrong, name, first)
        with np.errstate(invalid="ignore"):
            outside = there & (index > cube.array(name).attrs["applicability_threshold"])[step]
        differs = has(piece.quality, INDEX_BITS[name]) != outside
        piece.fault(tally, "applicability", differs, name)
        if known.any():
            tally.widen(name, float(index[known].min()), float(index[known].max()))
    _scan_drivers(tally, piece, cube, steps, first)


def _scan_drivers(tally: Tally, piece: Piece, cube: FluxCube, steps: slice, first: Any) -> None:
    """A driver is named, and points are counted, where there is an index and nowhere else."""
    known = np.isfinite(cube.steps("extrapolation", steps, piece.cells))
    driver = cube.steps("extrapolation_driver", steps, piece.cells)
    names = len(cube.array("extrapolation_driver").attrs["flag_values"])
    wrong = ((driver > 0) != known) | (driver >= names)
    piece.fault(tally, "applicability", wrong, "extrapolation_driver", first)
    density = cube.steps("point_density", steps, piece.cells)
    wrong = (np.isfinite(density) != known) | (density < 0)
    piece.fault(tally, "applicability", wrong, "point_density", first)
