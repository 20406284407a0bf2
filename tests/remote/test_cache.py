"""One cache: what it hands out, what it fetches once, what it removes and what it refuses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from upscale.remote.cache import Cache
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.listing import ListedFile, expand
from upscale.remote.retries import Patience
from upscale.testing.servers.http import Drop, Refuse, Server, serve

QUICK = Patience(attempts=2, wait=0.01)
SIZE = 1000
FILES = {f"/g/{name}.hdf": np.random.default_rng(at).bytes(SIZE) for at, name in enumerate("abcd")}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(FILES) as running:
        yield running


@pytest.fixture
def listed(server: Server) -> dict[str, ListedFile]:
    """By the letter of each file."""
    return {row.url[-5]: row for row in expand([f"{server.url}/g/"])}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Room for two files and a half."""
    return Cache(tmp_path / "cache", 2500, patience=QUICK)


def read(cache: Cache, found: ListedFile) -> bytes:
    with cache.local(found.url, size=found.size, stamp=found.stamp) as path:
        return path.read_bytes()


def names(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.glob("*/*.hdf"))


def test_a_file_is_fetched_once_and_keeps_its_name(
    cache: Cache, server: Server, listed: dict[str, ListedFile]
) -> None:
    for _ in range(3):
        with cache.local(listed["a"].url, size=SIZE, stamp=listed["a"].stamp) as path:
            assert path.name == "a.hdf"
            assert path.read_bytes() == FILES["/g/a.hdf"]
    assert server.count("/g/a.hdf") == 1


def test_a_local_file_is_read_where_it_lies(cache: Cache, tmp_path: Path) -> None:
    for place in (str(tmp_path / "x.hdf"), f"file://{tmp_path}/x.hdf"):
        with cache.local(place, size=10**9, stamp="") as path:
            assert path == tmp_path / "x.hdf"
    assert not cache.folder.exists()


def test_a_changed_file_is_another_copy(
    cache: Cache, server: Server, listed: dict[str, ListedFile]
) -> None:
    read(cache, listed["a"])
    server.files["/g/a.hdf"] = FILES["/g/b.hdf"]
    (now,) = expand([listed["a"].url])
    assert read(cache, now) == FILES["/g/b.hdf"]
    assert read(cache, listed["a"]) == FILES["/g/a.hdf"]


def test_the_least_recently_used_makes_room(cache: Cache, listed: dict[str, ListedFile]) -> None:
    uses = "abacbdacdbcabdadcbcd"
    for at, letter in enumerate(uses):
        read(cache, listed[letter])
        if at:
            assert names(cache) == sorted(f"{name}.hdf" for name in uses[at - 1 : at + 1])


def test_room_is_made_before_a_file_is_fetched(cache: Cache, listed: dict[str, ListedFile]) -> None:
    for letter in "ab":
        read(cache, listed[letter])
    with cache.local(listed["c"].url, size=SIZE, stamp=listed["c"].stamp):
        assert names(cache) == ["b.hdf", "c.hdf"]


def test_what_is_in_use_stays_and_goes_afterwards(
    cache: Cache, listed: dict[str, ListedFile]
) -> None:
    with (
        cache.local(listed["a"].url, size=SIZE, stamp=listed["a"].stamp) as first,
        cache.local(listed["b"].url, size=SIZE, stamp=listed["b"].stamp),
        cache.local(listed["c"].url, size=SIZE, stamp=listed["c"].stamp),
    ):
        assert names(cache) == ["a.hdf", "b.hdf", "c.hdf"]
        assert first.read_bytes() == FILES["/g/a.hdf"]
    assert len(names(cache)) == 2


def test_a_file_beyond_the_limit_is_refused_before_it_is_fetched(
    server: Server, listed: dict[str, ListedFile], tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=r"raise the limit of the cache in .* to 1000 or more"):
        read(Cache(tmp_path / "cache", 999), listed["a"])
    assert server.count("/g/a.hdf") == 0


