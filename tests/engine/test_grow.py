"""A store that grows month by month and is corrected ends as one that was made at once."""

import datetime as dt
import shutil

import numpy as np
import pytest
import xarray as xr

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.engine.report import make_report
from upscale.engine.revisions import read_log
from upscale.engine.run import finalise, init
from upscale.engine.work.worker import open_session, process
from upscale.product.cube import open_flux_group
from upscale.product.quality import Quality, has
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.runs import differences, prepare, process_here, run_here

YEAR = [dt.date(2012, month, 1) - dt.timedelta(days=1) for month in range(2, 13)] + [
    dt.date(2012, 12, 31)
]
MAY, JUNE = dt.date(2012, 5, 31), dt.date(2012, 6, 30)

#: What a store that grew says otherwise than one made at once: how often it was finished.
GREW = {"@revision"}


def test_twelve_monthly_extensions_equal_one_run_of_the_year(whole, ndvi_model, tmp_path):
    cube, store = tmp_path / "d.zarr", tmp_path / "f.zarr"
    for end in YEAR:
        grow_cube(cube, whole, end)
        checked = prepare(ndvi_model, cube, store, period=("2012-01-01", str(end)))
        entries = process_here(checked)
        finalise(str(store))
        if end != YEAR[0]:
            days = [entry.days - entry.kept for entry in entries if entry.counts["land"]]
            assert days
            assert max(days) <= 4 * 15, "at most four strides of a year's 24"
            assert not any("encode" in entry.seconds for entry in entries)
    at_once = prepare(
        ndvi_model, cube, tmp_path / "whole.zarr", period=("2012-01-01", "2012-12-31"),
        context={"until": "2012-01-31"},
    )  # fmt: skip
    assert set(differences(str(store), run_here(at_once))) <= GREW
    log = read_log(str(store))
    assert [revision.number for revision in log] == list(range(1, 13))
    assert log[-1].last == "2012-12-31"


def test_a_corrected_day_is_done_again_where_a_window_holds_it_and_nowhere_else(
    whole, ndvi_model, living, tmp_path
):
    cube, store = living
    day = day_number(dt.date(2012, 4, 10)) - open_cube(str(cube)).first
    mend(cube, "satellite/ndvi", lambda stored: np.add(stored, 500, out=stored),
         (slice(day, day + 1), slice(0, 5), slice(0, 10)))  # fmt: skip
    checked = prepare(
        ndvi_model, cube, store, period=("2012-03-01", str(MAY)), why="a mended granule"
    )
    before = xr.open_zarr(store).load()
    assert 0 < len(checked.standing.stale) < len(checked.standing.identities)
    run_here(checked)
    at_once = prepare(ndvi_model, cube, tmp_path / "whole.zarr", period=("2012-03-01", str(MAY)),
                    context={"until": str(MAY)})  # fmt: skip
    assert set(differences(store, run_here(at_once))) <= GREW
    after = xr.open_zarr(store)
    changed = np.nonzero((before.gpp.values != after.gpp.values) & np.isfinite(before.gpp.values))
    assert set(changed[1]) <= set(range(5))
    assert len(changed[0])
    (_, revision) = read_log(store)
    largest = np.nanmax(np.abs(before.gpp.values - after.gpp.values.astype(np.float64)))
    assert revision.why == "a mended granule"
    assert revision.largest["gpp"] == pytest.approx(largest, rel=1e-6)
    assert (revision.first, revision.last) == tuple(
        str(after.time.values[day])[:10] for day in (changed[0].min(), changed[0].max())
    )


def test_a_chunk_that_no_item_reads_makes_nothing_anew(whole, ndvi_model, living):
    cube, store = living
    mend(cube, "meteo/p", lambda stored: np.add(stored, 1, out=stored))
    checked = prepare(ndvi_model, cube, store, period=("2012-03-01", str(MAY)))
    assert not checked.standing.stale
    assert open_cube(str(cube)).digest == checked.plan.job.cube
    run_here(checked)
    attributes = open_flux_group(store).attrs
    assert attributes["driver_digest"] == checked.plan.job.cube
    assert attributes["revision"] == 1


def test_a_part_that_meets_another_cube_leaves_no_mixed_store(whole, ndvi_model, tmp_path):
    """Two parts of one run, and an ingest between them."""
    cube = grow_cube(tmp_path / "d.zarr", whole, MAY)
    store, period = str(tmp_path / "f.zarr"), ("2012-03-01", str(MAY))
    first = prepare(ndvi_model, cube, store, period=period)
    process_here(first, first.plan.items((1, 2)))
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    second = prepare(ndvi_model, cube, store, period=period)
    assert second.standing.stale
    process_here(second, second.plan.items((2, 2)))
    with pytest.raises(ValueError, match="work items are missing"):
        finalise(store)
    run_here(prepare(ndvi_model, cube, store, period=period))
    at_once = run_here(prepare(ndvi_model, cube, tmp_path / "whole.zarr", period=period))
    assert set(differences(store, at_once)) <= GREW


