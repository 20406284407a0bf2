"""A small archive where four sinusoidal tiles meet, made once."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from upscale.testing.archives import Archive, config_of, ingest_here, make_archive

pytest.importorskip("pyhdf.SD")

FIRST, LAST = dt.date(2019, 2, 20), dt.date(2019, 4, 10)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Fifty days, for reading only."""
    return make_archive(tmp_path_factory.mktemp("archive"), FIRST, LAST)


@pytest.fixture(scope="session")
def cube(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cube of the whole archive, for reading only."""
    path = tmp_path_factory.mktemp("cube") / "whole.zarr"
    outcome = ingest_here(config_of(archive, path))
    assert not outcome.failed
    return path


@pytest.fixture
def own(archive: Archive, tmp_path: Path) -> Archive:
    """A copy of the archive to change or to break."""
    shutil.copytree(archive.folder, tmp_path / "archive")
    return replace(archive, folder=tmp_path / "archive")


@pytest.fixture
def some_days(archive: Archive, tmp_path: Path) -> Callable[[int], Archive]:
    """A copy with the first days of the satellite archive alone."""

    def cut(count: int) -> Archive:
        folder = tmp_path / f"first-{count}"
        last = archive.first + dt.timedelta(days=count - 1)
        shutil.copytree(archive.folder, folder)
        for path in (*(folder / "modis").iterdir(), *(folder / "fapar").iterdir()):
            day = dt.datetime.strptime(path.name.split(".")[1], "A%Y%j").date()
            if day > last:
                path.unlink()
        return Archive(folder, archive.first, last)

    return cut
