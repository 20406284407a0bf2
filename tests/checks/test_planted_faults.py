"""Faults planted in a finished store by one who also wrote its ledger and its seal.

Every digest agrees: only the numbers, and what the store says of them, can tell.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upscale.checks.cube import count
from upscale.checks.metadata import check_layers, check_metadata
from upscale.checks.report import Check
from upscale.checks.values import conclude
from upscale.engine.check import check_store
from upscale.product.cube import consolidate
from upscale.product.quality import Quality
from upscale.product.reader import open_flux_cube
from upscale.testing.flux_cubes import ATTRIBUTES, MADE_UNCERTAINTY, make_flux_cube, small_layout
from upscale.testing.ledgers import enter_all
from upscale.testing.spoilt import (
    DAY,
    EDGE,
    ITEM,
    SPREADS,
    SUMS,
    UMOL,
    SpoiltStore,
    a_column_lost,
    a_column_outside,
    a_day_between,
    a_day_shifted,
    a_day_twice,
    a_line_twice,
    a_tile_of_one_value,
    add_an_array,
    call_it,
    cells,
    drop_bits,
    every_arrays_rows,
    exchange,
    fluxes_of_another_tile,
    give_values,
    gpp_for_reco,
    half_a_year_later,
    miss_a_day,
    move,
    permuted,
    set_bits,
    stale,
    take_away,
    times,
    within,
    zeros_in_a_region,
    zeros_in_gpp,
)
from upscale.variables import FLUXES

#: What is planted, and the check that sees it.
PLANTED: dict[str, tuple[Callable[[SpoiltStore], None], str]] = {
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
CANNOT_BE_SEEN: dict[str, tuple[Callable[[SpoiltStore], None], str]] = {
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


def plant(whole: str, folder: Path, change: Callable[[SpoiltStore], None]) -> str:
    """A copy with a fault. Files are links: Zarr replaces them, and writes into none."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(whole).parent, folder, copy_function=os.link)
    store = str(folder / "fluxes.zarr")
    change(SpoiltStore(store))
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
    spoilt = SpoiltStore(whole)
    lat, lon = spoilt["lat"][spoilt.row], spoilt["lon"][spoilt.col]
    tile = f"r{spoilt.row // EDGE:03d}c{spoilt.col // EDGE:03d}-b000"
    place = f"{abs(lat):g} {'N' if lat > 0 else 'S'} {abs(lon):g} {'E' if lon > 0 else 'W'}"
    assert finite.found == f"1 infinite values ({tile} reco, 2012-07-19, {place})"
    assert finite.items == (tile,)
    assert finite.remedy.endswith(f"run `upscale repair {store}`")


def test_the_page_names_every_check_and_what_none_can_see(whole: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "check.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    report = check_store(whole)
    assert report.passed, report.describe()
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(check.name for check in report.checks)
    listed = re.findall(r"^- \*\*(.*?)\*\*: (.*)[;.]$", page, re.MULTILINE)
    assert listed == [(name, reason) for name, (_, reason) in CANNOT_BE_SEEN.items()]
