"""Towers on the grid: what a worker reads at a tower's cell is the tower's own series."""

import datetime as dt
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from rich.console import Console

from upscale.calendar import date_of, day_number
from upscale.commands import towers_on_grid as command
from upscale.drivers.cube import DriverError, open_cube
from upscale.drivers.from_towers import TowersOnGrid, period_of, towers_on_grid
from upscale.drivers.tiles import read_features, read_surface
from upscale.grid import load_grid
from upscale.testing.towers import write_towers
from upscale.variables import IGBP, KOPPEN

FEATURES = ("ta", "sw_in", "vpd", "p")
COLUMNS = ["TA", "SW_IN", "VPD", "P"]
GRID = load_grid("global-0p05")


@dataclass(frozen=True)
class World:
    """A folder of towers, its tables read without the code under test, and its cube."""

    sites: pd.DataFrame
    rows: pd.DataFrame
    report: TowersOnGrid

    def series(self, site: str) -> np.ndarray:
        """Drivers `(day, driver)` of the period as in the file, NaN where there is no row."""
        days = pd.date_range(self.report.first, self.report.last)
        own = self.rows[self.rows["site"] == site].set_index("date")[COLUMNS]
        return own.reindex(days).to_numpy(np.float32)


def build(folder: Path, url: Path, start: int, end: int) -> World:
    report = towers_on_grid(folder, str(url), start, end)
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    return World(sites, pd.read_parquet(folder / "towers.parquet"), report)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("made") / "towers", count=8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> World:
    """Made towers, 2003 to 2006, in a cube of 2002 to 2005."""
    return build(folder, tmp_path_factory.mktemp("cube") / "made.zarr", 2002, 2005)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> World:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    url = tmp_path_factory.mktemp("cube") / "real.zarr"
    return build(Path(data) / "towers", url, 2001, 2019)


@pytest.fixture(params=["made", "real"])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(request.param)


def read_cell(world: World, row: int, col: int) -> np.ndarray:
    """Features `(day, driver)` of one cell, the way a worker reads them."""
    cube = open_cube(world.report.url)
    surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
    count = cube.last - cube.first + 1
    values: np.ndarray = read_features(cube, surface, FEATURES, cube.first, count).values[0]
    return values


def test_every_series_comes_back_bit_for_bit(world: World) -> None:
    for tower in world.report.kept:
        there = read_cell(world, tower.row, tower.col)
        given = world.series(tower.site)
        np.testing.assert_array_equal(there.view(np.uint32), given.view(np.uint32))


def test_a_tower_lies_in_its_own_cell(world: World) -> None:
    for tower in world.report.kept:
        site = world.sites.loc[tower.site]
        assert (tower.lat, tower.lon) == (site["lat"], site["lon"])
        assert abs(GRID.lat[tower.row] - tower.lat) <= 0.025 + 1e-9
        assert abs(GRID.lon[tower.col] - tower.lon) <= 0.025 + 1e-9


def test_every_tower_is_kept_or_named(world: World) -> None:
    kept = [tower.site for tower in world.report.kept]
    named = [tower.site for tower in world.report.left_out]
    assert sorted(kept + named) == sorted(world.sites.index)
    cells = {(tower.row, tower.col) for tower in world.report.kept}
    assert len(cells) == len(kept)


def good_days(world: World, site: str) -> int:
    rows = world.rows[world.rows["site"] == site]
    fluxes = rows[["GPP", "RECO", "NEE"]].notna().all(axis=1)
    return int((fluxes & ((rows["NEE_QC"] >= 0.75) | rows["qc_masked"])).sum())


def test_of_towers_in_one_cell_the_one_with_most_good_days_is_kept(world: World) -> None:
    shared = [left for left in world.report.left_out if "shares cell" in left.reason]
    assert shared
    for left in shared:
        keeper = left.reason.split("with ")[1].split(",")[0]
        assert keeper in {tower.site for tower in world.report.kept}
        kept, other = good_days(world, keeper), good_days(world, left.site)
        assert kept >= other
        assert f"({kept} against {other})" in left.reason


def test_the_cells_are_the_towers_and_nothing_else(world: World) -> None:
    cube = open_cube(world.report.url)
    surface = read_surface(cube, slice(0, 3600), slice(0, 7200))
    found = {(int(row), int(col)) for row, col in np.argwhere(surface.land)}
    assert found == {(tower.row, tower.col) for tower in world.report.kept}
    assert (~surface.outside).sum() == len(found)
    assert (surface.sftlf[surface.land] == 100).all()
    for tower in world.report.kept:
        site, cell = world.sites.loc[tower.site], (tower.row, tower.col)
        assert IGBP[surface.igbp[cell] - 1] == site["igbp"]
        assert KOPPEN[surface.koppen[cell] - 1] == site["koppen"]
        np.testing.assert_equal(surface.elevation[cell], site["elevation"])