def test_a_store_is_not_copied(cache: Cache) -> None:
    with (
        pytest.raises(ArchiveError, match="read it in place"),
        cache.local("s3://b/x.zarr", size=0, stamp=""),
    ):
        pass


def test_a_file_of_another_size_is_refused_and_leaves_nothing(
    cache: Cache, listed: dict[str, ListedFile]
) -> None:
    with pytest.raises(ArchiveError, match="expected 900 bytes as listed, found 1000 bytes"):
        read(cache, ListedFile(listed["a"].url, 900, ""))
    assert list(cache.folder.glob("*-*")) == []


def test_a_failed_copy_takes_no_room_and_is_tried_again(
    cache: Cache, server: Server, listed: dict[str, ListedFile]
) -> None:
    server.script("/g/a.hdf", Refuse(503), Refuse(503))
    with pytest.raises(RemoteError, match="status 503"):
        read(cache, listed["a"])
    assert list(cache.folder.glob("*-*")) == []
    assert read(cache, listed["a"]) == FILES["/g/a.hdf"]


def test_a_copy_that_broke_off_is_gone_on_with(cache: Cache, server: Server) -> None:
    server.files["/g/big.hdf"] = big = np.random.default_rng(9).bytes(1_000_000)
    (found,) = expand([f"{server.url}/g/big.hdf"])
    roomy = Cache(cache.folder, 10**7, patience=QUICK)
    server.script("/g/big.hdf", Drop(400_000), Drop(0))
    with pytest.raises(RemoteError):
        read(roomy, found)
    assert read(roomy, found) == big
    assert server.sent("/g/big.hdf") < 1_100_000


def test_a_copy_that_was_cut_short_is_fetched_again(
    cache: Cache, server: Server, listed: dict[str, ListedFile]
) -> None:
    read(cache, listed["a"])
    (copy,) = cache.folder.glob("*/a.hdf")
    copy.write_bytes(b"short")
    assert read(cache, listed["a"]) == FILES["/g/a.hdf"]


def test_what_else_lies_in_the_folder_is_left_alone(
    cache: Cache, listed: dict[str, ListedFile]
) -> None:
    (cache.folder / "thesis").mkdir(parents=True)
    (cache.folder / "thesis" / "b.tex").write_bytes(b"years of work")
    (cache.folder / "notes-2000").write_bytes(b"x" * 2000)
    for letter in "abcd":
        read(cache, listed[letter])
    assert (cache.folder / "thesis" / "b.tex").read_bytes() == b"years of work"
    assert (cache.folder / "notes-2000").exists()


def test_urls_of_a_catalogue_are_checked(
    server: Server, listed: dict[str, ListedFile], tmp_path: Path
) -> None:
    strict = Cache(tmp_path / "cache", 2500, hosts=("nasa.gov",))
    for url in (listed["a"].url, "/etc/passwd", "file:///etc/passwd"):
        with pytest.raises(ArchiveError), strict.local(url, size=10, stamp=""):
            pass
    allowed = Cache(tmp_path / "cache", 2500, hosts=("127.0.0.1",))
    assert read(allowed, listed["a"]) == FILES["/g/a.hdf"]


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_all_may_write_to_is_no_cache(
    tmp_path: Path, listed: dict[str, ListedFile], mode: int
) -> None:
    """Whoever made it could have laid copies into it."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    with pytest.raises(ArchiveError, match=r"that is yours.*name a new folder in it"):
        read(Cache(tmp_path / "open", 2500, patience=QUICK), listed["a"])
    assert list((tmp_path / "open").iterdir()) == []
    inner = Cache(tmp_path / "open" / "mine", 2500, patience=QUICK)
    assert read(inner, listed["a"]) == FILES["/g/a.hdf"]
    assert stat.S_IMODE(inner.folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_no_cache(
    tmp_path: Path, listed: dict[str, ListedFile]
) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(ArchiveError, match="that is yours"):
        read(Cache(tmp_path / "theirs", 2500, patience=QUICK), listed["a"])
