"""A tower with a wrong sign, unit, date or place is named with its numbers; sound ones pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import dates_of, years_of
from upscale.testing.towers import write_towers
from upscale.towers.screening.carbon import balance
from upscale.towers.screening.finding import Finding
from upscale.towers.screening.screens import NAMES, screen_tower, screen_towers
from upscale.towers.table import Tower, TowerWarning, read_towers, read_unscreened
from upscale.towers.tower import DRIVERS
from upscale.variables import FLUXES

Change = Callable[[np.ndarray], object]

#: 1 umol m-2 s-1 of carbon for a day, in g.
UMOL = 86_400e-6 * 12.011


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("towers"), count=8, seed=1)


@pytest.fixture(scope="module")
def towers(folder: Path) -> tuple[Tower, ...]:
    return read_towers(folder)


@pytest.fixture(scope="module")
def sound(towers: tuple[Tower, ...]) -> Tower:
    return towers[0]


def changed(tower: Tower, **changes: Change) -> Tower:
    """A tower with other values of some variables: each is computed from its own."""
    drivers, fluxes = tower.drivers.copy(), tower.fluxes.copy()
    for name, change in changes.items():
        table, names = (drivers, DRIVERS) if name in DRIVERS else (fluxes, FLUXES)
        column = table[:, names.index(name)]
        column[:] = change(column.copy())
    return replace(tower, drivers=drivers, fluxes=fluxes)


def named(tower: Tower) -> set[tuple[str, str, str]]:
    return {(f.screen, f.variable, f.verdict) for f in screen_tower(tower)}


def the(tower: Tower, screen: str) -> Finding:
    return next(f for f in screen_tower(tower) if f.screen == screen)


def test_sound_towers_pass(towers: tuple[Tower, ...]) -> None:
    assert len(towers) == 8
    assert screen_towers(towers) == ()


@pytest.mark.parametrize(
    ("changes", "screen", "words"),
    [
        ({"ta": lambda v: v + 273.15}, "temperature", "TA looks like K (median 28"),
        ({"ta": lambda v: v * 1.8 + 32}, "temperature", "degF?"),
        ({"sw_in": lambda v: v * 0.0864}, "radiation", "SW_IN looks like MJ m-2 d-1"),
        ({"sw_in": lambda v: v * 86_400}, "radiation", "SW_IN is no daily mean in W m-2"),
        ({"sw_in": lambda v: v * 1.75}, "radiation", "top of the atmosphere on 5 % of days"),
        ({"vpd": lambda v: v / 10}, "humidity", "VPD looks like kPa, expected hPa"),
        ({"vpd": lambda v: v * 100}, "humidity", "VPD looks like Pa, expected hPa"),
        ({"p": lambda v: v / 1000}, "rain", "mm a year although"),
        ({"p": lambda v: v / 86_400}, "rain", "mm a year although"),
        ({"nee": lambda v: v / 1000}, "carbon_unit", "NEE looks like kg m-2 d-1"),
        ({"gpp": lambda v: v * 83.3}, "carbon_unit", "GPP looks like mg m-2 d-1, mmol"),
        ({"nee": lambda v: v / UMOL}, "carbon_unit", "NEE in umol m-2 s-1, the others in g"),
        ({"nee": lambda v: v * UMOL}, "carbon_unit", "RECO and GPP in umol m-2 s-1, the others"),
        ({"nee": lambda v: -v}, "nee_sign", "but 0.00 if the sign of NEE is turned"),
        ({"gpp": lambda v: -v}, "gpp_sign", "turn its sign"),
        ({"reco": lambda v: -v}, "reco_sign", "below zero"),
        ({"nee": lambda v: -v, "gpp": lambda v: -v, "reco": lambda v: -v}, "gpp_sign",
         "GPP is below zero on"),
        ({"nee": lambda v: np.roll(v, 400)}, "balance", "these are not of one record"),
        ({"ta": lambda v: np.where(np.arange(v.size) == 9, -6999, v)}, "missing_code",
         "TA is -6999 on 1 days"),
        ({"vpd": lambda v: np.where(np.arange(v.size) < 7, 9999, v)}, "missing_code",
         "VPD is 9999 on 7 days"),
        ({"nee": lambda v: np.where(np.arange(v.size) == 5, 1e20, v)}, "missing_code", "1e+20"),
    ],
)  # fmt: skip
def test_what_is_certainly_wrong_is_named(
    sound: Tower, changes: dict[str, Change], screen: str, words: str
) -> None:
    found = the(changed(sound, **changes), screen)
    assert found.verdict == "certain"
    assert words in found.text
    assert found.numbers


@pytest.mark.parametrize(
    ("changes", "screen", "words"),
    [
        ({"p": lambda v: np.where(np.arange(v.size) % 100 == 0, 0.2, 0)}, "rain", "never exceeds"),
        ({"sw_in": lambda v: v * 1.6}, "radiation", "on 95 % of days"),
        ({"nee": lambda v: v + 0.5}, "balance", "is 0.50 g m-2 d-1 at the median"),
        ({"ta": lambda v: np.where(np.arange(v.size) == 9, 71, v)}, "impossible", "such as 71"),
        ({"gpp": lambda v: np.where(np.arange(v.size) // 30 == 8, 2.5, v)}, "constant",
         "GPP is 2.5 on 30 days in a row from 2003-08-29"),
    ],
)  # fmt: skip
def test_what_is_only_odd_is_told_and_not_refused(
    sound: Tower, changes: dict[str, Change], screen: str, words: str
) -> None:
    odd = changed(sound, **changes)
    found = the(odd, screen)
    assert found.verdict == "suspect"
    assert words in found.text
    assert "certain" not in {verdict for *_, verdict in named(odd)}


def test_a_sign_that_the_balance_hides_shows_in_the_season(sound: Tower) -> None:
    """NEE turned, and RECO or GPP made of it afterwards: the balance is exact."""
    gpp, reco, nee = sound.fluxes.T
    by_reco = changed(sound, nee=lambda v: -v, reco=lambda _: gpp - nee)
    by_gpp = changed(sound, nee=lambda v: -v, gpp=lambda _: reco + nee)
    assert not [*balance(by_reco), *balance(by_gpp)]
    assert ("uptake", "nee", "certain") in named(by_reco)
    assert ("uptake", "nee", "suspect") in named(by_gpp)


def test_a_flux_in_umol_alone_is_seen_and_all_in_umol_is_not(sound: Tower) -> None:
    """A level of 4 percent below says nothing: the page says that this is not seen."""
    everything = dict.fromkeys(FLUXES, lambda v: v / UMOL)
    assert named(changed(sound, **everything)) == set()


def test_a_season_against_the_sun_is_refused(sound: Tower) -> None:
    assert {("season", "sw_in", "certain"), ("season", "ta", "certain")} <= named(
        replace(sound, lat=-sound.lat)
    )
    late = the(replace(sound, days=sound.days + 120), "season")
    assert late.verdict == "certain"
    assert 100 < late.numbers["lag_days"] < 140


def test_one_shifted_year_is_named(sound: Tower) -> None:
    year = years_of(sound.days) == 2005

    def shifted(values: np.ndarray) -> np.ndarray:
        values[year] = np.roll(values[year], 100)
        return values

    found = [f for f in screen_tower(changed(sound, sw_in=shifted)) if f.screen == "season"]
    assert [(f.numbers["year"], f.verdict) for f in found] == [(2005, "certain")]
    assert "SW_IN of 2005 follows the sun by" in found[0].text


def test_coordinates_of_no_place_are_refused(sound: Tower) -> None:
    assert "swapped?" in the(replace(sound, lat=147.2, lon=-42.8), "coordinates").text
    for lat, lon, verdict in ((0.0, 0.0, "certain"), (47.0, 11.0, "suspect")):
        assert the(replace(sound, lat=lat, lon=lon), "coordinates").verdict == verdict


def test_swapped_coordinates_that_may_both_be_latitudes_are_told(sound: Tower) -> None:
    found = the(replace(sound, lat=sound.lon / 10, lon=sound.lat), "latitude")
    assert "lat and lon are swapped" in found.text


def test_a_copied_year_is_refused_and_copied_days_are_told(sound: Tower) -> None:
    years = years_of(sound.days)

    def copied(values: np.ndarray) -> np.ndarray:
        values[years == 2006] = values[years == 2005]
        return values

    found = the(changed(sound, ta=copied), "repeated_year")
    assert found.verdict == "certain"
    assert "2005 and 2006 on 100% of days" in found.text
    days = np.arange(sound.days.size)
    again = days - (days % 5 == 4) * (days > 700)
    twice = replace(sound, drivers=sound.drivers[again], fluxes=sound.fluxes[again])
    assert ("repeated_days", "", "suspect") in named(twice)


def test_a_calendar_without_leap_days_is_told(sound: Tower) -> None:
    leap = np.array([str(date).endswith("-02-29") for date in dates_of(sound.days)])
    drivers, fluxes = sound.drivers.copy(), sound.fluxes.copy()
    drivers[leap], fluxes[leap] = np.nan, np.nan
    found = screen_tower(replace(sound, drivers=drivers, fluxes=fluxes))
    assert [(f.screen, f.verdict) for f in found] == [("leap_day", "suspect")]
    assert "29 February of 2004" in found[0].text


def test_short_and_empty_records_are_not_refused(sound: Tower) -> None:
    """A winter, a drought or a polar night is no wrong unit."""
    short = changed(sound, **{name: lambda v: np.where(v.size, v[:1] * 0, v) for name in DRIVERS})
    part = slice(0, 90)
    one = replace(
        short, days=short.days[part], drivers=short.drivers[part], fluxes=short.fluxes[part],
        quality=short.quality[part], good=short.good[part],
    )  # fmt: skip
    empty = changed(sound, **{n: lambda v: v * np.nan for n in (*DRIVERS, *FLUXES)})
    for tower in (one, replace(empty, good=sound.good & False)):
        assert "certain" not in {verdict for *_, verdict in named(tower)}


def written(folder: Path, place: Path, **sites: object) -> Path:
    """A copy of a folder in which NEE of one tower is turned; sites: columns of its sites."""
    rows = pd.read_parquet(folder / "towers.parquet")
    rows["NEE"] = rows["NEE"].where(rows["site"] != "XX-T01", -rows["NEE"])
    rows.to_parquet(place / "towers.parquet")
    table = pd.read_parquet(folder / "sites.parquet").assign(**sites)
    table.to_parquet(place / "sites.parquet")
    return place


def test_reading_refuses_with_tower_numbers_and_what_to_do(folder: Path, tmp_path: Path) -> None:
    place = written(folder, tmp_path)
    with pytest.raises(ValueError, match=r"XX-T01: NEE - \(RECO - GPP\) is \d.*nee_sign: why"):
        read_towers(place)
    assert len(read_towers(place, ["XX-T00", "XX-T02"])) == 2
    assert len(read_unscreened(place)) == 8


def test_what_is_accepted_with_a_reason_is_read_and_told(folder: Path, tmp_path: Path) -> None:
    sites = pd.read_parquet(folder / "sites.parquet")["site"]
    why = pd.Series(None, sites.index, object).where(sites != "XX-T01", "nee_sign: a test of signs")
    place = written(folder, tmp_path, accepted=why)
    with pytest.warns(TowerWarning, match=r"accepted: XX-T01 \(nee_sign: a test of signs\)"):
        towers = read_towers(place)
    assert towers[1].origin.endswith("; accepted nee_sign: a test of signs")
    assert "accepted" not in towers[0].origin


@pytest.mark.parametrize("text", ["nee_sign", "nee_sign:", "all: because", "nee_sign because"])
def test_to_accept_takes_a_known_finding_and_a_reason(
    folder: Path, tmp_path: Path, text: str
) -> None:
    with pytest.raises(ValueError, match="expected a finding and why it is right"):
        read_towers(written(folder, tmp_path, accepted=text))


def test_suspect_findings_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "towers.parquet")
    rows["SW_IN"] *= 1.6
    rows.to_parquet(tmp_path / "towers.parquet")
    pd.read_parquet(folder / "sites.parquet").to_parquet(tmp_path / "sites.parquet")
    with pytest.warns(TowerWarning) as said:
        assert len(read_towers(tmp_path)) == 8
    (line,) = [str(one.message) for one in said]
    assert "XX-T00 (radiation), XX-T01 (radiation)" in line
    assert "XX-T07" not in line  # it is called suspect in the table of sites already
    assert "\n" not in line


def test_findings_have_known_names(sound: Tower) -> None:
    broken = replace(changed(sound, gpp=lambda v: -v, ta=lambda v: v * 9), lat=0.0, lon=0.0)
    assert {f.screen for f in screen_tower(broken)} <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", ["towers", "towers-fluxnet2015"])
def test_no_real_tower_is_called_wrong_and_every_turned_sign_is_seen(name: str) -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data or not (Path(data) / name).is_dir():
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    towers = read_unscreened(Path(data) / name)
    assert [f.text for f in screen_towers(towers) if f.verdict == "certain"] == []
    for flux in ("nee", "gpp"):
        turned = [list(balance(changed(tower, **{flux: lambda v: -v}))) for tower in towers]
        assert {f.screen for found in turned for f in found} == {f"{flux}_sign"}
        assert all(turned)