def test_the_cube_says_what_it_is(world: World) -> None:
    cube = open_cube(world.report.url)
    assert cube.day_definition == "local-standard"
    assert cube.attributes["tile"] == 25
    assert "composites" in cube.attributes["comment"]
    assert cube.grid == cube.series["meteo"].grid == GRID
    assert date_of(cube.first) == world.report.first
    assert date_of(cube.last) == world.report.last
    assert [t["site"] for t in cube.attributes["towers"]] == [t.site for t in world.report.kept]
    products = set(world.sites.loc[[t.site for t in world.report.kept], "source"])
    assert all(product in cube.attributes["source"] for product in products)
    assert cube.attributes["citations"]
    assert cube.attributes["license"]
    assert [t["site"] for t in cube.attributes["towers_left_out"]] == [
        t.site for t in world.report.left_out
    ]


def test_the_real_towers_fill_74_cells(real: World) -> None:
    assert len(real.report.kept) == 74
    assert [left.site for left in real.report.left_out] == [
        "US-Hn3", "US-Rwf", "ES-LM2", "US-SCs", "US-SRS",
    ]  # fmt: skip


def test_the_29th_of_february_has_its_own_row(made: World) -> None:
    assert made.report.first == dt.date(2002, 1, 1)
    assert made.report.last == dt.date(2005, 12, 31)
    tower = made.report.kept[0]
    leap = day_number(dt.date(2004, 2, 29)) - day_number(dt.date(2002, 1, 1))
    own = made.rows[(made.rows["site"] == tower.site) & (made.rows["date"] == "2004-02-29")]
    there = read_cell(made, tower.row, tower.col)[leap]
    np.testing.assert_array_equal(there, own[COLUMNS].to_numpy(np.float32)[0])


def test_days_before_the_record_are_missing(made: World) -> None:
    tower = made.report.kept[0]
    there = read_cell(made, tower.row, tower.col)
    assert np.isnan(there[:365]).all()
    assert np.isfinite(there[365:, :3]).all()
    assert tower.days == 365 + 366 + 365


def test_a_tower_without_precipitation_has_none_in_the_cube(made: World) -> None:
    tower = next(tower for tower in made.report.kept if tower.site == "XX-T02")
    there = read_cell(made, tower.row, tower.col)
    assert np.isnan(there[:, 3]).all()
    assert np.isfinite(there[365:, :3]).all()


