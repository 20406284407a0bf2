"""Patterns over folders, buckets and index pages: what they find, and that they find it again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from upscale.archives.inspect import local
from upscale.remote.copies import download
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.listing import expand
from upscale.remote.retries import Patience
from upscale.testing.servers.http import Redirect, Server, serve
from upscale.testing.servers.s3 import s3_bucket

QUICK = Patience(attempts=3, wait=0.01)
NAMES = ("2019/a.hdf", "2020/b.hdf", "2020/h18v04/c.hdf", "2020/h18v04/d.nc", "top.hdf")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket("granules") as url:
        yield f"{url}/modis"


def write(root: str, name: str, content: bytes) -> None:
    system, path = fsspec.core.url_to_fs(f"{root}/{name}")
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(path, content)


@pytest.fixture(scope="module", params=["disk", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same files on a disk and in a bucket, with a hidden one and two stores among them."""
    on_disk = request.param == "disk"
    place = str(tmp_path_factory.mktemp("disk") if on_disk else request.getfixturevalue("bucket"))
    for at, name in enumerate((*NAMES, "2020/.listing", "x.zarr/zarr.json", "x.zarr/v/c/0")):
        write(f"{place}/tree", name, b"x" * (at + 1))
    write(f"{place}/tree", "2020/era5/.zgroup", b"{}")
    write(f"{place}/tree", "2020/era5/t2m/0.0.0", b"chunk.hdf")
    return f"{place}/tree"


def found(root: str, *patterns: str) -> list[str]:
    rows = expand([f"{root}/{pattern}" if pattern else root for pattern in patterns])
    return [row.url.removeprefix(f"{root}/") for row in rows]


