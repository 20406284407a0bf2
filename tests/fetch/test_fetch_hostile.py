"""Servers and catalogues that mean harm, or are broken, cost neither memory, time nor secrets."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from upscale.fetch import stac
from upscale.fetch.available import UnusableFile, file_or_reason, newest
from upscale.fetch.earthdata import list_granules
from upscale.fetch.granules import GranuleKey
from upscale.fetch.plan import FetchPlan, make_plan
from upscale.fetch.run import Speed, fetch
from upscale.fetch.stac import Signer
from upscale.ingest.config import parse_ingest
from upscale.remote import catalogue, pace
from upscale.remote.catalogue import CatalogueFile, Downloader
from upscale.remote.copies import download
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.http import Client, EarthdataToken
from upscale.remote.pace import AskingSession, Pace, StoppedError
from upscale.remote.retries import Patience
from upscale.testing.archives import Archive
from upscale.testing.servers.http import Refuse, serve
from upscale.testing.servers.stac import Answer, Asked, answering

HASTY = Patience(attempts=2, wait=0.01, longest=5, connect=5, read=0.3)
HERE = ("127.0.0.1",)
START = b"\x0e\x03\x13\x01"

Say = Callable[[socket.socket, str], None]


@contextmanager
def saying(say: Say) -> Iterator[str]:
    """A server that answers each request on a connection of its own, in its own words."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as connections:

        def serve_all() -> None:
            with suppress(OSError):
                while True:
                    connection = connections.enter_context(listening.accept()[0])
                    threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

        def serve_one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += connection.recv(1 << 16)
                say(connection, asked.decode())

        threading.Thread(target=serve_all, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""]).encode()


def without_end(connection: socket.socket, first: bytes) -> None:
    connection.sendall(first)
    while True:
        connection.sendall(b" " * (1 << 20))


def asking() -> AskingSession:
    return AskingSession(Pace(1000), HERE, HASTY)


def hdf(url: str, **how: Any) -> CatalogueFile:
    return CatalogueFile(f"{url}/a.hdf", HERE, "HDF4", **how)


@pytest.mark.parametrize("by", ["fetch", "ingest"])
def test_a_part_that_begins_too_late_leaves_no_hole(tmp_path: Path, by: str) -> None:
    def say(connection: socket.socket, asked: str) -> None:
        if "Range: bytes=" in asked:
            told = head("206 P", ETag='"x"', Content_Range="bytes 900-999/1000", Content_Length=100)
            connection.sendall(told + b"z" * 100)
        else:
            connection.sendall(head(ETag='"x"', Content_Length=1000) + START + b"a" * 96)

    def copy(url: str) -> None:
        if by == "fetch":
            Downloader(tmp_path, Pace(1000), HASTY).download(hdf(url, size=1000), "a.hdf")
        else:
            download(f"{url}/a.hdf", tmp_path / "a.hdf", patience=HASTY)

    with saying(say) as url, pytest.raises(RemoteError, match="another part of the file"):
        copy(url)
    assert not (tmp_path / "a.hdf").exists()


def test_a_server_that_drips_is_left(tmp_path: Path) -> None:
    def say(connection: socket.socket, asked: str) -> None:
        connection.sendall(head(ETag='"x"', Content_Length=10**6) + START)
        while True:
            connection.sendall(b"a")
            time.sleep(0.05)

    since = time.monotonic()
    with saying(say) as url:
        with pytest.raises(RemoteError, match=r"\d bytes in 0\.\d s"):
            Downloader(tmp_path, Pace(1000), HASTY).download(hdf(url), "a.hdf")
        with asking() as session, pytest.raises(RemoteError, match="bytes in"):
            session.get(f"{url}/search")
        with pytest.raises(RemoteError, match="bytes in"):
            Client(None, HASTY).page(f"{url}/")
    assert time.monotonic() - since < 5


def test_answers_and_files_without_end_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_LARGEST", 2**21)
    monkeypatch.setitem(catalogue.LARGEST, "HDF4", 2**21)
    with saying(lambda connection, asked: without_end(connection, head() + START)) as url:
        with asking() as session, pytest.raises(ArchiveError, match="an answer of at most"):
            session.get(f"{url}/search")
        with pytest.raises(ArchiveError, match="expected HDF4 of at most 2097152 bytes"):
            Downloader(tmp_path, Pace(1000), HASTY).download(hdf(url), "a.hdf")


def test_the_body_of_a_redirect_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def say(connection: socket.socket, asked: str) -> None:
        if " /b" in asked:
            connection.sendall(head(Content_Length=2, ETag='"b"') + b"{}")
        else:
            without_end(connection, head("302 Found", Location="/b"))

    monkeypatch.setattr(pace, "_LARGEST", 2**21)
    with saying(say) as url:
        found = Client(HERE, HASTY).head(f"{url}/a")
        assert found is not None
        assert found.size == 2
        with asking() as session, pytest.raises(ArchiveError, match="an answer of at most"):
            session.get(f"{url}/a")


def test_redirects_in_a_circle_end_a_question_at_once() -> None:
    with answering(lambda asked: Answer("", 302, {"Location": "/again"})) as server:
        with asking() as session, pytest.raises(RemoteError, match="over 10 redirects"):
            session.get(f"{server.url}/a")
        assert len(server.asked) == 11


@pytest.mark.parametrize("to", ["s3://127.0.0.1/a", "gs://127.0.0.1/a"])
def test_what_no_request_can_be_sent_to_is_not_tried_again(to: str) -> None:
    slow = Patience(attempts=2, wait=60)
    with answering(lambda asked: Answer("", 302, {"Location": to})) as server:
        with pytest.raises(RemoteError, match="that can be sent, found InvalidURL"):
            Client(HERE, slow).head(f"{server.url}/a")
        with (
            AskingSession(Pace(1000), HERE, slow) as session,
            pytest.raises(RemoteError, match="that can be asked, found InvalidSchema"),
        ):
            session.get(f"{server.url}/a")


