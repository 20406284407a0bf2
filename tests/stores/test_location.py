"""Paths and URLs: what lies there, and how a small object is put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from upscale.stores.location import is_empty, is_local, is_url, write_object
from upscale.testing.servers.s3 import s3_bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    pytest.importorskip("moto.server")
    with s3_bucket("places") as url:
        yield url


@pytest.mark.parametrize("place", ["s3://b/a.zarr", "file:///a", "https://host/a"])
def test_a_url_names_its_file_system(place: str) -> None:
    assert is_url(place)


@pytest.mark.parametrize("place", ["a.zarr", "/data/a.zarr", "~/a", "C:/a", "a:b"])
def test_a_path_is_no_url(place: str) -> None:
    assert not is_url(place)


def test_the_file_system_of_a_path_is_local_and_that_of_a_bucket_is_not(
    tmp_path: Path, bucket: str
) -> None:
    assert is_local(fsspec.core.url_to_fs(str(tmp_path))[0])
    assert is_local(fsspec.core.url_to_fs(f"file://{tmp_path}")[0])
    assert not is_local(fsspec.core.url_to_fs(bucket)[0])


def test_nothing_and_an_empty_folder_are_empty_and_a_file_is_not(tmp_path: Path) -> None:
    assert is_empty(str(tmp_path / "none"))
    assert is_empty(str(tmp_path))
    (tmp_path / "a").touch()
    assert not is_empty(str(tmp_path))
    assert not is_empty(str(tmp_path / "a"))
    assert not is_empty(f"file://{tmp_path}/a")


def test_below_a_file_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert is_empty(str(tmp_path / "a" / "b"))


def test_a_bucket_holds_something_where_an_object_lies_at_or_below_the_name(bucket: str) -> None:
    files, _ = fsspec.core.url_to_fs(bucket)
    files.pipe_file(f"{bucket}/cube/zarr.json", b"{}")
    files.pipe_file(f"{bucket}/object", b"")
    files.pipe_file(f"{bucket}/folder/", b"")  # what some clients leave for a folder
    assert not is_empty(f"{bucket}/cube")
    assert not is_empty(f"{bucket}/object")
    assert is_empty(f"{bucket}/folder")
    assert is_empty(f"{bucket}/none")


def test_an_object_takes_the_place_of_the_one_before_it(tmp_path: Path, bucket: str) -> None:
    for root in (str(tmp_path), bucket):
        files, path = fsspec.core.url_to_fs(f"{root}/ledger/a.json")
        for content in (b"old", b"new"):
            write_object(files, path, content)
            assert files.cat_file(path) == content
    assert os.listdir(tmp_path / "ledger") == ["a.json"]
