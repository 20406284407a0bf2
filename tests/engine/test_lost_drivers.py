"""A chunk of the drivers that was lost costs the tiles that need it, by name, and no other."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import yaml

from upscale.drivers.cube import open_cube
from upscale.drivers.identity import read_identities
from upscale.engine.config import load_run
from upscale.engine.run import status
from upscale.engine.validate import validate
from upscale.product.cube import layout_of
from upscale.product.layout import item_from_id
from upscale.product.quality import Quality, has


@pytest.mark.cluster
@pytest.mark.slow
def test_a_lost_chunk_fails_the_tiles_that_read_it_and_the_others_are_done(world, tmp_path):
    drivers, store = tmp_path / "drivers.zarr", tmp_path / "f.zarr"
    shutil.copytree(world.drivers, drivers)
    path = tmp_path / "RUN.yaml"
    path.write_text(yaml.safe_dump({
        "model": str(world.model), "drivers": str(drivers), "output": {"store": str(store)},
        "period": {"start": "2012-06-01", "end": "2012-06-30"},
        "cluster": {"workers": 1, "memory": 2.0},
    }))  # fmt: skip
    plan = validate(load_run(path, [])).plan
    tiles, grid = [tile for tile in plan.tiles if tile.land], plan.job.layout.grid
    cube = open_cube(str(drivers))
    slices = [tile.tile.slices(grid, plan.job.layout.tile) for tile in tiles]

    def seen(manifest):
        changed = replace(cube, manifest=manifest)
        return read_identities(changed, grid, slices, ("ta",), cube.first, 366)

    known = cube.manifest.arrays["meteo/ta"]
    for place in np.argwhere(known.stored):
        digests = known.digests.copy()
        digests[tuple(place)] = 0
        arrays = {**cube.manifest.arrays, "meteo/ta": replace(known, digests=digests)}
        spoilt = (seen(replace(cube.manifest, arrays=arrays)) != seen(cube.manifest)).any(axis=1)
        if spoilt.any() and not spoilt.all():
            break
    lost = drivers / "meteo/ta/c" / "/".join(map(str, place))
    lost.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "upscale", "run", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    state = status(str(store))
    expected = {t.tile.id for t, bad in zip(tiles, spoilt, strict=True) if bad}
    assert {name.split("-")[0] for name in state.missing} == expected
    assert {entry.item for entry in state.failed} == set(state.missing)
    for entry in state.failed:
        assert f"{lost}: expected the object that was sealed, found none" in entry.error
        assert entry.item in done.stderr + done.stdout
    fluxes = xr.open_zarr(store)
    layout = layout_of(fluxes.attrs)
    for name in state.missing:
        quality = fluxes.quality.values[layout.region(item_from_id(name))]
        assert has(quality, Quality.NOT_PRODUCED).all()
    assert np.isfinite(fluxes.nee.values).any()