def test_a_worker_that_finds_another_cube_than_planned_does_nothing(whole, ndvi_model, tmp_path):
    cube = grow_cube(tmp_path / "d.zarr", whole, MAY)
    checked = prepare(ndvi_model, cube, tmp_path / "f.zarr", period=("2012-03-01", str(MAY)))
    init(checked)
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    with pytest.raises(ValueError, match="is not the one that the run was planned with"):
        open_session(checked.plan.job)


def test_who_opens_a_growing_store_finds_what_is_in_the_making(whole, ndvi_model, living):
    cube, store = living
    grow_cube(cube, whole, JUNE)
    checked = prepare(ndvi_model, cube, store, period=("2012-03-01", str(JUNE)))
    process_here(checked, [])
    opened = xr.open_zarr(store, consolidated=True)
    assert opened.attrs["complete"] == 0
    assert opened.attrs["revision"] == 1
    assert opened.attrs["revision_in_the_making"] == 2
    assert opened.attrs["revision_days"] == f"2012-03-01/{JUNE}"
    tiles = {item.tile.id for item in checked.plan.items()}
    assert set(opened.attrs["revision_tiles"].split()) == tiles
    assert has(opened.quality.values[-30:], Quality.NOT_PRODUCED).all()
    entries = process_here(checked)
    finalise(store)
    opened = xr.open_zarr(store, consolidated=True)
    assert opened.attrs["revision"] == 2
    assert not [name for name in opened.attrs if name.startswith("revision_")]
    (kept,) = {entry.kept for entry in entries if entry.counts["land"]}
    report = make_report(store, 10.0, entries)
    assert report.kept == np.isfinite(opened.gpp.values[:kept]).sum() > 0
    assert report.rate == pytest.approx((report.cell_days - report.kept) / 10, rel=0.01)


def test_rot_in_a_shard_is_not_taken_over_when_the_store_grows(whole, ndvi_model, living, tmp_path):
    cube, store = living
    for shard in sorted((tmp_path / "f.zarr" / "nee" / "c").rglob("*")):
        if shard.is_file():
            content = bytearray(shard.read_bytes())
            content[len(content) // 3] ^= 1
            shard.write_bytes(content)
    grow_cube(cube, whole, JUNE)
    entries = process_here(prepare(ndvi_model, cube, store, period=("2012-03-01", str(JUNE))))
    assert not any(entry.kept for entry in entries)
    finalise(store)
    at_once = prepare(ndvi_model, cube, tmp_path / "whole.zarr", period=("2012-03-01", str(JUNE)),
                    context={"until": str(MAY)})  # fmt: skip
    assert set(differences(store, run_here(at_once))) <= GREW


def test_lost_running_sums_cost_the_days_that_they_stood_for(whole, ndvi_model, living, tmp_path):
    cube, store = living
    for file in (tmp_path / "f.ledger").glob("*.running.npy"):
        file.write_bytes(file.read_bytes()[:-1])
    grow_cube(cube, whole, JUNE)
    entries = process_here(prepare(ndvi_model, cube, store, period=("2012-03-01", str(JUNE))))
    assert not any(entry.kept for entry in entries)
    finalise(store)


def test_a_writer_that_dies_between_two_shards_leaves_an_item_to_be_done(
    whole, ndvi_model, living, tmp_path, monkeypatch
):
    """The old entry must be gone before the first shard of the new revision is there."""
    from upscale.engine.work import worker

    cube, store = living
    twin = shutil.copytree(cube, tmp_path / "twin.zarr")
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    checked = prepare(ndvi_model, cube, store, period=("2012-03-01", str(MAY)))
    init(checked)

    class Killed(BaseException):
        pass

    def dies(*_args):
        raise Killed

    item = next(i for i in checked.plan.items() if checked.standing.stale[i.id].stats)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "make_entry", dies)
        with pytest.raises(Killed):
            process(open_session(checked.plan.job), item, land=True,
                    before=checked.standing.stale[item.id])  # fmt: skip
    shutil.rmtree(cube)
    shutil.move(twin, cube)  # the operator takes the correction back
    again = prepare(ndvi_model, cube, store, period=("2012-03-01", str(MAY)))
    assert item.id not in again.standing.done
