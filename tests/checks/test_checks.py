"""The numeric gate: a good cube passes, and each way to spoil it fails the check of its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from upscale.checks.cube import check_cube
from upscale.product.quality import Quality

DAY, ROW, COL = 200, 6, 4  # a cell with land and values, as a test below proves


def edit(store: str) -> zarr.Group:
    return zarr.open_group(store, mode="r+", use_consolidated=False)


def scale(store: str, names: tuple[str, ...], factor: float) -> None:
    for name in names:
        array = edit(store)[name]
        array[...] = array[...] * np.float32(factor)


def put(store: str, name: str, where: tuple[object, ...], value: float) -> None:
    edit(store)[name][where] = value


def turn_the_sign_of_nee(store: str) -> None:
    scale(store, ("nee", "nee_member"), -1)


def mirror_north_and_south(store: str) -> None:
    for name, array in edit(store).arrays():
        if array.ndim >= 2 and "bnds" not in name and name != "areacella":
            array[...] = np.flip(array[...], axis=-2)


def mirror_the_fluxes_alone(store: str) -> None:
    for name in ("gpp", "reco", "nee"):
        array = edit(store)[name]
        array[...] = np.flip(array[...], axis=1)


def lose_a_day(store: str) -> None:
    put(store, "gpp", (DAY,), np.nan)


def lose_a_day_with_a_reason(store: str) -> None:
    root = edit(store)
    for name in ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd"):
        root[name][DAY] = np.nan
    root["quality"][DAY] = root["quality"][DAY] | int(Quality.NO_DRIVERS)
    root["filled_share"][DAY] = 255


def lose_a_column(store: str) -> None:
    put(store, "nee", (slice(None), slice(None), COL), np.nan)


def drop_the_last_column(store: str) -> None:
    root = edit(store)
    for name, array in root.arrays():
        if name == "lon" or (array.ndim >= 2 and "bnds" not in name):
            array.resize((*array.shape[:-1], array.shape[-1] - 1))


def make_infinite(store: str) -> None:
    put(store, "reco", (DAY, ROW, COL), np.inf)


def relabel_the_unit(store: str) -> None:
    edit(store)["gpp"].attrs["units"] = "kg m-2 s-1"


def write_si_numbers(store: str) -> None:
    names = ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd")
    scale(store, (*names, "gpp_member", "reco_member", "nee_member"), 1e-3 / 86400)


def write_square_kilometres(store: str) -> None:
    scale(store, ("areacella",), 1e-6)


def shift_the_bounds(store: str) -> None:
    bounds = edit(store)["lat_bnds"]
    bounds[...] = bounds[...] + 0.5


def turn_latitudes(store: str) -> None:
    lat = edit(store)["lat"]
    lat[...] = lat[...][::-1]


def shift_time(store: str) -> None:
    time = edit(store)["time"]
    time[...] = time[...] + 1


def make_gpp_negative(store: str) -> None:
    put(store, "gpp", (DAY, ROW, COL), -0.01)


def make_impossible(store: str) -> None:
    put(store, "nee", (DAY, ROW, COL), 400)


def make_a_spread_negative(store: str) -> None:
    put(store, "gpp_sd", (DAY, ROW, COL), -1)


def lose_a_spread(store: str) -> None:
    put(store, "nee_sd", (DAY, ROW, COL), np.nan)


def double_the_sums(store: str) -> None:
    scale(store, ("reco_member",), 2)


def miscount_days(store: str) -> None:
    put(store, "segment_days", (0, ROW, COL), 3)


def leave_a_cell_out(store: str) -> None:
    put(store, "quality", (DAY, 0, 0), int(Quality.NOT_PRODUCED))


def write_land_as_fraction(store: str) -> None:
    scale(store, ("sftlf",), 0.01)


def take_the_land_away(store: str) -> None:
    put(store, "sftlf", (ROW, COL), 0)


def call_land_water(store: str) -> None:
    root = edit(store)
    for name in ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd"):
        root[name][:, ROW, COL] = np.nan
    root["quality"][:, ROW, COL] = int(Quality.WATER)


def spoil_the_filled_share(store: str) -> None:
    put(store, "filled_share", (DAY, ROW, COL), 255)


def hide_the_sign(store: str) -> None:
    edit(store)["nee"].attrs["comment"] = "net ecosystem exchange"


def call_the_planet_earth(store: str) -> None:
    edit(store).attrs["title"] = "Carbon fluxes"


def lose_provenance(store: str) -> None:
    root = edit(store)
    for name in list(root.attrs):
        if name.startswith("model_"):
            del root.attrs[name]


def let_holes_read_as_good(store: str) -> None:
    file = Path(store) / "quality" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fill_value": 0}))


MUTANTS: dict[str, list[Callable[[str], None]]] = {
    "sign": [turn_the_sign_of_nee],
    "seasons": [mirror_north_and_south],
    "reasons": [mirror_the_fluxes_alone, lose_a_day, lose_a_column],
    "days": [lose_a_day_with_a_reason],
    "shapes": [drop_the_last_column],
    "finite": [make_infinite],
    "units": [relabel_the_unit],
    "scale": [write_si_numbers],
    "areas": [write_square_kilometres],
    "bounds": [shift_the_bounds],
    "axes": [turn_latitudes, shift_time],
    "nonnegative": [make_gpp_negative],
    "range": [make_impossible],
    "spread": [make_a_spread_negative, lose_a_spread],
    "sums": [double_the_sums, miscount_days],
    "produced": [leave_a_cell_out],
    "land_shares": [write_land_as_fraction],
    "land": [take_the_land_away],
    "ground": [call_land_water],
    "filled_share": [spoil_the_filled_share],
    "labels": [hide_the_sign, call_the_planet_earth],
    "provenance": [lose_provenance],
    "fill_values": [let_holes_read_as_good],
}


def test_a_good_cube_passes_every_check(year_store: str, made_store: str) -> None:
    for store in (year_store, made_store):
        report = check_cube(store)
        assert report.passed, report.describe()


def test_the_cell_of_these_tests_has_values(year_store: str) -> None:
    root = zarr.open_group(year_store, mode="r")
    assert root["gpp"][DAY, ROW, COL] > 0.1
    assert root["sftlf"][ROW, COL] > 0


@pytest.mark.parametrize(
    ("check", "mutant"),
    [pytest.param(k, m, id=f"{m.__name__}-{k}") for k, ms in MUTANTS.items() for m in ms],
)
def test_a_spoilt_cube_fails_the_check_of_that_name(
    copied: str, check: str, mutant: Callable[[str], None]
) -> None:
    mutant(copied)
    report = check_cube(copied)
    assert check in report.failures, report.describe()
    (failed,) = (each for each in report.checks if each.name == check)
    assert failed.remedy in failed.describe()


def test_an_unfinished_cube_passes_when_it_may_be_unfinished(copied: str) -> None:
    root = edit(copied)
    for name in ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd"):
        root[name][DAY, ROW, COL] = np.nan
    root["quality"][DAY, ROW, COL] = int(Quality.NOT_PRODUCED)
    root["filled_share"][DAY, ROW, COL] = 255
    assert "produced" in check_cube(copied).failures
    assert "produced" not in {check.name for check in check_cube(copied, finished=False).checks}


def test_a_check_can_be_waived_by_name_and_is_still_shown(copied: str) -> None:
    turn_the_sign_of_nee(copied)
    report = check_cube(copied, waive=("sign", "turned"))
    assert report.passed
    assert "waived  sign" in report.describe()


def test_a_report_goes_into_json_with_its_figures(year_store: str) -> None:
    report = json.loads(json.dumps(check_cube(year_store).to_dict(), allow_nan=False))
    assert report["passed"] is True
    assert report["figures"]["gpp_max"] > 1
    assert report["figures"]["closure_rms"] == pytest.approx(0, abs=1e-5)


def test_faults_are_placed(copied: str) -> None:
    make_infinite(copied)
    (finite,) = (each for each in check_cube(copied).checks if each.name == "finite")
    assert "1 infinite values (r000c000-b000 reco, 2012-07-19, 25 N 135 W)" in finite.found
    assert finite.items == ("r000c000-b000",)


def test_a_cube_of_sixteen_bits_passes(copied: str) -> None:
    """As version 0.1 wrote the quality of its values."""
    group = edit(copied)
    old = group["quality"]
    values, text, dims = old[...].astype(np.uint16), dict(old.attrs), old.metadata.dimension_names
    text["flag_masks"] = [mask for mask in text["flag_masks"] if mask < 1 << 16]
    text["flag_meanings"] = " ".join(text["flag_meanings"].split()[: len(text["flag_masks"])])
    fill = int(Quality.NOT_PRODUCED)
    group.create_array("quality", data=values, fill_value=fill, dimension_names=dims,
                       attributes=text, overwrite=True)  # fmt: skip
    report = check_cube(copied)
    assert report.passed, report.describe()
