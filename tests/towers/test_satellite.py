import datetime as dt

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import day_number
from upscale.testing.towers import write_towers
from upscale.towers.satellite import daily_series, read_satellite
from upscale.towers.table import read_towers


def row(date: str, variable: str, value: float, days: int = 8, product: str = "A", site: str = "X"):
    return {
        "site": site,
        "date": pd.Timestamp(date),
        "product": product,
        "variable": variable,
        "value": np.float32(value),
        "units": "1",
        "period_days": np.int8(days),
    }


@pytest.fixture
def folder(tmp_path):
    rows = [
        row("2005-01-01", "NDVI", 0.3),
        row("2005-01-09", "NDVI", 0.5),
        row("2005-01-09", "NDVI", 0.4, 16, "MOD13"),
        row("2005-01-25", "NDVI", 0.9, 16, "MOD13"),
        row("2005-01-25", "SummaryQA", 3, 16, "MOD13"),
        row("2005-01-09", "SummaryQA", 1, 16, "MOD13"),
        row("2005-01-01", "FPAR_raw", 0.9, 4),
        row("2005-01-01", "FPAR_filtered", 0.6, 4),
        row("2005-01-05", "FPAR_filtered", 7.0, 4),
        row("2005-01-01", "LST_day_Terra", 280.0),
        row("2005-01-01", "EVI", np.nan),
        row("2005-01-01", "NDVI", 0.8, site="Y"),
    ]
    table = pd.DataFrame(rows).astype({"site": "category", "product": "category"})
    table.to_parquet(tmp_path / "satellite.parquet")
    return tmp_path


def test_a_composite_holds_on_the_days_of_its_period(folder):
    rows = read_satellite(folder)
    days = day_number(dt.date(2005, 1, 3)) + np.arange(40)
    series = daily_series(rows[rows["site"] == "X"], days)
    assert set(series) == {"ndvi", "fapar"}
    # 3-8 January 0.3; 9-16 the larger of both products; 17-24 MOD13 alone; 25 on: cloud
    expected = [0.3] * 6 + [0.5] * 8 + [0.4] * 8 + [np.nan] * 18
    np.testing.assert_array_equal(series["ndvi"], np.float32(expected))
    np.testing.assert_array_equal(series["fapar"], np.float32([0.6] * 2 + [np.nan] * 38))


def test_a_folder_without_the_file_has_no_series(tmp_path):
    rows = read_satellite(tmp_path)
    assert rows.empty
    assert daily_series(rows, np.arange(5)) == {}


def test_missing_columns_are_named(folder):
    path = folder / "satellite.parquet"
    pd.read_parquet(path).drop(columns="period_days").to_parquet(path)
    with pytest.raises(ValueError, match="period_days"):
        read_satellite(folder)


def test_towers_carry_their_series(tmp_path):
    write_towers(tmp_path, 3)
    table = pd.DataFrame([row("2004-01-01", "NIRv", 0.2, site="XX-T01")])
    table.to_parquet(tmp_path / "satellite.parquet")
    towers = {tower.site: tower for tower in read_towers(tmp_path)}
    assert towers["XX-T00"].satellite == {}
    series = towers["XX-T01"].satellite["nirv"]
    assert series.shape == towers["XX-T01"].days.shape
    assert np.isfinite(series).sum() == 8


def test_a_period_ends_with_the_year(tmp_path):
    """The last composite of a year says nothing of the next, in which the product begins anew."""
    rows = [
        row("2003-12-27", "NDVI", 0.9),
        row("2004-01-01", "NDVI", 0.2),
        row("2004-12-26", "NDVI", 0.8),
        row("2004-12-30", "FPAR", 0.7, 4),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "satellite.parquet")
    start = day_number(dt.date(2003, 12, 25))
    days = start + np.arange(day_number(dt.date(2005, 1, 12)) - start)
    series = daily_series(read_satellite(tmp_path), days)
    dates = [dt.date(2000, 1, 1) + dt.timedelta(days=int(day)) for day in days]
    found = dict(zip(dates, series["ndvi"], strict=True))
    assert found[dt.date(2003, 12, 31)] == np.float32(0.9)
    assert found[dt.date(2004, 1, 1)] == np.float32(0.2)
    assert found[dt.date(2004, 12, 31)] == np.float32(0.8)
    assert np.isnan(found[dt.date(2005, 1, 1)])
    assert np.isfinite(series["fapar"]).sum() == 2


def test_impossible_values_and_rows_without_a_period_are_left_out(tmp_path):
    rows = [
        row("2005-01-01", "FPAR", -0.05),
        row("2005-01-09", "FPAR", 0.5),
        row("2005-01-17", "NDVI", -0.05),
        row("2005-01-25", "NDVI", 0.6),
    ]
    table = pd.DataFrame(rows)
    table["period_days"] = [8, 8, 8, np.nan]
    table.to_parquet(tmp_path / "satellite.parquet")
    kept = read_satellite(tmp_path)
    assert kept["value"].tolist() == [0.5, np.float32(-0.05)]
