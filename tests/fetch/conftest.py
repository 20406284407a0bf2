"""A small archive, made once, and servers on loopback that give the files of it."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.testing.archives import (
    BOX,
    Archive,
    config_of,
    content_of,
    ingest_here,
    make_archive,
)
from upscale.testing.hourly import HourlyWorld, make_hourly
from upscale.testing.servers.cds import Store, serve_cds
from upscale.testing.servers.cmr import serve_cmr
from upscale.testing.servers.http import Server, serve
from upscale.testing.servers.stac import Answering

for package in ("pyhdf.SD", "earthaccess", "ecmwf.datastores", "pystac_client"):
    pytest.importorskip(package)

#: Across the end of a month; 26 February is the first day of an eight-day composite.
FIRST, LAST = dt.date(2019, 2, 26), dt.date(2019, 3, 4)
TOKEN, KEY = "SECRET-earthdata-7f3a", "SECRET-cds-51be"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A week, for reading only."""
    return make_archive(tmp_path_factory.mktemp("whole"), FIRST, LAST)


@pytest.fixture(scope="session")
def cube(whole: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cube of the whole archive, for reading only."""
    path = tmp_path_factory.mktemp("cube") / "whole.zarr"
    assert not ingest_here(config_of(whole, path)).failed
    return path


def world_of(archive: Archive) -> HourlyWorld:
    """The hours that `make_archive` wrote, as a store has them."""
    lat = np.arange(round(BOX.north * 10) + 2, round(BOX.south * 10) - 3, -1) / 10
    lon = np.arange(round(BOX.west * 10) - 2, round(BOX.east * 10) + 3) / 10
    day = dt.timedelta(days=1)
    start, end = (
        dt.datetime.combine(date, dt.time())
        for date in (archive.first - day, archive.last + 2 * day)
    )
    return make_hourly(lat, lon, start, end)


@dataclass
class Sources:
    """Servers that have the whole archive: bytes, a catalogue of granules, a store of hours."""

    files: Server
    cmr: Answering
    cds: Store
    secrets: tuple[str, ...] = (TOKEN, KEY)
    world: HourlyWorld | None = None

    def content(self, archive: Archive, cube: Path) -> dict[str, Any]:
        """INGEST.yaml of an archive whose entries say where their files come from."""
        content = content_of(archive, cube)
        cds, earthdata = self.entries()
        content["meteo"] |= {"fetch": cds}
        for entry, product in zip(content["satellite"], ("MOD09GA", "MCD15A2H"), strict=True):
            entry |= {"products": [product], "fetch": earthdata}
        return content

    def entries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """`fetch` of meteorology and of granules."""
        earthdata = {
            "from": "earthdata", "collection": "061", "catalogue": f"{self.cmr.url}/search",
            "hosts": ["127.0.0.1"],
        }  # fmt: skip
        cds = {"from": "cds", "dataset": "reanalysis-era5-land", "hosts": ["127.0.0.1"]}
        return cds, earthdata


@pytest.fixture
def sources(whole: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sources]:
    """The servers, and credentials for them in the environment alone."""
    granules = {
        path.name: path.read_bytes()
        for name in ("modis", "fapar")
        for path in (whole.folder / name).iterdir()
    }
    with serve({f"/{name}": content for name, content in granules.items()}) as files:  # noqa: SIM117
        with (
            serve_cmr(granules, files.url) as cmr,
            serve_cds(world_of(whole), files, KEY) as cds,
        ):
            monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
            monkeypatch.setenv("CDSAPI_KEY", KEY)
            monkeypatch.setenv("CDSAPI_URL", cds.url)
            monkeypatch.setenv("HOME", str(tmp_path / "home"))
            yield Sources(files, cmr, cds)


@pytest.fixture
def half(whole: Archive, tmp_path: Path) -> Archive:
    """A copy that lacks every other granule, all fAPAR, and the hours of March."""
    folder = tmp_path / "half"
    shutil.copytree(whole.folder, folder)
    for path in [*sorted((folder / "modis").iterdir())[::2], *(folder / "fapar").iterdir()]:
        path.unlink()
    for path in (folder / "hours").glob("2019-03*"):
        path.unlink()
    return replace(whole, folder=folder)
