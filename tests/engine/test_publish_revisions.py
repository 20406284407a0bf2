"""A store that grows and is corrected is published anew where it has changed, and nowhere else."""

import datetime as dt
import json
import subprocess

import numpy as np
import pytest
import xarray as xr

from upscale.calendar import day_number
from upscale.commands import main
from upscale.drivers.cube import open_cube
from upscale.engine.origin import origin_of
from upscale.product.published.index import INDEX, MANIFEST
from upscale.product.published.netcdf import publish_netcdf
from upscale.product.published.part import UnfinishedError
from upscale.product.published.plan import FileOptions
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.runs import prepare, process_here, run_here

MAY, JUNE = dt.date(2012, 5, 31), dt.date(2012, 6, 30)


def publish(store, out, **keys):
    lines = []
    done = publish_netcdf(
        store, out, ("gpp",), origin=lambda: origin_of(store), say=lines.append, **keys
    )
    assert subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", MANIFEST], cwd=out, check=False
    ).returncode == 0  # fmt: skip
    return done, lines


def states(out):
    """Inode, time and content of every file."""
    found = {path.name: path for path in out.iterdir()}
    return {n: (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for n, p in found.items()}


def months(paths):
    return sorted({path.name.split("_")[4] for path in paths})


def same_as_store(out, store):
    fluxes = xr.open_zarr(store)
    with xr.open_mfdataset(sorted(out.glob("*.nc")), data_vars="minimal") as opened:
        for name in ("gpp", "gpp_sd", "quality"):
            np.testing.assert_array_equal(opened[name].values, fluxes[name].values)


def correct(cube):
    """Another NDVI on a day of April."""
    day = day_number(dt.date(2012, 4, 10)) - open_cube(str(cube)).first
    mend(cube, "satellite/ndvi", lambda stored: np.add(stored, 500, out=stored),
         (slice(day, day + 1), slice(0, 5), slice(0, 10)))  # fmt: skip


def revise(model, cube, store, end, why="a mended granule"):
    return prepare(model, cube, store, period=("2012-03-01", str(end)), why=why)


def test_a_second_publication_reads_no_value_and_writes_nothing(living, tmp_path):
    _, store = living
    out = tmp_path / "out"
    first, lines = publish(store, out)
    assert len(first.written) == 3
    assert all(line.endswith(": new") for line in lines)
    before = states(out)
    for shard in (
        path for path in (tmp_path / "f.zarr" / "gpp" / "c").rglob("*") if path.is_file()
    ):
        shard.write_bytes(b"not read")
    again, lines = publish(store, out)
    assert states(out) == before
    assert again.describe() == "nothing to write: 3 files are as they should be"
    assert all(line.endswith(": kept") for line in lines)


def test_a_correction_and_a_month_more_write_only_the_files_that_they_change(
    whole, ndvi_model, living, tmp_path
):
    cube, store = living
    out = tmp_path / "out"
    publish(store, out)
    first = states(out)
    correct(cube)
    run_here(revise(ndvi_model, cube, store, MAY))
    done, lines = publish(store, out)
    same_as_store(out, store)
    assert "201204" in months(done.written)
    kept = {path.name for path in done.kept}
    assert kept
    assert {name: first[name] for name in kept} == {n: states(out)[n] for n in kept}
    april = next(line for line in lines if "gpp" in line and "201204" in line)
    assert "written again, revision 2 (a mended granule): 2012-04-" in april
    assert "tiles r000c000, r000c001" in april
    with xr.open_dataset(out / "upscale_gpp_1deg_daily_201204_v1.nc") as opened:
        assert opened.attrs["revision"] == 2
    second = states(out)

    grow_cube(cube, whole, JUNE)
    correct(cube)  # the drivers of which the month is made are those of before
    run_here(revise(ndvi_model, cube, store, JUNE, "June"))
    done, lines = publish(store, out)
    same_as_store(out, store)
    assert [reason for path, reason in done.written.items() if "201206" in path.name] == ["new"]
    assert "201203" in months(done.kept)
    with xr.open_dataset(out / "upscale_gpp_1deg_daily_201203_v1.nc") as opened:
        assert opened.attrs["revision"] < 3
        assert opened.attrs["time_coverage_end"] == "2012-03-31T23:59:59Z"
    third = states(out)
    assert all(third[path.name] == second[path.name] for path in done.kept)
    assert publish(store, out)[0].written == {}


def test_while_a_store_is_revised_nothing_of_what_it_touches_is_published(
    ndvi_model, living, tmp_path
):
    """Half of the work items are of the new revision, half of the old one."""
    cube, store = living
    out = tmp_path / "out"
    publish(store, out)
    before = states(out)
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    checked = revise(ndvi_model, cube, store, MAY)
    items = [item for item in checked.plan.items() if item.id in checked.standing.identities]
    process_here(checked, items[: len(items) // 2])
    with pytest.raises(UnfinishedError, match=r"3 files were left out.*finish the run first"):
        publish(store, out)
    assert states(out) == before
    with pytest.raises(SystemExit) as end:
        main(["publish", store, "--what", "totals", "--out", str(tmp_path)])
    assert end.value.code == 2
    done, _ = publish(store, out, options=FileOptions(unfinished=True))
    assert len(done.written) == 3
    with xr.open_mfdataset(sorted(out.glob("*_gpp_*.nc")), data_vars="minimal") as opened:
        found = opened.gpp.values
    run_here(revise(ndvi_model, cube, store, MAY))
    after = xr.open_zarr(store).gpp.values
    there = np.isfinite(found)
    np.testing.assert_array_equal(found[there], after[there], "none of the old revision")
    assert 0 < there.sum() < np.isfinite(after).sum()
    publish(store, out)
    same_as_store(out, store)


def test_a_store_that_is_revised_while_it_is_read_gives_no_file_of_two_revisions(
    ndvi_model, living, tmp_path
):
    cube, store = living
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    checked = revise(ndvi_model, cube, store, MAY)
    looks = []

    def origin():
        """The ledger as ever; the store is revised after it was looked at for the first time."""
        found = origin_of(store)
        if not looks:
            run_here(checked)
        looks.append(found)
        return found

    publish_netcdf(store, tmp_path / "out", ("gpp",), origin=origin)
    assert len(looks) > 4, "the first file was begun again"
    fluxes = xr.open_zarr(store)
    with xr.open_mfdataset(sorted((tmp_path / "out").glob("*.nc")), data_vars="minimal") as opened:
        np.testing.assert_array_equal(opened.gpp.values, fluxes.gpp.values)
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert {row["revision"] for row in index["files"].values()} == {2}


def test_the_command_says_what_is_new_and_what_was_kept(living, tmp_path, capsys):
    _, store = living
    out = tmp_path / "out"
    for wanted in ("3 files new, 0 written again, 0 kept", "nothing to write: 3 files"):
        with pytest.raises(SystemExit) as end:
            main(["publish", store, "--variable", "nee", "--out", str(out)])
        assert end.value.code in (0, None)
        assert wanted in capsys.readouterr().out
