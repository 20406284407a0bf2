"""Faults planted in a finished store by one who also wrote its ledger and its seal.

Every digest agrees: only the numbers, and what the store says of them, can tell.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from upscale.checks.cube import count
from upscale.checks.metadata import check_layers, check_metadata
from upscale.checks.report import Check
from upscale.checks.values import conclude
from upscale.engine.check import check_store
from upscale.product.cube import consolidate
from upscale.product.quality import FILL, REASONS, Quality
from upscale.product.reader import open_flux_cube
from upscale.testing.flux_cubes import ATTRIBUTES, MADE_UNCERTAINTY, make_flux_cube, small_layout
from upscale.testing.ledgers import enter_all
from upscale.variables import FLUXES

SPREADS = tuple(f"{flux}_sd" for flux in FLUXES)
SUMS = tuple(f"{flux}_member" for flux in FLUXES)
LAYERS = ("sftlf", "igbp", "koppen")
STEPS = ("extrapolation", "extrapolation_driver", "point_density", "extrapolation_embedding")
ITEM = (*FLUXES, *SPREADS, *SUMS, "segment_days", "quality", "filled_share", *STEPS)
EDGE, DAY = 12, 200
UMOL = 12.011e-6 * 86400  # g m-2 d-1 of carbon in one umol m-2 s-1 of carbon dioxide


class Store:
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


def take_away(s: Store, where: Any, reason: int) -> None:
    """No values in some cells `(row, col)`, with a reason, in all arrays of a work item."""
    fills = {"quality": reason, "filled_share": 255, "segment_days": 0, "extrapolation_driver": 0}
    for name in ITEM:
        values = s[name]
        values[..., where] = fills.get(name, np.nan)
        s[name] = values


def cells(s: Store, count: int = 1) -> Any:
    mask = np.zeros_like(s.land)
    mask[tuple(np.argwhere(s.land)[len(np.argwhere(s.land)) // 2 :][:count].T)] = True
    return mask


def zeros_in_a_region(s: Store) -> None:
    part = s.tiles()[0]
    s.every((*FLUXES, *SPREADS, *SUMS), within(part, lambda v: np.where(np.isfinite(v), 0, v)))


def zeros_in_gpp(s: Store) -> None:
    rows, cols = s.tiles()[0]
    part = slice(rows.start + 2, rows.stop - 2), slice(cols.start + 2, cols.stop - 2)
    s.every(("gpp", "gpp_sd", "gpp_member"), within(part, lambda v: np.where(np.isfinite(v), 0, v)))


def a_day_twice(s: Store, of: int = DAY - 1) -> None:
    for name in (*FLUXES, *SPREADS, "filled_share"):
        s.put(name, DAY, s[name][of])
    s.sum_again()


def a_day_between(s: Store) -> None:
    for flux in FLUXES:
        daily = s[flux]
        daily[DAY] = (daily[DAY - 1] + daily[DAY + 1]) / 2
        s[flux] = daily
    s.sum_again()


def a_day_shifted(s: Store) -> None:
    for name in (*FLUXES, *SPREADS, "quality", "filled_share"):
        s.put(name, DAY, np.roll(s[name][DAY], 1, axis=-1))
    s.sum_again()


def a_column_lost(s: Store) -> None:
    column = np.zeros_like(s.land)
    column[:, s.line()] = s.land[:, s.line()]
    take_away(s, column, int(Quality.NO_DRIVERS))


def a_column_outside(s: Store) -> None:
    column = np.zeros_like(s.land)
    column[:, s.line()] = True
    take_away(s, column, FILL)
    s.put("sftlf", column, np.nan)


def a_line_twice(s: Store, axis: int) -> None:
    place = s.line()
    if axis == -2:
        beside = s.land[:-1] & s.land[1:]
        place = int(np.argmax(beside.sum(axis=1))) + 1

    def shift(values: Any) -> Any:
        turned = np.moveaxis(values, axis, -1).copy()
        turned[..., place:] = turned[..., place - 1 : -1].copy()
        return np.moveaxis(turned, -1, axis)

    s.every((*ITEM, *LAYERS), shift)


def a_tile_of_one_value(s: Store) -> None:
    def flat(values: Any) -> Any:
        mean = np.nanmean(values, axis=(-2, -1), keepdims=True)
        return np.where(np.isfinite(values), mean, values)

    s.every((*FLUXES, *SPREADS, *SUMS), within(s.tiles()[0], flat))


def fluxes_of_another_tile(s: Store) -> None:
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


def permuted(s: Store) -> Callable[[Any], Any]:
    order = np.random.default_rng(0).permutation(int(s.land.sum()))

    def change(values: Any) -> Any:
        values[..., s.land] = values[..., s.land][..., order]
        return values

    return change


def call_it(s: Store, flag: Quality) -> None:
    take_away(s, cells(s), int(flag))


def give_values(s: Store, bit: Quality, names: tuple[str, ...] = FLUXES) -> None:
    row, col = np.argwhere((s["quality"][0] & int(bit)) > 0)[0]
    for name in (*ITEM,):
        s.put(name, (..., row, col), s[name][..., s.row, s.col])


def set_bits(s: Store, bits: int, where: Any = None) -> None:
    quality = s["quality"]
    where = (DAY, s.row, s.col) if where is None else where
    quality[where] |= bits
    s["quality"] = quality


def drop_bits(s: Store, bits: int) -> None:
    quality = s["quality"]
    s["quality"] = quality & ~quality.dtype.type(bits)


def every_arrays_rows(s: Store, axis: int, by: int | None) -> None:
    turn = (lambda v: np.flip(v, axis)) if by is None else (lambda v: np.roll(v, by, axis))
    s.every((*ITEM, *LAYERS), turn)


def half_a_year_later(s: Store) -> None:
    s.every((*FLUXES, *SPREADS, "quality", "filled_share"), lambda v: np.roll(v, 180, axis=0))
    s.every(STEPS, lambda v: np.roll(v, 12, axis=0))


def gpp_for_reco(s: Store) -> None:
    for ending in ("", "_sd", "_member"):
        one, other = s[f"gpp{ending}"], s[f"reco{ending}"]
        s[f"gpp{ending}"], s[f"reco{ending}"] = other, one


def miss_a_day(s: Store) -> None:
    for name in (*FLUXES, *SPREADS):
        s.put(name, DAY, np.nan)
    quality = s["quality"]
    land = (quality[DAY] & int(REASONS)) == 0
    quality[DAY, land] = int(Quality.NO_DRIVERS)
    s["quality"] = quality
    s.put("filled_share", DAY, 255)
    s.sum_again()


def stale(s: Store) -> None:
    """The metadata in the root are those of before."""
    s.attributes("gpp", comment="changed after the store was made")


def add_an_array(s: Store) -> None:
    s.group.create_array("gpp_old", data=s["gpp"][:1])


def move(name: str, by: float) -> Callable[[Store], None]:
    return lambda s: s.every((name,), lambda v: (v + by).astype(v.dtype))


#: What is planted, and the check that sees it.
PLANTED: dict[str, tuple[Callable[[Store], None], str]] = {
    "two tiles exchanged": (
        lambda s: s.every(ITEM, exchange(*s.tiles()[:2])), "ground"),
    "the fluxes of another tile": (fluxes_of_another_tile, "seams"),
    "a tile multiplied": (
        lambda s: s.every((*FLUXES, *SPREADS, *SUMS), within(s.tiles()[0], times(1.5))), "seams"),
    "a tile upside down": (
        lambda s: s.every(ITEM, within(s.tiles()[3], lambda v: v[..., ::-1, :])), "ground"),
    "a tile of one value": (a_tile_of_one_value, "members"),
    "NEE turned in a tile": (
        lambda s: s.every(("nee", "nee_member"), within(s.tiles()[0], times(-1))), "turned"),
    "zeros in a region": (zeros_in_a_region, "zeros"),
    "zeros in GPP": (zeros_in_gpp, "zeros"),
    "a day twice": (a_day_twice, "repeats"),
    "a day of another month": (lambda s: a_day_twice(s, DAY - 61), "repeats"),
    "a day shifted": (a_day_shifted, "ground"),
    "a day missing": (miss_a_day, "days"),
    "a column missing": (a_column_lost, "lines"),
    "a column outside the domain": (a_column_outside, "lines"),
    "columns shifted": (lambda s: a_line_twice(s, -1), "lines"),
    "rows shifted": (lambda s: a_line_twice(s, -2), "lines"),
    "umol labelled as g": (
        lambda s: s.every((*FLUXES, *SPREADS), times(1 / UMOL)), "sums"),
    "kg m-2 s-1 labelled as g m-2 d-1": (
        lambda s: s.every((*FLUXES, *SPREADS, *SUMS), times(1e-3 / 86400)), "scale"),
    "halved land share": (lambda s: s.every(("sftlf",), times(0.5)), "land_shares"),
    "land share as a fraction": (lambda s: s.every(("sftlf",), times(0.01)), "land_shares"),
    "areas in km2": (lambda s: s.every(("areacella",), times(1e-6)), "areas"),
    "spread zero": (lambda s: s.every(SPREADS, times(0)), "zeros"),
    "spread tenfold": (lambda s: s.every(SPREADS, times(10)), "members"),
    "spread of NEE tenfold": (lambda s: s.every(("nee_sd",), times(10)), "members"),
    "spread a tenth": (lambda s: s.every(SPREADS, times(0.1)), "members"),
    "spreads permuted over cells": (lambda s: s.every(("gpp_sd",), permuted(s)), "members"),
    "spread of RECO given for GPP": (
        lambda s: s.__setitem__("gpp_sd", s["reco_sd"]), "members"),
    "spread beyond any ensemble": (
        lambda s: s.put("gpp_sd", (DAY, s.row, s.col), 30), "spread"),
    "a negative spread": (lambda s: s.put("gpp_sd", (DAY, s.row, s.col), -1), "spread"),
    "sums of members all alike": (
        lambda s: s.every(SUMS, lambda v: np.broadcast_to(v.mean(axis=0), v.shape)), "members"),
    "sums permuted over cells": (lambda s: s.every(SUMS, permuted(s)), "sums"),
    "sums doubled": (lambda s: s.every(("reco_member",), times(2)), "sums"),
    "days of sums miscounted": (
        lambda s: s.put("segment_days", (..., s.row, s.col), 3), "sums"),
    "water on land": (lambda s: call_it(s, Quality.WATER), "ground"),
    "ice on forest": (lambda s: call_it(s, Quality.ICE), "ground"),
    "values on water": (lambda s: give_values(s, Quality.WATER), "land"),
    "values on ice": (lambda s: give_values(s, Quality.ICE), "ground"),
    "missing without a reason": (
        lambda s: s.put("gpp", (DAY, s.row, s.col), np.nan), "reasons"),
    "a reason beside a value": (lambda s: set_bits(s, int(Quality.TOO_SHORT)), "reasons"),
    "not produced": (lambda s: call_it(s, Quality.NOT_PRODUCED), "produced"),
    "a reason beside a bit of values": (
        lambda s: set_bits(s, int(Quality.CLIPPED), (DAY, *np.argwhere(~s.land)[0])), "bits"),
    "a bit that is none": (lambda s: set_bits(s, 1 << 31), "bits"),
    "a class unknown and unseen": (
        lambda s: set_bits(s, int(Quality.CLASS_UNKNOWN | Quality.CLASS_UNSEEN)), "bits"),
    "a class unknown without its bit": (lambda s: s.put("koppen", (s.row, s.col), 0), "classes"),
    "IGBP beyond the legend": (lambda s: s.put("igbp", (s.row, s.col), 99), "classes"),
    "Koeppen beyond the legend": (lambda s: s.put("koppen", (s.row, s.col), 31), "classes"),
    "the class of water under values": (lambda s: s.put("igbp", (s.row, s.col), 17), "ground"),
    "filled_share constant": (
        lambda s: s.every(("filled_share",), lambda v: np.where(v <= 100, 7, v)), "filled_share"),
    "a filled day outside its window": (
        lambda s: set_bits(s, int(Quality.DRIVERS_FILLED)), "filled_share"),
    "a share above 100": (
        lambda s: s.put("filled_share", (DAY, s.row, s.col), 120), "filled_share"),
    "bits of applicability dropped": (
        lambda s: drop_bits(s, int(Quality.OUTSIDE_APPLICABILITY)), "applicability"),
    "indices shifted by a step": (
        lambda s: s.every(("extrapolation",), lambda v: np.roll(v, 1, axis=0)), "applicability"),
    "NEE turned": (lambda s: s.every(("nee", "nee_member"), times(-1)), "sign"),
    "GPP and RECO exchanged": (gpp_for_reco, "sign"),
    "north and south exchanged": (lambda s: every_arrays_rows(s, -2, None), "seasons"),
    "half a year later": (half_a_year_later, "seasons"),
    "an infinite value": (lambda s: s.put("reco", (DAY, s.row, s.col), np.inf), "finite"),
    "negative GPP": (lambda s: s.put("gpp", (DAY, s.row, s.col), -0.01), "nonnegative"),
    "an impossible value": (lambda s: s.put("nee", (DAY, s.row, s.col), 400), "range"),
    "time shifted": (move("time", 1), "axes"),
    "latitudes turned": (lambda s: s.every(("lat",), lambda v: v[::-1]), "axes"),
    "longitudes from 0 to 360": (move("lon", 180), "axes"),
    "members numbered from one": (move("member", 1), "axes"),
    "bounds of latitude shifted": (move("lat_bnds", 0.5), "bounds"),
    "bounds of segments zeroed": (
        lambda s: s.every(("segment_bnds",), lambda v: v * 0), "bounds"),
    "bounds of steps shifted": (move("step_bnds", 1), "bounds"),
    "metadata in the root stale": (stale, "consolidated"),
    "an array of nobody": (add_an_array, "arrays"),
    "another sphere": (lambda s: s.attributes("crs", semi_major_axis=6371000.0), "reference"),
    "another grid mapping": (
        lambda s: s.attributes("crs", grid_mapping_name="rotated_latitude_longitude"), "reference"),
    "a mean over the whole cell": (
        lambda s: s.attributes("gpp", cell_methods="area: mean time: mean"), "reference"),
    "cells without areas": (lambda s: s.attributes("nee", cell_measures=""), "reference"),
    "another unit": (lambda s: s.attributes("reco", units="umol m-2 s-1"), "units"),
    "days counted from another year": (
        lambda s: s.attributes("time", units="days since 1900-01-01"), "units"),
    "NEE without its sign": (lambda s: s.attributes("nee", comment="a flux"), "labels"),
    "another period said": (
        lambda s: s.attributes("", time_coverage_end="2013-12-31T23:59:59Z"), "labels"),
    "masks of other bits": (
        lambda s: s.attributes("quality", flag_masks=s.group["quality"].attrs["flag_masks"][::-1]),
        "flags"),
    "another legend": (
        lambda s: s.attributes("igbp", flag_meanings="unknown water forest"), "flags"),
    "a digest that is none": (lambda s: s.attributes("", driver_digest="ours"), "provenance"),
}  # fmt: skip

#: What is planted, and why no number tells.
CANNOT_BE_SEEN: dict[str, tuple[Callable[[Store], None], str]] = {
    "umol in every array": (
        lambda s: s.every((*FLUXES, *SPREADS, *SUMS), times(1 / UMOL)),
        "four per cent less of everything is what another model would give"),
    "a level twice as high": (
        lambda s: s.every((*FLUXES, *SPREADS, *SUMS), times(2)),
        "all values are possible, and the store holds no measured flux to compare with"),
    "a day between its neighbours": (
a_day_between,
        "weather may be so, and drivers are not in the store"),
    "values removed with a reason": (
        lambda s: take_away(s, cells(s, 5), int(Quality.NO_DRIVERS)),
        "drivers are not in the store: they may be missing there"),
    "the bit of the training range dropped": (
        lambda s: drop_bits(s, int(Quality.OUTSIDE_TRAINING_RANGE)),
        "neither drivers nor their range in training are in the store"),
    "two classes of vegetation exchanged": (
        lambda s: s.every(("igbp",), lambda v: np.where(v == 4, 5, np.where(v == 5, 4, v))),
        "both have fluxes, and classes come from the drivers"),
    "a tenth of the land in some cells": (
        lambda s: s.every(("sftlf",), lambda v: np.where(cells(s, 9), v * np.float32(0.9), v)),
        "coasts have any share, and shares come from the drivers"),
    "the planet turned with all its layers": (
        lambda s: every_arrays_rows(s, -1, EDGE),
        "only names of longitudes tell where a continent lies"),
    "members in another order": (
        lambda s: s.every(SUMS, lambda v: v[::-1]),
        "members have numbers and no names"),
    "another model named": (
        lambda s: s.attributes("", model_name="another"),
        "a name says nothing that a number could contradict"),
}  # fmt: skip

#: Checks that another test makes fail: nothing can be read, or nothing has its shape.
ELSEWHERE = {"shapes", "layers", "readable", "fill_values"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A year on 1152 cells in 8 tiles, with ledger and seal."""
    url = str(tmp_path_factory.mktemp("whole") / "fluxes.zarr")
    layout = small_layout(dt.date(2012, 1, 1), dt.date(2012, 12, 25), rows=24, tile=EDGE, block=360)
    digests = {"run_digest": "2" * 64, "history": "made", "complete": False}
    make_flux_cube(url, layout, ATTRIBUTES | digests, MADE_UNCERTAINTY)
    consolidate(url)
    enter_all(url)
    return url


