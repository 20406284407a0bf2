"""Faults that are planted in a finished store, to see which of them a check finds.

A change takes the values of an array and gives others; it works on rows and columns, the last two
axes, so that one change fits arrays of days, sums, steps and layers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from upscale.checks.seal import SEAL
from upscale.jobs.ledger import beside
from upscale.product.quality import FILL, REASONS, Quality
from upscale.product.reader import open_flux_cube
from upscale.variables import FLUXES

SPREADS = tuple(f"{flux}_sd" for flux in FLUXES)
SUMS = tuple(f"{flux}_member" for flux in FLUXES)
LAYERS = ("sftlf", "igbp", "koppen")
STEPS = ("extrapolation", "extrapolation_driver", "point_density", "extrapolation_embedding")
ITEM = (*FLUXES, *SPREADS, *SUMS, "segment_days", "quality", "filled_share", *STEPS)
EDGE, DAY = 12, 200
UMOL = 12.011e-6 * 86400  # g m-2 d-1 of carbon in one umol m-2 s-1 of carbon dioxide


class SpoiltStore:
    """A store to spoil: its arrays, and a cell, tile and line that have values."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = zarr.open_group(url, mode="r+", use_consolidated=False)
        self.land = np.isfinite(self["gpp"]).all(axis=0)
        self.row, self.col = map(int, np.argwhere(self.land)[len(np.argwhere(self.land)) // 2])

    def __getitem__(self, name: str) -> Any:
        return self.group[name][...]

    def __setitem__(self, name: str, values: Any) -> None:
        self.group[name][...] = values

    def every(self, names: tuple[str, ...], change: Callable[[Any], Any]) -> None:
        """Change arrays one by one; a change works on rows and columns, the last two axes."""
        for name in names:
            self[name] = change(self[name])

    def put(self, name: str, where: Any, value: Any) -> None:
        values = self[name]
        values[where] = value
        self[name] = values

    def tiles(self) -> list[tuple[slice, slice]]:
        """Tiles with land, most first."""
        rows, cols = self.land.shape
        found = [(slice(r, r + EDGE), slice(c, c + EDGE)) for r in range(0, rows, EDGE)
                 for c in range(0, cols, EDGE)]  # fmt: skip
        return sorted(found, key=lambda tile: -int(self.land[tile].sum()))

    def line(self) -> int:
        """The column that has values beside most others that have them."""
        beside = self.land[:, :-2] & self.land[:, 1:-1] & self.land[:, 2:]
        return int(np.argmax(beside.sum(axis=0))) + 1

    def sum_again(self) -> None:
        """Sums of the members whose mean is the sum of the daily means once more."""
        index = open_flux_cube(self.url).layout.segment_index(0)
        for flux in FLUXES:
            sums, daily = self[f"{flux}_member"], self[flux]
            for segment in range(index[-1] + 1):
                days = daily[index == segment]
                there = np.isfinite(days).any(axis=0)
                part = np.nan_to_num(sums[:, segment])
                part += np.nansum(days, axis=0) - part.mean(axis=0)
                sums[:, segment] = np.where(there, part, np.nan)
            self[f"{flux}_member"] = sums
        known = np.isfinite(self["gpp"])
        for segment in range(index[-1] + 1):
            self.put("segment_days", segment, known[index == segment].sum(axis=0))

    def attributes(self, name: str, **values: Any) -> None:
        (self.group[name] if name else self.group).attrs.update(values)


def times(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * np.float32(factor)


def exchange(one: Any, other: Any) -> Callable[[Any], Any]:
    """Two parts of all rows and columns, each in the place of the other."""

    def change(values: Any) -> Any:
        new = values.copy()
        new[..., *one], new[..., *other] = values[..., *other], values[..., *one]
        return new

    return change


def within(part: tuple[slice, slice], change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of one part of all rows and columns."""

    def changed(values: Any) -> Any:
        values[..., *part] = change(values[..., *part])
        return values

    return changed


def take_away(s: SpoiltStore, where: Any, reason: int) -> None:
    """No values in some cells `(row, col)`, with a reason, in all arrays of a work item."""
    fills = {"quality": reason, "filled_share": 255, "segment_days": 0, "extrapolation_driver": 0}
    for name in ITEM:
        values = s[name]
        values[..., where] = fills.get(name, np.nan)
        s[name] = values


def cells(s: SpoiltStore, count: int = 1) -> Any:
    mask = np.zeros_like(s.land)
    mask[tuple(np.argwhere(s.land)[len(np.argwhere(s.land)) // 2 :][:count].T)] = True
    return mask


def zeros_in_a_region(s: SpoiltStore) -> None:
    part = s.tiles()[0]
    s.every((*FLUXES, *SPREADS, *SUMS), within(part, lambda v: np.where(np.isfinite(v), 0, v)))


def zeros_in_gpp(s: SpoiltStore) -> None:
    rows, cols = s.tiles()[0]
    part = slice(rows.start + 2, rows.stop - 2), slice(cols.start + 2, cols.stop - 2)
    s.every(("gpp", "gpp_sd", "gpp_member"), within(part, lambda v: np.where(np.isfinite(v), 0, v)))


def a_day_twice(s: SpoiltStore, of: int = DAY - 1) -> None:
    for name in (*FLUXES, *SPREADS, "filled_share"):
        s.put(name, DAY, s[name][of])
    s.sum_again()


def a_day_between(s: SpoiltStore) -> None:
    for flux in FLUXES:
        daily = s[flux]
        daily[DAY] = (daily[DAY - 1] + daily[DAY + 1]) / 2
        s[flux] = daily
    s.sum_again()


def a_day_shifted(s: SpoiltStore) -> None:
    for name in (*FLUXES, *SPREADS, "quality", "filled_share"):
        s.put(name, DAY, np.roll(s[name][DAY], 1, axis=-1))
    s.sum_again()


def a_column_lost(s: SpoiltStore) -> None:
    column = np.zeros_like(s.land)
    column[:, s.line()] = s.land[:, s.line()]
    take_away(s, column, int(Quality.NO_DRIVERS))


def a_column_outside(s: SpoiltStore) -> None:
    column = np.zeros_like(s.land)
    column[:, s.line()] = True
    take_away(s, column, FILL)
    s.put("sftlf", column, np.nan)


def a_line_twice(s: SpoiltStore, axis: int) -> None:
    """All arrays shifted by one from a row (axis -2) or column (-1) on, which is there twice."""
    place = s.line()
    if axis == -2:
        beside = s.land[:-1] & s.land[1:]
        place = int(np.argmax(beside.sum(axis=1))) + 1

    def shift(values: Any) -> Any:
        turned = np.moveaxis(values, axis, -1).copy()
        turned[..., place:] = turned[..., place - 1 : -1].copy()
        return np.moveaxis(turned, -1, axis)

    s.every((*ITEM, *LAYERS), shift)


def a_tile_of_one_value(s: SpoiltStore) -> None:
    def flat(values: Any) -> Any:
        mean = np.nanmean(values, axis=(-2, -1), keepdims=True)
        return np.where(np.isfinite(values), mean, values)

    s.every((*FLUXES, *SPREADS, *SUMS), within(s.tiles()[0], flat))


def fluxes_of_another_tile(s: SpoiltStore) -> None:
    """The land of one tile has the fluxes of land beyond the equator."""
    here, there = np.zeros_like(s.land), np.zeros_like(s.land)
    rows, cols = s.tiles()[0]
    here[rows, cols] = s.land[rows, cols]
    there[::-1][rows, cols] = s.land[::-1][rows, cols]
    from_there = np.argwhere(there)[np.arange(here.sum()) % there.sum()]

    def take(values: Any) -> Any:
        values[..., here] = values[..., from_there[:, 0], from_there[:, 1]]
        return values

    s.every((*FLUXES, *SPREADS, *SUMS), take)


def permuted(s: SpoiltStore) -> Callable[[Any], Any]:
    order = np.random.default_rng(0).permutation(int(s.land.sum()))

    def change(values: Any) -> Any:
        values[..., s.land] = values[..., s.land][..., order]
        return values

    return change


def call_it(s: SpoiltStore, flag: Quality) -> None:
    take_away(s, cells(s), int(flag))


def give_values(s: SpoiltStore, bit: Quality, names: tuple[str, ...] = FLUXES) -> None:
    row, col = np.argwhere((s["quality"][0] & int(bit)) > 0)[0]
    for name in (*ITEM,):
        s.put(name, (..., row, col), s[name][..., s.row, s.col])


def set_bits(s: SpoiltStore, bits: int, where: Any = None) -> None:
    quality = s["quality"]
    where = (DAY, s.row, s.col) if where is None else where
    quality[where] |= bits
    s["quality"] = quality


def drop_bits(s: SpoiltStore, bits: int) -> None:
    quality = s["quality"]
    s["quality"] = quality & ~quality.dtype.type(bits)


def every_arrays_rows(s: SpoiltStore, axis: int, by: int | None) -> None:
    turn = (lambda v: np.flip(v, axis)) if by is None else (lambda v: np.roll(v, by, axis))
    s.every((*ITEM, *LAYERS), turn)


def half_a_year_later(s: SpoiltStore) -> None:
    s.every((*FLUXES, *SPREADS, "quality", "filled_share"), lambda v: np.roll(v, 180, axis=0))
    s.every(STEPS, lambda v: np.roll(v, 12, axis=0))


def gpp_for_reco(s: SpoiltStore) -> None:
    for ending in ("", "_sd", "_member"):
        one, other = s[f"gpp{ending}"], s[f"reco{ending}"]
        s[f"gpp{ending}"], s[f"reco{ending}"] = other, one


def miss_a_day(s: SpoiltStore) -> None:
    for name in (*FLUXES, *SPREADS):
        s.put(name, DAY, np.nan)
    quality = s["quality"]
    land = (quality[DAY] & int(REASONS)) == 0
    quality[DAY, land] = int(Quality.NO_DRIVERS)
    s["quality"] = quality
    s.put("filled_share", DAY, 255)
    s.sum_again()


def stale(s: SpoiltStore) -> None:
    """The metadata in the root are those of before."""
    s.attributes("gpp", comment="changed after the store was made")


def add_an_array(s: SpoiltStore) -> None:
    s.group.create_array("gpp_old", data=s["gpp"][:1])


def move(name: str, by: float) -> Callable[[SpoiltStore], None]:
    return lambda s: s.every((name,), lambda v: (v + by).astype(v.dtype))


def rot(store: str, name: str = "gpp", chunk: Sequence[int] = (0, 1, 1)) -> None:
    """Turn the bits of a byte in a stored object, so that it cannot be decoded any more."""
    file = Path(store).joinpath(name, "c", *map(str, chunk))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def spoil_metadata(store: str) -> None:
    """Layers, axes and attributes of others, a layer that is gone, and no seal."""
    group: Any = zarr.open_group(store, mode="r+", use_consolidated=False)
    for name in ("sftlf", "segment_bnds", "lat"):
        group[name][...] = group[name][...] * 0
    group["gpp"].attrs["units"] = "kg m-2 s-1"
    group.attrs.update({"model_name": "another", "run_digest": "0" * 64, "more": "words"})
    shutil.rmtree(Path(store) / "koppen")
    rot(store, "igbp", (0, 0))
    Path(beside(store, "ledger"), SEAL).unlink()
