"""A copy goes on where it broke off, is verified, and keeps to the pace."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from upscale.fetch.earthdata import EarthdataToken, log_in
from upscale.fetch.ledger import FetchLedger
from upscale.remote.checksums import Checksum, hex_checksum, named_checksum
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.pace import AskingSession, Pace, StoppedError
from upscale.remote.retries import Patience
from upscale.remote.transfer import Carrier, Remote
from upscale.testing.servers.http import Drop, Redirect, Refuse, Server, serve

CONTENT = b"\x0e\x03\x13\x01" + bytes(range(256)) * 2000
HASTY = Patience(attempts=3, wait=0.01, longest=5)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve({"/a.hdf": CONTENT}) as running:
        yield running


def remote_of(server: Server, path: str = "/a.hdf", **how: object) -> Remote:
    checksum = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
    keys = {"size": len(CONTENT), "checksum": checksum} | how
    return Remote(f"{server.url}{path}", ("127.0.0.1",), "HDF4", **keys)  # type: ignore[arg-type]


def carrier_of(folder: Path) -> Carrier:
    return Carrier(folder, Pace(1000), HASTY)


def test_a_copy_that_broke_off_is_gone_on_with_by_another_process(
    server: Server, tmp_path: Path
) -> None:
    server.always["/a.hdf"] = Drop(200_000)
    once = Carrier(tmp_path, Pace(1000), Patience(attempts=1))
    with pytest.raises(RemoteError, match="after 1 tries"):
        once.copy(remote_of(server), "a.hdf")
    del server.always["/a.hdf"]
    part = carrier_of(tmp_path).copy(remote_of(server), "a.hdf")  # knows the folder alone
    assert part.read_bytes() == CONTENT
    last = server.asked("/a.hdf")[-1]
    assert last.status == 206
    assert server.sent("/a.hdf") == len(CONTENT)


def test_without_ranges_a_copy_begins_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.script("/a.hdf", Drop(200_000), Refuse(503))
    assert carrier_of(tmp_path).copy(remote_of(server), "a.hdf").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_joined_to_the_old_part(
    server: Server, tmp_path: Path
) -> None:
    other = CONTENT[:4] + b"?" * (len(CONTENT) - 4)
    server.files["/a.hdf"] = other
    server.script("/a.hdf", Drop(100_000))
    with pytest.raises(RemoteError):
        Carrier(tmp_path, Pace(1000), Patience(attempts=1)).copy(remote_of(server), "a.hdf")
    server.files["/a.hdf"] = CONTENT
    assert carrier_of(tmp_path).copy(remote_of(server), "a.hdf").read_bytes() == CONTENT
    assert server.count("/a.hdf") == 3  # broken, refused as another, whole


def test_a_part_of_another_url_is_not_used(server: Server, tmp_path: Path) -> None:
    server.etags = False  # both files have the same date, so that their stamps are equal
    server.files["/b.hdf"] = CONTENT[:4] + b"!" * 300_000
    server.script("/b.hdf", Drop(100_000))
    wrong = remote_of(server, "/b.hdf", size=None, checksum=None)
    with pytest.raises(RemoteError):
        Carrier(tmp_path, Pace(1000), Patience(attempts=1)).copy(wrong, "a.hdf")
    unverified = remote_of(server, checksum=None)
    assert carrier_of(tmp_path).copy(unverified, "a.hdf").read_bytes() == CONTENT


def test_a_page_of_a_server_is_no_granule(server: Server, tmp_path: Path) -> None:
    server.files["/a.hdf"] = b"<html>log in first</html>"
    unsized = remote_of(server, size=None, checksum=None)
    with pytest.raises(ArchiveError, match="expected HDF4, found a page of text; check your"):
        carrier_of(tmp_path).copy(unsized, "a.hdf")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_another_size_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=f"expected 17 bytes as listed, found {len(CONTENT)}"):
        carrier_of(tmp_path).copy(remote_of(server, size=17), "a.hdf")


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/a.hdf", "http://localhost.example/a.hdf", "file:///etc/passwd"]
)
def test_redirects_lead_to_allowed_hosts_alone(server: Server, tmp_path: Path, to: str) -> None:
    server.always["/a.hdf"] = Redirect(to)
    with pytest.raises((ArchiveError, RemoteError)):
        carrier_of(tmp_path).copy(remote_of(server), "a.hdf")


def test_notes_hold_no_query_of_a_signed_url(server: Server, tmp_path: Path) -> None:
    server.always["/a.hdf"] = Drop(100_000)
    signed = remote_of(server, sign=lambda url: f"{url}?sig=SECRET")
    with pytest.raises(RemoteError) as error:
        carrier_of(tmp_path).copy(signed, "a.hdf")
    assert "SECRET" not in str(error.value)
    note = json.loads((tmp_path / "a.hdf.part.note").read_text())
    assert note["source"] == f"{server.url}/a.hdf"


def test_the_pace_holds_over_threads(server: Server, tmp_path: Path) -> None:
    pace = Pace(20)
    carrier = Carrier(tmp_path, pace, HASTY)
    started: list[float] = []
    answer = server.next_fault

    def noted(path: str) -> object:
        started.append(time.monotonic())
        return answer(path)

    server.next_fault = noted  # type: ignore[assignment,method-assign]
    threads = [
        threading.Thread(target=carrier.copy, args=(remote_of(server), f"{number}.hdf"))
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
    Carrier(tmp_path, Pace(5), HASTY).copy(remote_of(server), "a.hdf")
    assert time.monotonic() - since > 3 / 5  # four requests


def test_the_end_of_a_fetch_ends_a_copy_and_leaves_its_part(server: Server, tmp_path: Path) -> None:
    pace = Pace(1000)
    carrier = Carrier(tmp_path, pace, HASTY, told=lambda count: pace.stop.set())
    with pytest.raises(StoppedError):
        carrier.copy(remote_of(server), "a.hdf")
    assert 0 < (tmp_path / "a.hdf.part").stat().st_size < len(CONTENT)


def test_one_fetch_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    with (
        FetchLedger(tmp_path).held(),
        pytest.raises(ArchiveError, match="found one at work"),
        FetchLedger(tmp_path).held(),
    ):
        pass


def test_notes_of_a_file_that_got_its_name_are_swept(tmp_path: Path) -> None:
    parts = tmp_path / ".part"
    parts.mkdir()
    for name in ("a.hdf.part.note", "a.nc.job", "b.hdf.part.note", "b.nc.job"):
        (parts / name).touch()
    for name in ("a.hdf", "a.nc"):
        (tmp_path / name).touch()
    with FetchLedger(tmp_path).held():
        left = {path.name for path in parts.iterdir()}
    assert left == {".lock", "b.hdf.part.note", "b.nc.job"}


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
def test_multihashes_and_bare_digits_are_read(name: str) -> None:
    code = {"md5": "d501", "sha1": "11", "sha256": "12", "sha512": "13"}[name]
    digest = hashlib.new(name, CONTENT)
    expected = Checksum(name, digest.hexdigest())
    assert hex_checksum(f"{code}{digest.digest_size:02x}{digest.hexdigest()}") == expected
    assert hex_checksum(digest.hexdigest().upper()) == expected


@pytest.mark.parametrize("text", ["", "zz", "abc", "1220ff", "9e00", "ff" * 9])
def test_other_checksums_are_none(text: str) -> None:
    assert hex_checksum(text) is None


def test_checksums_of_the_metadata_repository_are_read() -> None:
    digits = hashlib.md5(CONTENT).hexdigest()
    assert named_checksum({"Algorithm": "MD5", "Value": digits}) == Checksum("md5", digits)
    assert named_checksum({"Algorithm": "SHA-256", "Value": digits}) is None
    assert named_checksum({"Algorithm": "Adler-32", "Value": "0bad"}) is None
    assert named_checksum(None) is None


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://data.lpdaac.earthdatacloud.nasa.gov/a.hdf", True),
        ("https://urs.earthdata.nasa.gov/oauth", True),
        ("http://urs.earthdata.nasa.gov/oauth", False),
        ("https://earthdata.nasa.gov.example.org/a.hdf", False),
        ("https://d1nklfio7vscoe.cloudfront.net/a.hdf", False),
        ("http://127.0.0.1/a.hdf", False),
    ],
)
def test_a_token_goes_to_earthdata_alone(url: str, sent: bool) -> None:
    request = requests.Request("GET", url, auth=EarthdataToken("SECRET")).prepare()
    assert ("Authorization" in request.headers) == sent


def test_without_an_account_nobody_is_asked_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("earthaccess")
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with pytest.raises(ArchiveError, match=r"expected an account.*set EARTHDATA_TOKEN"):
        log_in()


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