def plant(whole: str, folder: Path, change: Callable[[Store], None]) -> str:
    """A copy with a fault. Files are links: Zarr replaces them, and writes into none."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(whole).parent, folder, copy_function=os.link)
    store = str(folder / "fluxes.zarr")
    change(Store(store))
    if change is not stale:
        consolidate(store)
    return store


def failures(store: str) -> list[Check]:
    """The checks of metadata that fail; where none does, those of the values."""
    cube = open_flux_cube(store)
    checks = [*check_metadata(cube), *check_layers(cube)]
    if all(check.passed for check in checks):
        checks = conclude(count(cube), store, cube.layout)
    return [check for check in checks if not check.passed]


def test_planted_faults_are_caught(whole: str, tmp_path: Path) -> None:
    missed, elsewhere = [], []
    for name, (change, check) in PLANTED.items():
        failed = failures(plant(whole, tmp_path / "spoilt", change))
        if not failed:
            missed.append(name)
        elif check not in {each.name for each in failed}:
            elsewhere.append(f"{name}: expected {check}, found {failed}")
        for each in failed:
            assert "upscale repair" in each.remedy or each.name == "arrays", each
    caught = len(PLANTED) - len(missed)
    print(f"{caught} of {len(PLANTED)} planted faults caught; {len(CANNOT_BE_SEEN)} cannot be")
    assert missed == []
    assert elsewhere == []


@pytest.mark.parametrize("name", ["a tile multiplied", "halved land share", "a day twice"])
def test_ledger_and_seal_agree_with_what_was_planted(whole: str, tmp_path: Path, name: str) -> None:
    change, check = PLANTED[name]
    store = plant(whole, tmp_path / "spoilt", change)
    before = {each.name for each in check_store(store).checks if not each.passed}
    enter_all(store)
    after = {each.name for each in check_store(store).checks if not each.passed}
    assert "digests" in before
    assert {"digests", "entries", "fixed", "seal"} & after == set()
    assert check in after


@pytest.mark.parametrize("name", CANNOT_BE_SEEN)
def test_what_numbers_cannot_show_is_named(whole: str, tmp_path: Path, name: str) -> None:
    change, reason = CANNOT_BE_SEEN[name]
    failed = failures(plant(whole, tmp_path / "spoilt", change))
    assert not failed, f"{name} is seen: take it from the list"
    assert reason


def test_every_check_of_the_values_has_a_planted_fault(whole: str) -> None:
    sealed = {
        "ledger",
        "digests",
        "agreement",
        "seal",
        "attributes",
        "metadata",
        "fixed",
        "entries",
    }
    names = {check.name for check in check_store(whole).checks} - sealed - ELSEWHERE
    assert names == {check for _, check in PLANTED.values()}


def test_a_fault_is_named_with_item_day_and_cell(whole: str, tmp_path: Path) -> None:
    store = plant(whole, tmp_path / "spoilt", PLANTED["an infinite value"][0])
    (finite,) = (each for each in failures(store) if each.name == "finite")
    spoilt = Store(whole)
    lat, lon = spoilt["lat"][spoilt.row], spoilt["lon"][spoilt.col]
    tile = f"r{spoilt.row // EDGE:03d}c{spoilt.col // EDGE:03d}-b000"
    place = f"{abs(lat):g} {'N' if lat > 0 else 'S'} {abs(lon):g} {'E' if lon > 0 else 'W'}"
    assert finite.found == f"1 infinite values ({tile} reco, 2012-07-19, {place})"
    assert finite.items == (tile,)
    assert finite.remedy.endswith(f"run `upscale repair {store}`")
