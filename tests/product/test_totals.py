"""Totals in Pg C: what they weigh, what their spread is, what a part of a year says."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from upscale.calendar import years_of
from upscale.product.layout import FluxLayout
from upscale.product.totals import Total, global_totals, totals, write_totals
from upscale.testing.flux_cubes import make_flux_cube, small_layout

FLUXES = ("gpp", "reco", "nee")


def total(rows: list[Total], flux: str, year: int, region: str = "global") -> Total:
    (row,) = (r for r in rows if (r.flux, r.year, r.region) == (flux, year, region))
    return row


def members_in_pg(store: str, flux: str, year: int) -> np.ndarray:
    """Totals of the members by xarray alone."""
    cube = xr.open_zarr(store, consolidated=False)
    land = cube.areacella * cube.sftlf / 100
    sums = (cube[f"{flux}_member"] * land).sum(["lat", "lon"])
    return sums.isel(segment=cube.segment.dt.year == year).sum("segment").values / 1e15


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("year", [2011, 2012])
def test_a_total_is_flux_times_area_times_land(made_store: str, flux: str, year: int) -> None:
    row = total(global_totals(made_store), flux, year)
    assert row.total == pytest.approx(members_in_pg(made_store, flux, year).mean(), rel=1e-5)


def test_the_spread_of_a_total_comes_from_the_members(made_store: str) -> None:
    row = total(global_totals(made_store), "gpp", 2012)
    expected = members_in_pg(made_store, "gpp", 2012).std(ddof=1)
    assert row.sd == pytest.approx(expected, rel=1e-4)
    assert row.sd > 0


@pytest.mark.parametrize("kind", ["latitude", "igbp", "koppen"])
def test_regions_of_a_kind_add_up_to_the_globe(made_store: str, kind: str) -> None:
    rows = totals(made_store)
    for flux in FLUXES:
        parts = [r for r in rows if (r.kind, r.flux, r.year) == (kind, flux, 2012)]
        whole = total(rows, flux, 2012)
        assert len(parts) > 1
        assert sum(r.total for r in parts) == pytest.approx(whole.total, rel=1e-9)
        assert sum(r.land for r in parts) == pytest.approx(whole.land, rel=1e-9)


def test_a_band_holds_the_rows_between_its_edges(made_store: str) -> None:
    cube = xr.open_zarr(made_store, consolidated=False)
    rows = (cube.lat > 30) & (cube.lat < 60)
    land = (cube.areacella * cube.sftlf / 100).where(rows, 0)
    days = years_of(np.asarray(small_layout().first + np.arange(82))) == 2012
    expected = float((cube.gpp[days].fillna(0) * land).sum()) / 1e15
    assert total(totals(made_store), "gpp", 2012, "30N-60N").total == pytest.approx(expected, 1e-5)


def test_daily_means_give_the_same_totals_without_a_spread(
    made_store: str, layout: FluxLayout, tmp_path: Path
) -> None:
    url = str(tmp_path / "no_sums.zarr")
    make_flux_cube(url, small_layout(sums="none"))
    for one, other in zip(totals(made_store), totals(url), strict=True):
        assert (one.region, one.flux, one.year) == (other.region, other.flux, other.year)
        assert other.total == pytest.approx(one.total, rel=1e-4, abs=1e-6)
        assert other.covered == pytest.approx(one.covered)
        assert math.isnan(other.sd)


def test_monthly_sums_give_the_totals_of_annual_ones(made_store: str, tmp_path: Path) -> None:
    url = str(tmp_path / "monthly.zarr")
    make_flux_cube(url, small_layout(sums="monthly"))
    for one, other in zip(totals(made_store), totals(url), strict=True):
        assert other.total == pytest.approx(one.total, rel=1e-5, abs=1e-7)
        assert other.sd == pytest.approx(one.sd, rel=1e-3, abs=1e-7)


def test_a_part_of_a_year_is_called_that_and_has_no_rate(made_store: str) -> None:
    row = total(global_totals(made_store), "gpp", 2011)
    assert (row.days, row.whole) == (12, False)
    assert math.isnan(row.rate)
    assert "in 12 days (no whole year)" in row.describe()


def test_a_whole_year_has_its_total_as_rate(year_store: str) -> None:
    row = total(global_totals(year_store), "gpp", 2012)
    assert (row.days, row.whole) == (366, True)
    assert row.rate == row.total
    assert row.describe().endswith("Pg C yr-1")


def test_ice_and_gaps_lower_the_covered_share(made_store: str) -> None:
    row = total(global_totals(made_store), "gpp", 2012)
    cube = xr.open_zarr(made_store, consolidated=False)
    land = (cube.areacella * cube.sftlf / 100).broadcast_like(cube.gpp)
    year = cube.time.dt.year == 2012
    expected = land.where(cube.gpp.notnull())[year].sum() / land[year].sum()
    assert row.covered == pytest.approx(float(expected), rel=1e-6)
    assert 0.5 < row.covered < 1


def test_totals_are_written_as_a_table_with_empty_cells_where_nothing_is_known(
    made_store: str, tmp_path: Path
) -> None:
    rows = totals(made_store)
    write_totals(tmp_path / "totals.csv", rows)
    with (tmp_path / "totals.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    assert table[0]["rate"] == ""
    assert float(table[0]["total"]) == pytest.approx(rows[0].total, rel=1e-8)


def test_totals_that_break_off_leave_the_file_before_them(made_store: str, tmp_path: Path) -> None:
    def breaks_off() -> Iterator[Total]:
        yield rows[0]
        raise OSError("the store went away")

    rows, path = totals(made_store, ("global",)), tmp_path / "totals.csv"
    write_totals(path, rows)
    before = path.read_bytes()
    with pytest.raises(OSError, match="went away"):
        write_totals(path, breaks_off())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