STORES = ["2020/era5", "x.zarr"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("top.hdf", ["top.hdf"]),
        ("", sorted([*NAMES, *STORES])),
        ("2020", ["2020/b.hdf", "2020/era5", "2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("2020/", ["2020/b.hdf", "2020/era5", "2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("*.hdf", ["top.hdf"]),
        ("*/*.hdf", ["2019/a.hdf", "2020/b.hdf"]),
        ("20[12]?/?.hdf", ["2019/a.hdf", "2020/b.hdf"]),
        ("**/*.hdf", ["2019/a.hdf", "2020/b.hdf", "2020/h18v04/c.hdf", "top.hdf"]),
        ("**/h18v04/*", ["2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("2020/**", ["2020/b.hdf", "2020/era5", "2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("*/h18v04/", ["2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("*.zarr", ["x.zarr"]),
        ("x.zarr/", ["x.zarr"]),
        ("**/era5", ["2020/era5"]),
        ("*/*", ["2019/a.hdf", "2020/b.hdf", "2020/era5", "2020/h18v04/c.hdf", "2020/h18v04/d.nc"]),
        ("2020/.l*", ["2020/.listing"]),
    ],
)
def test_patterns_find_files_and_whole_stores(root: str, pattern: str, names: list[str]) -> None:
    assert found(root, pattern) == names


def test_each_file_comes_once_and_sorted(root: str) -> None:
    assert found(root, "top.hdf", "2019/*", "**/a.hdf", "top.*") == ["2019/a.hdf", "top.hdf"]


def test_sizes_and_stamps_are_stable_until_a_file_changes(root: str) -> None:
    place = f"{root.removesuffix('tree')}changing"
    for name in ("a.hdf", "same.hdf", "x.zarr/zarr.json"):
        write(place, name, b"first")
    before = expand([place])
    assert before == expand([place])
    assert [row.size for row in before] == [5, 5, 0]
    assert all(row.stamp for row in before)
    for name in ("a.hdf", "x.zarr/zarr.json"):
        write(place, name, b"other")
    changed = {row.url for row in set(expand([place])) - set(before)}
    assert changed == {f"{place}/a.hdf", f"{place}/x.zarr"}


@pytest.mark.parametrize("pattern", ["none", "20[3]*/*.hdf", "none/**", "top.hdf/*", "*/none/x"])
def test_nothing_found_names_the_pattern(root: str, pattern: str) -> None:
    with pytest.raises(ArchiveError, match="expected files, found none") as error:
        expand([f"{root}/top.hdf", f"{root}/{pattern}"])
    assert f"/{pattern}: " in str(error.value)


def test_objects_of_a_bucket_are_copied_whole(bucket: str, tmp_path: Path) -> None:
    content = os.urandom(40 << 20)  # more than two pieces
    write(bucket, "big.hdf", content)
    (row,) = expand([f"{bucket}/big.hdf"])
    (tmp_path / "big.hdf.part").write_bytes(content[: 20 << 20])
    download(row.url, tmp_path / "big.hdf", size=row.size, stamp=row.stamp)
    assert (tmp_path / "big.hdf").read_bytes() == content
    with local(row.url) as path:
        assert Path(path).name == "big.hdf"
        assert Path(path).read_bytes() == content
    assert not Path(path).exists()


def test_a_part_of_another_state_of_an_object_is_not_gone_on_with(
    bucket: str, tmp_path: Path
) -> None:
    write(bucket, "a.hdf", b"second")
    (tmp_path / "a.hdf.part").write_bytes(b"fir")
    download(f"{bucket}/a.hdf", tmp_path / "a.hdf")
    assert (tmp_path / "a.hdf").read_bytes() == b"second"
    (row,) = expand([f"{bucket}/a.hdf"])
    write(bucket, "a.hdf", b"third!")
    with pytest.raises(ArchiveError, match="list it again"):
        download(row.url, tmp_path / "b.hdf", size=row.size, stamp=row.stamp)
    with pytest.raises(RemoteError, match="found none"):
        download(f"{bucket}/gone.hdf", tmp_path / "c.hdf")


def test_a_bucket_that_is_silent_is_said(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RemoteError, match=r"s3://granules/a\.hdf: .* after 3 tries: .*Connect"):
            download("s3://granules/a.hdf", tmp_path / "a", patience=QUICK)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_that_asks_for_credentials_is_said(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(RemoteError, match="credentials in the environment"):
            expand(["s3://granules/a.hdf"], patience=QUICK)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_package_is_named(scheme: str, package: str) -> None:
    """In a process in which it cannot be imported, whether it is installed or not."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from upscale.remote.listing import expand\n"
        f"expand(['{scheme}://b/*.hdf'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pip install {package}" in done.stderr


def test_links_are_followed_and_never_in_circles(tmp_path: Path) -> None:
    for name in ("data/2020/a.hdf", "other/b.hdf"):
        write(str(tmp_path), name, b"x")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "broken.hdf").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "data" / "pipe.hdf")
    rows = ["2020/a.hdf", "linked/b.hdf"]
    assert found(str(tmp_path / "data"), "") == rows
    assert set(found(str(tmp_path / "data"), "**/*.hdf")) >= set(rows)


def test_a_relative_path_and_a_file_url_are_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(str(tmp_path), "a[1].hdf", b"x")
    monkeypatch.chdir(tmp_path)
    here = expand(["*.hdf", "a[1].hdf", f"file://{tmp_path}/a*", ".", "./*"])
    assert [row.url for row in here] == [str(tmp_path / "a[1].hdf")]


@pytest.fixture
def site() -> Iterator[Server]:
    files = {f"/MOLT/{name}": name.encode() for name in NAMES}
    files |= {"/MOLT/a b&c.hdf": b"12", "/MOLT/x.zarr/zarr.json": b"{}", "/other.hdf": b""}
    with serve(files) as running:
        yield running


@pytest.mark.parametrize("kind", ["apache", "nginx"])
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("top.hdf", ["top.hdf"]),
        ("top.hdf?version=1*", ["top.hdf?version=1*"]),
        ("", ["a%20b%26c.hdf", "top.hdf", "x.zarr"]),
        ("20*/*.hdf", ["2019/a.hdf", "2020/b.hdf"]),
        ("20*/", ["2019/a.hdf", "2020/b.hdf"]),
        ("a [b]*.hdf", ["a%20b%26c.hdf"]),
        ("x.zarr", ["x.zarr"]),
    ],
)
def test_index_pages_are_folders(site: Server, kind: str, pattern: str, names: list[str]) -> None:
    site.index = kind
    rows = expand([f"{site.url}/MOLT/{pattern}"], patience=QUICK)
    assert [row.url.removeprefix(f"{site.url}/MOLT/").rstrip("/") for row in rows] == names
    for row in rows:
        path = row.url.removeprefix(site.url).partition("?")[0].replace("%20", " ")
        content = site.files.get(path.replace("%26", "&"), b"")
        assert row.size == len(content)


def test_links_that_lead_elsewhere_are_no_files(site: Server) -> None:
    links = ["http://other.org/MOLT/y.hdf", "/other.hdf", "../other.hdf", "sub/deep.hdf",
             "?C=N", "%2e%2e", "mailto:me", "top.hdf#part", "top.hdf", "//[1::2]/z"]  # fmt: skip
    site.files["/MOLT/"] = "".join(f'<a href="{link}">x</a>' for link in links).encode()
    assert [row.url for row in expand([f"{site.url}/MOLT/"])] == [f"{site.url}/MOLT/top.hdf"]


def test_a_folder_named_without_its_slash_is_one(site: Server) -> None:
    site.always["/MOLT/2019"] = Redirect("/MOLT/2019/", 301)
    assert [row.url for row in expand([f"{site.url}/MOLT/2019"])] == [f"{site.url}/MOLT/2019/a.hdf"]


@pytest.mark.parametrize("pattern", ["none.hdf", "none/", "*.nc", "none.zarr"])
def test_nothing_on_a_server_names_the_pattern(site: Server, pattern: str) -> None:
    with pytest.raises(ArchiveError, match="expected files, found none"):
        expand([f"{site.url}/MOLT/{pattern}"])


def test_any_depth_is_not_for_servers(site: Server) -> None:
    with pytest.raises(ArchiveError, match="name each level"):
        expand([f"{site.url}/MOLT/**/*.hdf"])


def test_places_are_checked_before_anything_is_listed(site: Server, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="another scheme"):
        expand(["reference://x"])
    with pytest.raises(ArchiveError, match="expected one of the hosts"):
        expand([f"{site.url}/MOLT/"], hosts=["nasa.gov"])
    with pytest.raises(ArchiveError, match="in a catalogue"):
        expand([str(tmp_path)], hosts=["nasa.gov"])
    assert site.requests == []
    shutil.rmtree(tmp_path)