def test_only_chunks_with_towers_are_stored(made: World) -> None:
    chunks = {(tower.row // 10, tower.col // 10) for tower in made.report.kept}
    stored = zarr.open_group(made.report.url, mode="r")["meteo/ta"].nchunks_initialized
    assert stored == len(chunks)


def changed(folder: Path, place: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """A copy of a folder with another table of rows."""
    shutil.copytree(folder, place)
    rows = pd.read_parquet(place / "towers.parquet")
    change(rows).to_parquet(place / "towers.parquet")
    return place


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("TA", 288.5, r"1 values of TA outside -95..65 degC, the first 288.5 on 2003-01-06"),
        ("VPD", -2.0, r"1 values of VPD outside 0..150 hPa, the first -2 on 2003-01-06"),
        ("P", np.inf, r"1 values of P outside 0..2000 mm d-1, the first inf on 2003-01-06"),
    ],
)
def test_an_impossible_value_names_tower_day_and_range(
    tmp_path: Path, folder: Path, column: str, value: float, message: str
) -> None:
    def spoil(rows: pd.DataFrame) -> pd.DataFrame:
        at = (rows["site"] == "XX-T03") & (rows["date"] == "2003-01-06")
        rows.loc[at, column] = np.float32(value)
        return rows

    place = changed(folder, tmp_path / "towers", spoil)
    with pytest.raises(DriverError, match=f"tower XX-T03: {message}"):
        towers_on_grid(place, str(tmp_path / "out.zarr"), 2003, 2004)
    assert not (tmp_path / "out.zarr").exists()


def test_a_missing_column_is_named(tmp_path: Path, folder: Path) -> None:
    place = changed(folder, tmp_path / "towers", lambda rows: rows.drop(columns=["SW_IN"]))
    with pytest.raises(ValueError, match=r"missing column of .*towers.parquet: SW_IN"):
        towers_on_grid(place, str(tmp_path / "out.zarr"), 2003, 2004)


def test_a_folder_without_towers_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sites\.parquet"):
        towers_on_grid(tmp_path, str(tmp_path / "out.zarr"), 2003, 2004)


def test_a_tower_nowhere_on_earth_is_named(tmp_path: Path, folder: Path) -> None:
    place = changed(folder, tmp_path / "towers", lambda rows: rows)
    sites = pd.read_parquet(place / "sites.parquet")
    sites.loc[sites["site"] == "XX-T04", "lat"] = np.nan
    sites.to_parquet(place / "sites.parquet")
    with pytest.raises(ValueError, match=r"expected lat and lon .* XX-T04; add them to .*sites"):
        towers_on_grid(place, str(tmp_path / "out.zarr"), 2003, 2004)


def test_years_without_any_tower_are_refused_with_the_years_there_are(
    tmp_path: Path, folder: Path
) -> None:
    message = "no tower has drivers between 1990-01-01 and 1991-12-31; .* 2003-01-01 to 2006-12-31"
    with pytest.raises(DriverError, match=message):
        towers_on_grid(folder, str(tmp_path / "out.zarr"), 1990, 1991)
    with pytest.raises(DriverError, match="ends after it starts"):
        towers_on_grid(folder, str(tmp_path / "out.zarr"), 2004, 2003)


def test_a_tower_without_drivers_in_the_period_is_named(tmp_path: Path, folder: Path) -> None:
    def silence(rows: pd.DataFrame) -> pd.DataFrame:
        at = (rows["site"] == "XX-T05") & (rows["date"] < "2005-01-01")
        rows.loc[at, COLUMNS] = np.float32(np.nan)
        return rows

    place = changed(folder, tmp_path / "towers", silence)
    day = dt.date(2004, 3, 1)
    report = towers_on_grid(place, str(tmp_path / "out.zarr"), day, day + dt.timedelta(9))
    reasons = {left.site: left.reason for left in report.left_out}
    assert reasons["XX-T05"] == "no drivers between 2004-03-01 and 2004-03-10"
    assert len(report.kept) == 6


def test_a_period_may_be_given_by_years_or_by_days() -> None:
    by_year = period_of(2001, 2019)
    assert by_year == period_of(dt.date(2001, 1, 1), dt.date(2019, 12, 31))
    assert command.year_or_date("2001") == 2001
    assert command.year_or_date("2001-05-17") == dt.date(2001, 5, 17)
    with pytest.raises(ValueError, match="expected a year or a date like 2001-05-17, found 'x'"):
        command.year_or_date("x")


def test_a_finished_cube_is_replaced_only_on_request(tmp_path: Path, folder: Path) -> None:
    url, day = str(tmp_path / "out.zarr"), dt.date(2004, 3, 1)
    first = towers_on_grid(folder, url, day, day)
    with pytest.raises(FileExistsError, match=r"exists already; .* --overwrite"):
        towers_on_grid(folder, url, day, day)
    assert open_cube(url).digest == first.digest
    assert towers_on_grid(folder, url, day, day, overwrite=True).digest == first.digest
    del zarr.open_group(url, mode="r+").attrs["digest"]
    assert towers_on_grid(folder, url, day, day).digest == first.digest


def test_what_is_no_driver_cube_is_never_replaced(tmp_path: Path, folder: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.png").write_text("meow")
    fluxes = str(tmp_path / "fluxes.zarr")
    zarr.open_group(fluxes, mode="w").attrs["kind"] = "upscale flux cube"
    array = str(tmp_path / "array.zarr")
    zarr.create_array(array, shape=(3,), dtype="f4")
    for taken in (str(photos), fluxes, array):
        with pytest.raises(FileExistsError, match="no driver cube; give another path"):
            towers_on_grid(folder, taken, 2003, 2003, overwrite=True)
    assert (photos / "cat.png").read_text() == "meow"


def test_the_table_names_kept_and_left_out_towers(made: World) -> None:
    text = io.StringIO()
    command.show(made.report, Console(file=text, width=160))
    for site in made.sites.index:
        assert site in text.getvalue()
    assert "shares cell" in text.getvalue()


def test_composites_of_towers_stand_on_the_days_of_their_periods(
    folder: Path, tmp_path: Path
) -> None:
    towers = shutil.copytree(folder, tmp_path / "towers")
    rows = [
        ("XX-T04", "NDVI", "2003-12-27", 8, 0.25),
        ("XX-T04", "NDVI", "2004-01-01", 8, 0.5),
        ("XX-T05", "FPAR", "2004-02-02", 8, 0.75),
    ]
    columns = ["site", "variable", "date", "period_days", "value"]
    table = pd.DataFrame(rows, columns=columns).assign(product="made", units="1")
    table.assign(date=pd.to_datetime(table["date"])).to_parquet(towers / "satellite.parquet")
    report = build(towers, tmp_path / "seen.zarr", 2004, 2004).report
    cube = open_cube(report.url)
    assert cube.series["satellite"].variables == ("ndvi", "fapar")
    first = day_number(report.first)
    places = {tower.site: (tower.row, tower.col) for tower in report.kept}
    expected = {
        "XX-T04": {"ndvi": [(0, 3, 0.5), (3, 8, 0.5)]},
        "XX-T05": {"fapar": [(32, 40, 0.75)]},
    }
    for site, (row, col) in places.items():
        surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
        read = read_features(cube, surface, ("ndvi", "fapar"), first, 366)
        assert not read.filled.any()
        series = np.full((366, 2), np.nan, np.float32)
        for name, spans in expected.get(site, {}).items():
            for begin, end, value in spans:
                series[begin:end, ("ndvi", "fapar").index(name)] = value
        np.testing.assert_array_equal(read.values[0], series)


def test_towers_without_composites_make_no_satellite_group(made: World) -> None:
    assert "satellite" not in open_cube(made.report.url).series
