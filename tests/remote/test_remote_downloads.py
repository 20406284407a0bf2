"""Downloads from a real HTTP server that drops, refuses, redirects and changes its files."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from upscale.remote.copies import download
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.http import Client
from upscale.remote.listing import ListedFile, expand
from upscale.remote.retries import Patience
from upscale.testing.servers.http import Drop, Redirect, Refuse, Server, Slow, serve

CONTENT = np.random.default_rng(1).bytes(1_000_000)
QUICK = Patience(attempts=4, wait=0.01, longest=1.5, connect=2, read=0.5)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve({"/a.hdf": CONTENT}) as running:
        yield running


def fetch(server: Server, folder: Path, path: str = "/a.hdf", **how: object) -> bytes:
    """As a reader does it: listed first."""
    (found,) = expand([server.url + path], patience=QUICK)
    how = {"size": found.size, "stamp": found.stamp, "patience": QUICK, **how}
    download(found.url, folder / "a.hdf", **how)  # type: ignore[arg-type]
    assert list(folder.iterdir()) == [folder / "a.hdf"]
    return (folder / "a.hdf").read_bytes()


def test_a_file_is_copied_byte_by_byte(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path) == CONTENT
    assert (server.count("/a.hdf", "HEAD"), server.count("/a.hdf")) == (1, 1)


def test_refusals_are_waited_out(server: Server, tmp_path: Path) -> None:
    (found,) = expand([f"{server.url}/a.hdf"])
    server.script("/a.hdf", Refuse(503), Refuse(429), Refuse(500))
    download(found.url, tmp_path / "a", size=found.size, stamp=found.stamp, patience=QUICK)
    assert [row.status for row in server.asked("/a.hdf")] == [503, 429, 500, 200]


def test_what_a_server_asks_to_wait_is_waited(server: Server, tmp_path: Path) -> None:
    server.script("/a.hdf", Refuse(429, {"Retry-After": "1"}))
    begun = time.monotonic()
    download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
    assert time.monotonic() - begun >= 1


def test_a_server_that_asks_for_hours_has_failed(server: Server, tmp_path: Path) -> None:
    server.script("/a.hdf", Refuse(503, {"Retry-After": "7200"}))
    with pytest.raises(RemoteError, match="after 1 tries: status 503"):
        download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)


def test_tries_come_to_an_end(server: Server, tmp_path: Path) -> None:
    server.always["/a.hdf"] = Refuse(503)
    with pytest.raises(RemoteError, match="after 4 tries"):
        download(f"{server.url}/a.hdf?token=5ecret", tmp_path / "a", patience=QUICK)
    assert server.count("/a.hdf") == 4


@pytest.mark.parametrize("stamped", [True, False])
def test_a_broken_download_goes_on_where_it_broke(
    server: Server, tmp_path: Path, stamped: bool
) -> None:
    (found,) = expand([f"{server.url}/a.hdf"])
    server.script("/a.hdf", Drop(300_000), Drop(), Drop(400_000))
    how = {"size": found.size, "stamp": found.stamp} if stamped else {}
    download(found.url, tmp_path / "a", patience=QUICK, **how)  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [row.status for row in server.asked("/a.hdf")] == [200, 0, 206, 206]
    again = server.asked("/a.hdf")[-1].headers
    assert again["if-range"] == server.etag("/a.hdf")
    assert again["accept-encoding"] == "identity"  # ranges count bytes as they lie there
    assert server.sent("/a.hdf") < len(CONTENT) + 3 * (1 << 16)


def test_a_stalled_server_is_left_and_asked_again(server: Server, tmp_path: Path) -> None:
    server.script("/a.hdf", Slow(pause=2.0, piece=1 << 17))
    begun = time.monotonic()
    download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("how", [{"ranges": False}, {"etags": False}, {"heads": False}])
def test_servers_that_know_less_are_read_too(tmp_path: Path, how: dict[str, bool]) -> None:
    with serve({"/a.hdf": CONTENT}, **how) as server:
        (found,) = expand([f"{server.url}/a.hdf"], patience=QUICK)
        server.script("/a.hdf", Drop(500_000))
        download(found.url, tmp_path / "a", size=found.size, stamp=found.stamp, patience=QUICK)
    assert found.size == len(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_part_of_an_earlier_process_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.hdf.part").write_bytes(CONTENT[:900_000])
    assert fetch(server, tmp_path) == CONTENT
    assert server.sent("/a.hdf") == 100_000


@pytest.mark.parametrize("left", [len(CONTENT) + 5, len(CONTENT)])
def test_a_part_that_is_too_long_or_whole_does_no_harm(
    server: Server, tmp_path: Path, left: int
) -> None:
    (tmp_path / "a.hdf.part").write_bytes((CONTENT + b"trash")[:left])
    assert fetch(server, tmp_path) == CONTENT


def test_a_part_of_which_nothing_is_known_is_not_trusted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"something else")
    download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changed_since_it_was_listed_is_refused(tmp_path: Path, etags: bool) -> None:
    with serve({"/a.hdf": CONTENT}, etags=etags) as server:
        (found,) = expand([f"{server.url}/a.hdf"])
        server.files["/a.hdf"] = CONTENT[::-1] if etags else CONTENT[:-1]
        with pytest.raises(ArchiveError, match="list it again"):
            download(found.url, tmp_path / "a", size=found.size, stamp=found.stamp, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_two_states_of_a_file_are_never_joined(server: Server, tmp_path: Path) -> None:
    """It changes while the server is waited for, and nothing was listed before."""
    server.script("/a.hdf", Drop(500_000), Refuse(503, {"Retry-After": "1"}))
    change = threading.Timer(0.3, server.files.__setitem__, ("/a.hdf", CONTENT[::-1]))
    change.start()
    with pytest.raises(ArchiveError, match="found another"):
        download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_refused_also_where_the_part_is_too_long(
    server: Server, tmp_path: Path
) -> None:
    (found,) = expand([f"{server.url}/a.hdf"])
    (tmp_path / "a.part").write_bytes(CONTENT + b"trash")
    server.files["/a.hdf"] = CONTENT[::-1]
    with pytest.raises(ArchiveError, match="list it again"):
        download(found.url, tmp_path / "a", size=found.size, stamp=found.stamp, patience=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_an_earlier_state_of_the_file_is_not_joined_to_the_new_one(
    server: Server, tmp_path: Path
) -> None:
    (found,) = expand([f"{server.url}/a.hdf"])
    server.script("/a.hdf", Drop(500_000))
    once = Patience(attempts=1)
    with pytest.raises(RemoteError):
        download(found.url, tmp_path / "a", size=found.size, stamp=found.stamp, patience=once)
    server.files["/a.hdf"] = CONTENT[::-1]
    (now,) = expand([f"{server.url}/a.hdf"])
    download(now.url, tmp_path / "a", size=now.size, stamp=now.stamp, patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_note_beside_a_part_holds_no_query(server: Server, tmp_path: Path) -> None:
    server.always["/a.hdf"] = Drop(1000)
    (tmp_path / "to").mkdir()
    once = Patience(attempts=1)
    with pytest.raises(RemoteError):
        download(f"{server.url}/a.hdf?token=5ecret", tmp_path / "to" / "a", patience=once)
    left = [path for path in (tmp_path / "to").iterdir() if path.suffix == ".note"]
    assert [b"5ecret" in path.read_bytes() for path in left] == [False]


def test_a_file_without_length_is_copied_and_not_listed(tmp_path: Path) -> None:
    with serve({"/a.hdf": CONTENT}, lengths=False) as server:
        download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
        assert (tmp_path / "a").read_bytes() == CONTENT
        with pytest.raises(RemoteError, match="expected Content-Length"):
            expand([f"{server.url}/a.hdf"])


def test_a_body_longer_than_listed_is_cut_off(tmp_path: Path) -> None:
    with serve({"/a.hdf": CONTENT}, lengths=False) as server:
        with pytest.raises(ArchiveError, match="expected 1000 bytes as listed"):
            download(f"{server.url}/a.hdf", tmp_path / "a", size=1000, patience=QUICK)
        assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_said_with_its_status(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="status 404"):
        download(f"{server.url}/none.hdf", tmp_path / "a", patience=QUICK)
    assert server.count("/none.hdf") == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_closed_door_is_said_with_what_to_do(server: Server, tmp_path: Path, status: int) -> None:
    server.script("/a.hdf", Refuse(status))
    with pytest.raises(RemoteError, match=r"into \.netrc"):
        download(f"{server.url}/a.hdf", tmp_path / "a", patience=QUICK)
    assert server.count("/a.hdf") == 1


def test_no_server_is_said_without_the_secrets_of_the_url(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="refused") as error:
        download("http://127.0.0.1:9/a.hdf?X-Amz-Signature=5ecret", tmp_path / "a", patience=QUICK)
    assert "5ecret" not in str(error.value)
    assert "a.hdf" in str(error.value)


def elsewhere(server: Server) -> str:
    """The same machine under another name."""
    return server.url.replace("127.0.0.1", "localhost")


def test_redirects_on_one_server_are_followed(server: Server, tmp_path: Path) -> None:
    server.always["/old.hdf"] = Redirect("/older.hdf", 301)
    server.always["/older.hdf"] = Redirect(f"{server.url}/a.hdf", 307)
    assert fetch(server, tmp_path, "/old.hdf") == CONTENT


def test_a_redirect_to_a_local_address_is_refused(server: Server, tmp_path: Path) -> None:
    with serve({"/a.hdf": b"inner"}) as inner:
        for target in (inner.url, elsewhere(server), elsewhere(inner)):
            server.always["/x.hdf"] = Redirect(f"{target}/a.hdf")
            with pytest.raises(ArchiveError, match=r"redirects elsewhere.*private or local"):
                download(f"{server.url}/x.hdf", tmp_path / "a", patience=QUICK)
        assert inner.requests == []
    assert server.count("/a.hdf") == 0


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "//user:pw@127.0.0.1/x"])
def test_a_redirect_to_no_plain_url_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    server.always["/x.hdf"] = Redirect(target)
    with pytest.raises(ArchiveError, match="expected"):
        download(f"{server.url}/x.hdf", tmp_path / "a", patience=QUICK)


def test_with_allowed_hosts_every_hop_must_be_one(server: Server, tmp_path: Path) -> None:
    server.always["/x.hdf"] = Redirect(f"{elsewhere(server)}/a.hdf")
    url = f"{server.url}/x.hdf"
    with pytest.raises(ArchiveError, match="expected one of the hosts"):
        download(url, tmp_path / "a", hosts=["127.0.0.1"], patience=QUICK)
    download(url, tmp_path / "a", hosts=["127.0.0.1", "localhost"], patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_endless_redirects_end(server: Server, tmp_path: Path) -> None:
    server.always["/x.hdf"] = Redirect("/x.hdf")
    with pytest.raises(RemoteError, match="more than 10 redirects"):
        download(f"{server.url}/x.hdf", tmp_path / "a", patience=QUICK)


def test_a_password_of_netrc_stays_with_its_host(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password geheim\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("EARTHDATA_TOKEN", "5ecret")
    server.always["/x.hdf"] = Redirect(f"{elsewhere(server)}/a.hdf")
    download(f"{server.url}/x.hdf", tmp_path / "a", hosts=["127.0.0.1", "localhost"])
    (first,), (second,) = server.asked("/x.hdf"), server.asked("/a.hdf")
    assert first.headers["authorization"].startswith("Basic ")
    assert "authorization" not in second.headers
    assert urlsplit(elsewhere(server)).netloc == second.headers["host"]


def test_a_name_that_leads_elsewhere_once_it_was_checked_meets_a_closed_door(
    server: Server,
) -> None:
    """As after a change of DNS: the connection itself is looked at before a word is said."""
    with pytest.raises(ArchiveError, match=r"expected a public address, found 127\.0\.0\.1"):
        Client().session.get(f"{server.url}/a.hdf")
    assert server.requests == []


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    with serve({"/a.hdf": b""}) as server:
        assert expand([f"{server.url}/a.hdf"])[0] == ListedFile(
            f"{server.url}/a.hdf", 0, server.etag("/a.hdf")
        )
        assert fetch(server, tmp_path) == b""
