"""A tile that is computed in pieces is the tile that is computed at once."""

import datetime as dt
from dataclasses import replace

import numpy as np

from upscale.engine.plan import make_plan
from upscale.engine.run import finalise
from upscale.engine.validate import task_bytes
from upscale.product.cube import open_flux_group
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.runs import differences, prepare, process_here, run_here

#: What differs between stores with tiles of another size.
TILED = {"@layout", "@run_digest", "@config", "@rules"}


def in_pieces(checked, edge):
    job = replace(checked.plan.job, piece=edge)
    return replace(checked, plan=replace(checked.plan, job=job))


def test_a_large_tile_in_pieces_holds_the_bits_of_small_tiles(world, june_run, tmp_path):
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr",
                      period=("2012-06-01", "2012-06-30"), output={"tile": 20})  # fmt: skip
    (entry,) = process_here(in_pieces(checked, 5))
    assert len(entry.strides) > 6, "two strides for each of more than three pieces"
    changed = differences(str(june_run / "f.zarr"), str(tmp_path / "f.zarr"))
    assert set(changed) <= {*TILED, "@complete", "@revision"}


def read(store):
    return np.asarray(open_flux_group(str(store))["gpp"][...])


def test_a_store_in_pieces_grows_and_is_corrected_piece_by_piece(whole, ndvi_model, tmp_path):
    cube, store = tmp_path / "d.zarr", tmp_path / "f.zarr"

    def at(end, name=store, **more):
        return in_pieces(
            prepare(ndvi_model, cube, name, period=("2012-03-01", end), output={"tile": 10},
                    **more), 5,
        )  # fmt: skip

    grow_cube(cube, whole, dt.date(2012, 5, 31))
    run_here(at("2012-05-31"))
    grow_cube(cube, whole, dt.date(2012, 6, 30))
    (grown,) = process_here(at("2012-06-30"))
    assert 0 < grown.kept < grown.days
    assert "encode" not in grown.seconds
    mend(cube, "satellite/ndvi", lambda stored: np.add(stored, 500, out=stored),
         (slice(200, 201), slice(0, 5), slice(0, 5)))  # fmt: skip
    before = read(store)
    (corrected,) = process_here(at("2012-06-30"))
    assert corrected.kept == 0, "a day of its support was mended"
    changed = np.argwhere((before != read(store)) & np.isfinite(before))
    assert len(changed)
    assert changed[:, 1:].max() < 5
    finalise(str(store))
    again = run_here(at("2012-06-30", tmp_path / "again.zarr", context={"until": "2012-05-31"}))
    assert set(differences(str(store), again)) == {"@revision"}


def test_a_large_tile_takes_little_more_memory_than_a_small_one(world, tmp_path):
    def needed(edge):
        checked = prepare(world.model, world.drivers, tmp_path / "f.zarr",
                          period=("2012-01-01", "2012-12-31"))  # fmt: skip
        plan = checked.plan
        tiles = tuple(replace(tile, land=edge**2) for tile in plan.tiles)
        job = replace(plan.job, layout=replace(plan.job.layout, tile=edge))
        return task_bytes(replace(plan, job=job, tiles=tiles), checked.release)

    assert needed(100) < needed(200) < 2 * needed(100)


def test_a_store_keeps_its_tile_when_the_default_becomes_another(world, tmp_path, monkeypatch):
    period = "2012-06-01", "2012-06-30"
    first = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=period)
    process_here(first, [])
    monkeypatch.setattr("upscale.engine.plan.tile_factor", lambda *_: 2)
    other = make_plan(
        first.run.model_copy(update={"output": first.run.output.model_copy(
            update={"store": str(tmp_path / "g.zarr")})}), first.release, first.cube,
    )  # fmt: skip
    assert (first.plan.job.layout.tile, other.job.layout.tile) == (5, 10)
    assert other.land == first.plan.land
    assert sum(tile.domain for tile in other.tiles) == sum(t.domain for t in first.plan.tiles)
    again = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=period)
    assert again.plan.job.digest == first.plan.job.digest
    assert again.plan.tiles == first.plan.tiles
