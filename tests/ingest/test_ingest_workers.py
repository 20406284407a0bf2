"""The workers of an ingest are small: they do every kind of work item without torch."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from upscale.ingest.run import on_cluster
from upscale.jobs.cluster import connect
from upscale.testing.archives import Archive, config_of, ingest_here, same_contents


@pytest.mark.cluster
def test_no_worker_of_an_ingest_loads_torch(archive: Archive, cube: Path, tmp_path: Path) -> None:
    config = config_of(archive, tmp_path / "c.zarr")
    with connect(config.cluster, tasks=1) as client:
        outcome = ingest_here(config, partial(on_cluster, client, 0))
        loaded = client.run(lambda: sorted({"torch", "zarr"} & sys.modules.keys()))
    kinds = {entry.item.split("-")[0] for entry in outcome.done}
    assert kinds == {"static", "weather", "granules", "fill"}
    assert ["zarr"] in loaded.values()
    assert not any("torch" in names for names in loaded.values())
    assert same_contents(cube, tmp_path / "c.zarr") == []
