"""Archives at URLs and cubes in buckets: real servers on loopback give what a disk gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

from upscale.drivers.cube import open_cube
from upscale.ingest.scan import scan
from upscale.remote.errors import ArchiveError
from upscale.testing.archives import Archive, config_of, ingest_here, same_contents, write_hours
from upscale.testing.servers.http import Drop, Redirect, Refuse, serve
from upscale.testing.servers.s3 import s3_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("archive") as url:
        yield url


@pytest.fixture
def served(archive: Archive) -> dict[str, bytes]:
    """The files of the archive by their paths on a server."""
    return {
        f"/{path.relative_to(archive.folder)}": path.read_bytes()
        for path in archive.folder.rglob("*")
        if path.is_file()
    }


def upload(folder: Path, url: str) -> None:
    files, path = fsspec.core.url_to_fs(url)
    files.put(f"{folder}/", f"{path}/", recursive=True)


def places(root: str, cache: Path) -> dict[str, object]:
    """The keys of an ingest whose archive lies below a URL."""
    return {
        "meteo": {"files": f"{root}/hours/"},
        "satellite": [{"files": f"{root}/modis/"}, {"files": f"{root}/fapar/"}],
        "static": {"igbp": f"{root}/cover/", "koppen": f"{root}/koppen.tif"},
        "cache": {"folder": str(cache), "gigabytes": 0.02},
    }


def test_an_archive_and_a_cube_in_a_bucket_are_those_of_a_disk(
    archive: Archive, cube: Path, bucket: str, tmp_path: Path
) -> None:
    upload(archive.folder, f"{bucket}/files")
    ingest = config_of(archive, f"{bucket}/c.zarr", **places(f"{bucket}/files", tmp_path / "cache"))
    outcome = ingest_here(ingest)
    assert not outcome.failed
    assert same_contents(cube, f"{bucket}/c.zarr") == []
    assert open_cube(f"{bucket}/c.zarr").digest == open_cube(str(cube)).digest
    kept = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert 0 < kept <= 0.02e9
    assert not ingest_here(ingest).changed


def test_a_server_that_fails_and_drops_gives_the_same_cube(
    archive: Archive, served: dict[str, bytes], cube: Path, tmp_path: Path
) -> None:
    granules = sorted(name for name in served if name.startswith("/modis"))
    with serve(served) as server:
        server.script(granules[5], Refuse(503), Drop(700), Drop())
        server.script(granules[90], Drop(1000), Refuse(503, {"Retry-After": "0"}))
        root = server.url
        ingest = config_of(archive, tmp_path / "c.zarr", **places(root, tmp_path / "cache"))
        outcome = ingest_here(ingest)
    assert (outcome.failed, outcome.faults) == ([], [])
    assert same_contents(cube, tmp_path / "c.zarr") == []


def test_a_redirect_to_a_private_place_is_refused(
    archive: Archive, served: dict[str, bytes], tmp_path: Path
) -> None:
    name = next(name for name in served if "A2019064.h18v03" in name)
    with serve(served) as server:
        server.always[name] = Redirect("http://127.0.0.1:9/secret")
        keys = places(server.url, tmp_path / "cache")
        with pytest.raises((ArchiveError, OSError), match="redirect"):
            scan(config_of(archive, tmp_path / "c.zarr", **keys))


def test_hours_in_a_cloud_store_are_read_in_place(
    archive: Archive, cube: Path, bucket: str, tmp_path: Path
) -> None:
    other = Archive(tmp_path, archive.first, archive.last)
    (tmp_path / "hours").mkdir()
    for store in write_hours(other, "earthdatahub"):
        upload(store, f"{bucket}/hourly/{store.name}")
    names = [path.name for path in (tmp_path / "hours").iterdir()]
    files = [f"{bucket}/hourly/{name}" for name in names]
    cache = tmp_path / "cache"
    keys = {"meteo": {"files": files}, "satellite": [], "cache": {"folder": str(cache)}}
    keys |= {"tile": 100, "block": 60}
    ingest_here(config_of(archive, tmp_path / "c.zarr", **keys))
    made, whole = (
        xr.open_zarr(c, group="meteo", consolidated=False).load()
        for c in (tmp_path / "c.zarr", cube)
    )
    for name in made.data_vars:
        np.testing.assert_array_equal(made[name], whole[name])
    assert not [path for path in cache.rglob("*") if path.suffix in {".nc", ".zarr"}]