DUE: Any = SimpleNamespace(
    box=SimpleNamespace(corners=(0, 0, 1, 1)),
    products=("MOD09GA",),
    missing=(),
    missing_of=lambda product: {GranuleKey("MOD09GA", dt.date(2019, 1, 1), (18, 4))},
)


def test_pages_that_lead_to_themselves_end() -> None:
    def say(asked: Asked) -> Answer:
        again = {"rel": "next", "href": f"http://{asked.headers['host']}/search", "method": "GET"}
        return Answer({"features": [{"id": "x"}], "links": [again]})

    with answering(say) as server:
        source: Any = SimpleNamespace(catalogue=server.url, collection="c")
        days = dt.date(2019, 1, 1), dt.date(2019, 1, 1)
        with asking() as session, pytest.raises(ArchiveError, match="pages without an end"):
            stac._search(DUE, source, days, session)
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "granule", [None, {"RelatedUrls": None}, {"RelatedUrls": ["x"]}, {"DataGranule": None}]
)
def test_a_listing_of_another_form_is_said(granule: object) -> None:
    told = {"hits": 1, "items": [{"meta": {"provider-id": "x"}, "umm": granule}]}
    with answering(lambda asked: Answer(told, headers={"CMR-Hits": "1"})) as server:
        source: Any = SimpleNamespace(catalogue=server.url, collection="061", hosts=HERE)
        with pytest.raises(ArchiveError, match="expected a listing of MOD09GA"):
            list_granules(DUE, source, Pace(1000), HASTY)


@pytest.mark.parametrize(
    "assets", [None, [], *({"l": {"href": "x", "file:size": size}} for size in (1e999, "x", [1]))]
)
def test_an_entry_of_another_form_is_one_file_that_cannot_be_used(assets: Any) -> None:
    def make() -> Any:
        return stac._layer_file("n", "l", assets, HERE, None)

    assert isinstance(file_or_reason("n", make), UnusableFile)


def test_names_that_write_on_a_terminal_are_no_granules() -> None:
    plain = "MOD09GA.A2019001.h18v04.061.2020290123456.hdf"
    wanted = {GranuleKey.of(plain)}
    assert newest([(plain, 1)], wanted)
    assert not newest([(plain.replace(".hdf", "\x1b[2J.hdf"), 1)], wanted)


def test_a_token_with_a_line_end_is_neither_sent_so_nor_shown(tmp_path: Path) -> None:
    request = requests.Request("GET", "https://urs.earthdata.nasa.gov/a").prepare()
    assert EarthdataToken("SECRET\n")(request).headers["Authorization"] == "Bearer SECRET"

    class Broken(requests.auth.AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = "Bearer SEC\nRET"
            return request

    with (
        serve({"/a.hdf": START}) as server,
        pytest.raises(RemoteError, match="an account that can be sent") as error,
    ):
        Downloader(tmp_path, Pace(1000), HASTY, auth=Broken()).download(hdf(server.url), "a.hdf")
    assert "RET" not in str(error.value)


def test_the_end_of_a_fetch_is_not_put_off_by_a_server_that_says_wait(tmp_path: Path) -> None:
    going = Pace(1000)
    threading.Timer(0.2, going.stop.set).start()
    since = time.monotonic()
    with serve({"/a.hdf": START}) as server:
        server.always["/a.hdf"] = Refuse(503, {"Retry-After": "60"})
        with pytest.raises(StoppedError):
            Downloader(tmp_path, going, Patience()).download(hdf(server.url), "a.hdf")
    assert time.monotonic() - since < 5


def test_the_end_of_a_token_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        told = json.loads('{"token": "sig=x", "msft:expiry": "2030-01-01T00:00:00"}')
        with answering(lambda asked: Answer(told)) as server:
            _, until = Signer(server.url, "c", Pace(1000), HASTY)._new_token()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert until == dt.datetime(2030, 1, 1, tzinfo=dt.UTC).timestamp()


class Silent:
    """A fetch that nobody watches."""

    def start(self, files: int, size: int | None) -> None: ...
    def came(self, count: int) -> None: ...
    def ended(self, name: str, reason: str) -> None: ...
    def close(self) -> None: ...


def planned(content: dict[str, Any]) -> FetchPlan:
    """Granules of MOD09GA alone."""
    content["meteo"].pop("fetch")
    content["satellite"] = content["satellite"][:1]
    return make_plan(parse_ingest(content, "granules"))


def test_a_file_that_comes_during_a_fetch_is_left_as_it_is(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    plan = planned(sources.content(half, tmp_path / "cube.zarr"))
    own, next_fault = START + b"my own", sources.files.next_fault

    def copied_meanwhile(path: str) -> Any:
        (half.folder / "modis" / path[1:]).write_bytes(own)
        return next_fault(path)

    sources.files.next_fault = copied_meanwhile
    outcome = fetch(plan, Silent(), Speed(per_second=1000, patience=HASTY))
    assert len(outcome.failed) == plan.missing > 0
    for failure in outcome.failed:
        assert "which is left as it is" in failure.reason
        assert (half.folder / "modis" / failure.name).read_bytes() == own


def test_entries_that_share_folder_and_product_fetch_each_file_once(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    plan = planned(sources.content(half, tmp_path / "cube.zarr"))
    twice = FetchPlan(plan.requests * 2)
    outcome = fetch(twice, Silent(), Speed(per_second=1000, patience=HASTY))
    assert outcome.failed == ()
    assert len(outcome.fetched) == plan.missing
    for record in outcome.fetched:
        assert sources.files.count(f"/{record.name}") == 1
