"""A copy of a file of a catalogue is resumed where it broke off, verified, and keeps the pace."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from upscale.remote.catalogue import CatalogueFile, Downloader
from upscale.remote.checksums import Checksum
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.pace import AskingSession, Pace, StoppedError
from upscale.remote.retries import Patience
from upscale.testing.servers.http import Drop, Redirect, Refuse, Server, serve

CONTENT = b"\x0e\x03\x13\x01" + bytes(range(256)) * 2000
HASTY = Patience(attempts=3, wait=0.01, longest=5)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve({"/a.hdf": CONTENT}) as running:
        yield running


def remote_of(server: Server, path: str = "/a.hdf", **how: object) -> CatalogueFile:
    checksum = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
    keys = {"size": len(CONTENT), "checksum": checksum} | how
    return CatalogueFile(f"{server.url}{path}", ("127.0.0.1",), "HDF4", **keys)  # type: ignore[arg-type]


def downloader_of(folder: Path) -> Downloader:
    return Downloader(folder, Pace(1000), HASTY)


def test_a_copy_that_broke_off_is_gone_on_with_by_another_process(
    server: Server, tmp_path: Path
) -> None:
    server.always["/a.hdf"] = Drop(200_000)
    once = Downloader(tmp_path, Pace(1000), Patience(attempts=1))
    with pytest.raises(RemoteError, match="after 1 tries"):
        once.download(remote_of(server), "a.hdf")
    del server.always["/a.hdf"]
    part = downloader_of(tmp_path).download(remote_of(server), "a.hdf")  # knows the folder alone
    assert part.read_bytes() == CONTENT
    last = server.asked("/a.hdf")[-1]
    assert last.status == 206
    assert server.sent("/a.hdf") == len(CONTENT)


def test_without_ranges_a_copy_begins_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.script("/a.hdf", Drop(200_000), Refuse(503))
    assert downloader_of(tmp_path).download(remote_of(server), "a.hdf").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_joined_to_the_old_part(
    server: Server, tmp_path: Path
) -> None:
    other = CONTENT[:4] + b"?" * (len(CONTENT) - 4)
    server.files["/a.hdf"] = other
    server.script("/a.hdf", Drop(100_000))
    with pytest.raises(RemoteError):
        Downloader(tmp_path, Pace(1000), Patience(attempts=1)).download(remote_of(server), "a.hdf")
    server.files["/a.hdf"] = CONTENT
    assert downloader_of(tmp_path).download(remote_of(server), "a.hdf").read_bytes() == CONTENT
    assert server.count("/a.hdf") == 3  # broken, refused as another, whole


def test_a_part_of_another_url_is_not_used(server: Server, tmp_path: Path) -> None:
    server.etags = False  # both files have the same date, so that their stamps are equal
    server.files["/b.hdf"] = CONTENT[:4] + b"!" * 300_000
    server.script("/b.hdf", Drop(100_000))
    wrong = remote_of(server, "/b.hdf", size=None, checksum=None)
    with pytest.raises(RemoteError):
        Downloader(tmp_path, Pace(1000), Patience(attempts=1)).download(wrong, "a.hdf")
    unverified = remote_of(server, checksum=None)
    assert downloader_of(tmp_path).download(unverified, "a.hdf").read_bytes() == CONTENT


def test_a_wrong_file_is_fetched_once_more(server: Server, tmp_path: Path) -> None:
    server.files["/a.hdf"] = CONTENT[:-1] + b"?"
    with pytest.raises(ArchiveError, match=r"expected sha256 .* as listed, found"):
        downloader_of(tmp_path).download(remote_of(server), "a.hdf")
    assert server.count("/a.hdf") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_a_server_is_no_granule(server: Server, tmp_path: Path) -> None:
    server.files["/a.hdf"] = b"<html>log in first</html>"
    unsized = remote_of(server, size=None, checksum=None)
    with pytest.raises(ArchiveError, match="expected HDF4, found a page of text; check your"):
        downloader_of(tmp_path).download(unsized, "a.hdf")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_another_size_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=f"expected 17 bytes as listed, found {len(CONTENT)}"):
        downloader_of(tmp_path).download(remote_of(server, size=17), "a.hdf")


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/a.hdf", "http://localhost.example/a.hdf", "file:///etc/passwd"]
)
def test_redirects_lead_to_allowed_hosts_alone(server: Server, tmp_path: Path, to: str) -> None:
    server.always["/a.hdf"] = Redirect(to)
    with pytest.raises((ArchiveError, RemoteError)):
        downloader_of(tmp_path).download(remote_of(server), "a.hdf")


def test_notes_hold_no_query_of_a_signed_url(server: Server, tmp_path: Path) -> None:
    server.always["/a.hdf"] = Drop(100_000)
    signed = remote_of(server, sign=lambda url: f"{url}?sig=SECRET")
    with pytest.raises(RemoteError) as error:
        downloader_of(tmp_path).download(signed, "a.hdf")
    assert "SECRET" not in str(error.value)
    note = json.loads((tmp_path / "a.hdf.part.note").read_text())
    assert note["source"] == f"{server.url}/a.hdf"


def test_the_pace_holds_over_threads(server: Server, tmp_path: Path) -> None:
    pace = Pace(20)
    downloader = Downloader(tmp_path, pace, HASTY)
    started: list[float] = []
    answer = server.next_fault

    def noted(path: str) -> object:
        started.append(time.monotonic())
        return answer(path)

    server.next_fault = noted  # type: ignore[assignment,method-assign]
    threads = [
        threading.Thread(target=downloader.download, args=(remote_of(server), f"{number}.hdf"))
        for number in range(12)
    ]
    since = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 12
    assert time.monotonic() - since > 11 / 20
    for number in range(11):  # so many requests never come faster than the rate allows
        assert started[number + 1] - started[0] > (number + 1) / 20 - 0.03


def test_every_hop_and_every_try_takes_its_turn(server: Server, tmp_path: Path) -> None:
    server.files["/b.hdf"] = CONTENT
    server.always["/a.hdf"] = Redirect("/b.hdf")
    server.script("/b.hdf", Refuse(503))
    since = time.monotonic()
    Downloader(tmp_path, Pace(5), HASTY).download(remote_of(server), "a.hdf")
    assert time.monotonic() - since > 3 / 5  # four requests


def test_the_end_of_a_fetch_ends_a_copy_and_leaves_its_part(server: Server, tmp_path: Path) -> None:
    pace = Pace(1000)
    downloader = Downloader(tmp_path, pace, HASTY, on_bytes=lambda count: pace.stop.set())
    with pytest.raises(StoppedError):
        downloader.download(remote_of(server), "a.hdf")
    assert 0 < (tmp_path / "a.hdf.part").stat().st_size < len(CONTENT)


def test_a_catalogue_is_not_followed_to_another_host(server: Server) -> None:
    with serve({"/x": b"{}"}) as other:
        port = other.url.rpartition(":")[2]
        server.always["/a"] = Redirect(f"http://localhost:{port}/x")
        with (
            AskingSession(Pace(1000), ("127.0.0.1",), HASTY) as session,
            pytest.raises(ArchiveError, match="found 'localhost'"),
        ):
            session.get(f"{server.url}/a", headers={"PRIVATE-TOKEN": "SECRET"})
        assert not other.requests


def test_questions_are_asked_again_while_a_server_is_busy(server: Server) -> None:
    server.files["/q"] = b"{}"
    server.script("/q", Refuse(503, {"Retry-After": "0"}), Drop())
    with AskingSession(Pace(1000), ("127.0.0.1",), HASTY) as session:
        assert session.get(f"{server.url}/q").json() == {}
    assert server.count("/q") == 3
