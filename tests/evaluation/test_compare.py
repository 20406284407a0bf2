"""Flux cubes beside towers: known errors come back as known scores, and nobody is dropped."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from upscale.calendar import day_number, day_numbers
from upscale.commands import compare as command
from upscale.evaluation.compare import Comparison, compare, quartiles, write_json
from upscale.evaluation.skill import SKILL_COLUMNS, SkillRow
from upscale.grid import Grid, Tile, load_grid
from upscale.product.cube import create_flux_cube
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import Quality
from upscale.product.shards import TileFluxes, write_item
from upscale.testing.towers import write_towers
from upscale.variables import FLUXES

FIRST = day_number(pd.Timestamp("2004-02-01").date())
TILE = 12
LAYOUT = FluxLayout(load_grid("global-0p5"), FIRST, 400, TILE, 3, "none")
COLUMNS = ["GPP", "RECO", "NEE"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight made towers: 0 and 1 share a cell, the last is suspect."""
    return write_towers(tmp_path_factory.mktemp("made") / "towers", count=8)


def good(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of good flux days, by the rule in the data set's README."""
    there = rows[COLUMNS].notna().all(axis=1)
    return rows[there & ((rows["NEE_QC"] >= 0.75) | rows["qc_masked"])]


def measured(folder: Path, layout: FluxLayout = LAYOUT) -> dict[str, pd.DataFrame]:
    """Good flux days of the period, by site, read without the code under test."""
    rows = good(pd.read_parquet(folder / "towers.parquet"))
    day = day_numbers(rows["date"].to_numpy()) - layout.first
    rows = rows.assign(day=day)[(day >= 0) & (day < layout.count)]
    return dict(iter(rows.groupby(rows["site"].astype(str))))


def write_fluxes(
    url: Path, folder: Path, skip: tuple[str, ...] = (), layout: FluxLayout = LAYOUT, **attrs: Any
) -> str:
    """A flux cube that is wrong by exactly 1, 2 and -3 at every tower, by flux."""
    create_flux_cube(str(url), layout, {"model_name": "made-v1", **attrs})
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    blocks: dict[Tile, dict[str, np.ndarray]] = {}
    for site, rows in measured(folder, layout).items():
        if site in skip:
            continue
        row, col = layout.grid.cell_of(sites.loc[site, "lat"], sites.loc[site, "lon"])
        tile = Tile(row // TILE, col // TILE)
        block = blocks.setdefault(tile, empty(layout))
        at = rows["day"].to_numpy(), row % TILE, col % TILE
        for name, column, error in zip(FLUXES, COLUMNS, (1, 2, -3), strict=True):
            block[name][at] = rows[column].to_numpy(np.float32) + np.float32(error)
    for tile, block in blocks.items():
        for number in range(layout.blocks):
            days = layout.days(number)
            daily = {name: values[days] for name, values in block.items()}
            write_item(str(url), layout, WorkItem(number, tile), TileFluxes(daily, {}, {}))
    return str(url)


def empty(layout: FluxLayout) -> dict[str, np.ndarray]:
    shape = layout.count, TILE, TILE
    fluxes = {name: np.full(shape, np.nan, np.float32) for name in FLUXES}
    return fluxes | {"quality": np.full(shape, int(Quality.NO_DRIVERS), np.uint32)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> str:
    return write_fluxes(tmp_path_factory.mktemp("cube") / "fluxes.zarr", folder)


def test_a_known_error_comes_back_as_rmse_r2_and_bias(store: str, folder: Path) -> None:
    comparison = compare(store, folder)
    series = measured(folder)
    assert len(comparison.rows) == 7 * 3
    for row in comparison.rows:
        error = {"gpp": 1, "reco": 2, "nee": -3}[row.flux]
        seen = series[row.tower][row.flux.upper()].to_numpy(float)
        assert row.n == len(seen)
        assert row.bias == pytest.approx(error, abs=1e-5)
        assert row.rmse == pytest.approx(abs(error), abs=1e-5)
        assert row.r2 == pytest.approx(1 - error**2 / seen.var(), abs=1e-4)
        assert row.model == "made-v1"
        assert row.split == ""
    assert comparison.unmatched == 0


def test_a_tower_that_shares_a_cell_is_named_and_not_compared(store: str, folder: Path) -> None:
    comparison = compare(store, folder)
    (left,) = comparison.left_out
    compared = {row.tower for row in comparison.rows}
    assert {left.site} | (compared & {"XX-T00", "XX-T01"}) == {"XX-T00", "XX-T01"}
    assert "shares cell" in left.reason


def test_days_without_a_prediction_are_counted(tmp_path: Path, folder: Path) -> None:
    """A cube whose second block was never computed holds 360 of the 400 days."""
    short = replace(LAYOUT, count=360)
    url = write_fluxes(tmp_path / "fluxes.zarr", folder, layout=LAYOUT)
    for name in FLUXES:
        for shard in Path(url, name, "c", "1").rglob("*"):
            shard.unlink() if shard.is_file() else None
    comparison = compare(url, folder)
    whole, part = measured(folder), measured(folder, short)
    left = comparison.left_out[0].site
    missing = sum(len(whole[s]) - len(part[s]) for s in whole if s != left)
    assert comparison.unmatched == missing > 0
    assert all(row.n == len(part[row.tower]) for row in comparison.rows)


def test_a_tower_without_a_prediction_is_named_with_the_reason(
    tmp_path: Path, folder: Path
) -> None:
    url = write_fluxes(tmp_path / "fluxes.zarr", folder, skip=("XX-T04",))
    comparison = compare(url, folder)
    reasons = {left.site: left.reason for left in comparison.left_out}
    assert "no value on any of its good flux days" in reasons["XX-T04"]
    assert "not_produced on 400" in reasons["XX-T04"]
    assert "XX-T04" not in {row.tower for row in comparison.rows}


def test_a_tower_outside_the_store_is_named(tmp_path: Path, folder: Path) -> None:
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    south = replace(LAYOUT, grid=LAYOUT.grid.crop(slice(180, 360), slice(0, 720)))
    create_flux_cube(str(tmp_path / "fluxes.zarr"), south, {})
    comparison = compare(str(tmp_path / "fluxes.zarr"), folder)
    outside = {x.site for x in comparison.left_out if "lies outside grid global-0p5" in x.reason}
    assert outside == set(sites.index[sites["lat"] > 0])
    assert len(comparison.left_out) == 8
    assert comparison.rows == ()


def test_towers_without_a_good_day_in_the_period_are_named(tmp_path: Path, folder: Path) -> None:
    later = replace(LAYOUT, first=FIRST + 3650)
    create_flux_cube(str(tmp_path / "fluxes.zarr"), later, {})
    comparison = compare(str(tmp_path / "fluxes.zarr"), folder)
    reasons = [left.reason for left in comparison.left_out]
    assert reasons.count("no good flux day in the period") == 7
    assert quartiles(comparison).empty
    command.show(comparison, Console(file=io.StringIO()))


def test_the_split_is_that_of_the_release(tmp_path: Path, folder: Path) -> None:
    held_out = ["C_XX-T02", "C_XX-T07"]
    url = write_fluxes(tmp_path / "fluxes.zarr", folder, held_out_clusters=held_out)
    split = {row.tower: row.split for row in compare(url, folder).rows}
    assert split["XX-T02"] == "test"
    assert split["XX-T07"] == "suspect"
    assert split["XX-T03"] == "train"


def test_a_tower_is_train_only_where_the_model_learned_from_it(
    tmp_path: Path, folder: Path
) -> None:
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    beside = f"{sites.loc['XX-T04', 'lat'] + 0.4:.5f} {sites.loc['XX-T04', 'lon']:.5f}"  # 44 km
    url = write_fluxes(
        tmp_path / "fluxes.zarr", folder, held_out_clusters=["C_elsewhere"],
        learned_sites=["XX-T02", "FLX_XX-T03", "YY-Aaa"], learned_places=[beside],
    )  # fmt: skip
    comparison = compare(url, folder)
    split = {row.tower: row.split for row in comparison.rows}
    assert split["XX-T02"] == split["XX-T03"] == "train"
    assert split["XX-T04"] == "near"
    assert split["XX-T05"] == split["XX-T06"] == "test"
    assert split["XX-T07"] == "suspect"
    groups = dict.fromkeys(quartiles(comparison)["group"])
    assert list(groups) == ["all", "without suspect", "test", "near", "train"]


def test_a_tower_of_the_cluster_of_a_learned_one_is_near(tmp_path: Path, folder: Path) -> None:
    url = write_fluxes(tmp_path / "fluxes.zarr", folder, learned_sites=["XX-T00"])
    (twin,) = {row.tower for row in compare(url, folder).rows} & {"XX-T00", "XX-T01"}
    split = {row.tower: row.split for row in compare(url, folder).rows}
    assert split[twin] == ("train" if twin == "XX-T00" else "near")
    other = "XX-T01" if twin == "XX-T00" else "XX-T00"
    url = write_fluxes(tmp_path / "other.zarr", folder, learned_sites=[other])
    assert {row.split for row in compare(url, folder).rows if row.tower == twin} == {"near"}


def test_the_file_holds_one_skill_row_per_tower_and_flux(
    tmp_path: Path, store: str, folder: Path
) -> None:
    command.compare(store, folder, tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 21
    assert all(tuple(row) == SKILL_COLUMNS for row in rows)
    assert {row["flux"] for row in rows} == {"gpp", "reco", "nee"}


def test_what_is_not_a_number_is_null(tmp_path: Path) -> None:
    row = SkillRow("XX-T00", "C", "gpp", "made-v1", "", 1, 0.5, float("nan"), 0.5)
    write_json([row], tmp_path / "rows.json")
    (there,) = json.loads((tmp_path / "rows.json").read_text())
    assert there["r2"] is None
    assert there["rmse"] == 0.5


def test_quartiles_are_given_with_and_without_suspect_towers() -> None:
    rows = tuple(
        SkillRow(f"T{i}", f"C{i}", "gpp", "made-v1", "test" if i < 4 else "suspect", 10, i, i, i)
        for i in range(5)
    )
    table = quartiles(Comparison(rows, (), 0, frozenset({"T4"}))).set_index("group")
    assert table.loc["all", "towers"] == 5
    assert table.loc["all", "r2_median"] == 2
    assert table.loc["without suspect", "towers"] == 4
    assert table.loc["without suspect", ["rmse_q25", "rmse_median", "rmse_q75"]].tolist() == [
        0.75, 1.5, 2.25,
    ]  # fmt: skip
    assert table.loc["test", "days"] == 40
    assert "train" not in table.index


def test_the_table_names_every_tower_left_out(store: str, folder: Path) -> None:
    comparison, text = compare(store, folder), io.StringIO()
    command.show(comparison, Console(file=text, width=200))
    assert "without suspect" in text.getvalue()
    assert f"not compared: {comparison.left_out[0].site}: shares cell" in text.getvalue()


def test_a_store_that_is_no_flux_cube_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="no flux cube there"):
        compare(str(tmp_path / "nothing.zarr"), folder)


def test_real_towers_are_compared_on_their_good_days(tmp_path: Path) -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    folder = Path(data) / "towers"
    grid = Grid("quarter", 180, 180, 0.25, north=70.0, west=-10.0)
    europe = replace(LAYOUT, grid=grid, first=day_number(pd.Timestamp("2012-01-01").date()))
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    inside = sites["lat"].between(25.01, 69.99) & sites["lon"].between(-9.99, 34.99)
    away = tuple(sites.index[~inside])
    series = measured(folder, europe)
    comparison = compare(write_fluxes(tmp_path / "f.zarr", folder, away, europe), folder)
    compared = {row.tower: row.n for row in comparison.rows}
    assert len(compared) > 15
    assert compared == {site: len(series[site]) for site in compared}
    reasons = {left.site: left.reason for left in comparison.left_out}
    assert set(reasons) == set(sites.index) - set(compared)
    assert all("lies outside grid" in reasons[site] for site in away)
    silent = {s for s in sites.index[inside] if s not in series and "shares" not in reasons[s]}
    assert all(reasons[site] == "no good flux day in the period" for site in silent)
