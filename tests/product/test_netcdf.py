"""What is published as NetCDF-4 is what the flux cube holds, and every checker accepts it."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.product.published.index import INDEX, MANIFEST
from upscale.product.published.netcdf import Publication, export_day, publish_netcdf
from upscale.product.published.part import UnfinishedError
from upscale.product.published.plan import FileOptions
from upscale.product.quality import Quality


@pytest.fixture(scope="module")
def published(made_store: str, tmp_path_factory: pytest.TempPathFactory) -> Publication:
    return publish_netcdf(made_store, tmp_path_factory.mktemp("published"))


def messages_of(path: Path) -> list[str]:
    """Everything that compliance-checker has to say against a file."""
    command = [str(Path(sys.executable).with_name("compliance-checker")), "-t", "cf:1.11"]
    report = path.with_suffix(".json")
    subprocess.run(
        [*command, "-c", "strict", "-f", "json", "-o", str(report), str(path)],
        capture_output=True,
        check=False,
    )
    groups = json.loads(report.read_text())["cf:1.11"]
    found = [groups[f"{level}_priorities"] for level in ("high", "medium", "low")]
    return [text for level in found for each in level for text in each["msgs"]]


def test_there_is_one_file_for_each_flux_and_month(published: Publication) -> None:
    names = sorted(path.name for path in published.folder.glob("*.nc"))
    months = ("201112", "201201", "201202", "201203")
    expected = [
        f"upscale_{flux}_18deg_daily_{month}_v1.nc"
        for flux in ("gpp", "nee", "reco")
        for month in months
    ]
    assert names == expected


@pytest.mark.parametrize("flux", ["gpp", "nee"])
def test_a_month_passes_the_strict_cf_check(published: Publication, flux: str) -> None:
    assert messages_of(published.folder / f"upscale_{flux}_18deg_daily_201202_v1.nc") == []


def test_an_exported_day_passes_the_strict_cf_check(made_store: str, tmp_path: Path) -> None:
    path = export_day(made_store, dt.date(2012, 2, 29), tmp_path / "day.nc")
    assert messages_of(path) == []


def test_the_checker_of_these_tests_does_see_faults(made_store: str, tmp_path: Path) -> None:
    path = export_day(made_store, dt.date(2012, 2, 29), tmp_path / "day.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["gpp"].units = "gC m-2 d-1"
    assert any("units" in text for text in messages_of(path))


def test_every_month_equals_the_store(published: Publication, made_store: str) -> None:
    cube = xr.open_zarr(made_store, consolidated=False)
    for flux in ("gpp", "reco", "nee"):
        files = sorted(published.folder.glob(f"upscale_{flux}_*.nc"))
        found = xr.concat(
            [xr.open_dataset(path) for path in files], "time", data_vars="minimal", coords="minimal"
        )
        for name in (flux, f"{flux}_sd", "quality"):
            np.testing.assert_array_equal(found[name].values, cube[name].values)
        np.testing.assert_array_equal(found.time.values, cube.time.values)
        np.testing.assert_array_equal(found.sftlf.values, cube.sftlf.values)


def test_what_a_variable_refers_to_is_in_the_file(published: Publication) -> None:
    with netCDF4.Dataset(published.folder / "upscale_nee_18deg_daily_201201_v1.nc") as file:
        nee = file["nee"]
        assert nee.ancillary_variables == "nee_sd"
        assert nee.cell_measures == "area: areacella"
        assert nee.grid_mapping in file.variables
        assert {"areacella", "sftlf", "quality"} <= set(file.variables)
        assert {file[axis].bounds for axis in ("time", "lat", "lon")} <= set(file.variables)


def test_nee_has_no_standard_name_and_says_its_sign_in_words(published: Publication) -> None:
    with netCDF4.Dataset(published.folder / "upscale_nee_18deg_daily_201201_v1.nc") as file:
        assert "standard_name" not in file["nee"].ncattrs()
        assert "positive = release of carbon to the atmosphere" in file["nee"].comment


def test_files_are_packed_so_that_any_tool_reads_them(published: Publication) -> None:
    with netCDF4.Dataset(published.folder / "upscale_gpp_18deg_daily_201201_v1.nc") as file:
        gpp = file["gpp"]
        filters = {name for name, on in gpp.filters().items() if on and name != "complevel"}
        assert filters == {"zlib", "shuffle"}
        assert gpp.chunking() == [1, 10, 20]
        assert file.dimensions["time"].isunlimited()
        assert gpp._FillValue == np.float32(1e20)


def test_a_file_says_which_days_it_holds(published: Publication) -> None:
    with netCDF4.Dataset(published.folder / "upscale_gpp_18deg_daily_201112_v1.nc") as file:
        assert file.time_coverage_start == "2011-12-20T00:00:00Z"
        assert file.time_coverage_end == "2011-12-31T23:59:59Z"
        assert file.time_coverage_duration == "P12D"
        assert "2011-12" in file.title
        assert file.synthetic == 1


def test_a_second_publication_keeps_what_is_right(published: Publication, made_store: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in published.folder.glob("*.nc")}
    lines: list[str] = []
    again = publish_netcdf(made_store, published.folder, say=lines.append)
    assert again.written == {}
    assert len(again.kept) == len(before) == 12
    assert again.describe() == "nothing to write: 12 files are as they should be"
    assert all(line.endswith(": kept") for line in lines)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_same_store_gives_the_same_bytes(
    published: Publication, made_store: str, tmp_path: Path
) -> None:
    other = publish_netcdf(made_store, tmp_path, ("gpp",))
    mine = set(published.manifest.read_text().splitlines())
    assert set(other.manifest.read_text().splitlines()) <= mine


def test_a_damaged_file_is_written_again(made_store: str, tmp_path: Path) -> None:
    first = publish_netcdf(made_store, tmp_path, ("gpp",))
    damaged = sorted(first.written)[1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    second = publish_netcdf(made_store, tmp_path, ("gpp",))
    assert list(second.written) == [damaged]
    assert "its sha256 is not that of the file that was written" in second.written[damaged]
    assert len(second.kept) == 3


def test_a_lost_file_is_written_again_and_one_without_days_is_named(
    made_store: str, tmp_path: Path
) -> None:
    first = sorted(publish_netcdf(made_store, tmp_path, ("gpp",)).written)
    later = tmp_path / first[-1].name.replace("201203", "201204")  # as of a store that had April
    index = tmp_path / INDEX
    content = json.loads(index.read_text())
    content["files"][later.name] = content["files"][first[-1].name]
    index.write_text(json.dumps(content))
    first[-1].rename(later)
    lines: list[str] = []
    second = publish_netcdf(made_store, tmp_path, ("gpp",), say=lines.append)
    assert second.written == {first[-1]: "it was lost"}
    assert second.outdated == (later,)
    assert later.exists()
    assert lines[-1].startswith(f"{later.name}: the store has no such days now; delete it")


def test_a_file_of_another_level_is_packed_again(made_store: str, tmp_path: Path) -> None:
    publish_netcdf(made_store, tmp_path, ("gpp",), FileOptions(level=1))
    again = publish_netcdf(made_store, tmp_path, ("gpp",), FileOptions(level=3))
    assert set(again.written.values()) == {"level was 1, is 3"}


def test_a_store_that_changed_is_published_again(copied: str, tmp_path: Path) -> None:
    publish_netcdf(copied, tmp_path / "out", ("gpp",))
    spoil(copied, "gpp", slice(35, 36), 1.5)  # a day of February
    again = publish_netcdf(copied, tmp_path / "out", ("gpp",))
    assert [path.name[-12:] for path in again.written] == ["201202_v1.nc"]
    assert list(again.written.values()) == ["the store has changed: gpp in rows 0 to 17"]


def spoil(store: str, name: str, days: slice, factor: float) -> None:
    array = zarr.open_group(store, mode="r+")[name]
    array[days] = array[days] * factor


def test_the_manifest_is_what_sha256sum_checks(published: Publication) -> None:
    command = ["sha256sum", "--check", "--strict", MANIFEST]
    done = subprocess.run(command, cwd=published.folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_computed_is_not_published(copied: str, tmp_path: Path) -> None:
    quality = zarr.open_group(copied, mode="r+")["quality"]
    quality[40, 3, :] = int(Quality.NOT_PRODUCED)
    with pytest.raises(UnfinishedError, match=r"201202_v1\.nc .*; finish the run first"):
        publish_netcdf(copied, tmp_path / "out", ("gpp",))
    names = {path.name[-12:] for path in (tmp_path / "out").glob("*.nc")}
    assert names == {f"2012{n:02}_v1.nc" for n in range(1, 13) if n != 2}
    publish_netcdf(copied, tmp_path / "out", ("gpp",), FileOptions(unfinished=True))
    assert len(list((tmp_path / "out").glob("*.nc"))) == 12


def test_an_exported_day_holds_every_daily_array_and_layer(made_store: str, tmp_path: Path) -> None:
    path = export_day(made_store, dt.date(2012, 2, 29), tmp_path / "day.nc")
    day = xr.open_dataset(path)
    cube = xr.open_zarr(made_store, consolidated=False).sel(time="2012-02-29")
    names = {"gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd", "quality", "filled_share"}
    assert names | {"areacella", "sftlf", "igbp", "koppen", "crs"} <= set(day.variables)
    for name in ("gpp", "nee_sd", "igbp", "areacella"):
        np.testing.assert_array_equal(day[name].values.squeeze(), cube[name].values.squeeze())


def test_a_day_that_the_cube_does_not_hold_is_refused(made_store: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2011-12-20 to 2012-03-10"):
        export_day(made_store, dt.date(2013, 1, 1), tmp_path / "day.nc")


def test_an_unknown_variable_is_refused_by_name(made_store: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gpp, reco, nee, found \\['npp'\\]"):
        publish_netcdf(made_store, tmp_path, ("npp",))


def test_a_modeller_can_write_a_part_of_the_cube_with_xarray_alone(
    made_store: str, tmp_path: Path
) -> None:
    """Every attribute of the store is of a type that NetCDF knows."""
    day = xr.open_zarr(made_store).isel(time=slice(0, 1))
    day.to_netcdf(tmp_path / "day.nc")
    with xr.open_dataset(tmp_path / "day.nc") as again:
        assert again.attrs["Conventions"].startswith("CF-1.11")
        np.testing.assert_array_equal(again.gpp.values, day.gpp.values)
