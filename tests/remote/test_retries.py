"""One reading of what a busy server says, for files and for questions to catalogues alike."""

from __future__ import annotations

import email.utils
import math
import time
from pathlib import Path

import pytest
import requests

from upscale.remote.copies import download
from upscale.remote.errors import RemoteError
from upscale.remote.pace import AskingSession, Pace
from upscale.remote.retries import TRANSIENT, Patience, retried, retry_after
from upscale.testing.servers.http import Refuse, serve

QUICK = Patience(attempts=2, wait=0.01, longest=3)
HERE = ("127.0.0.1",)


def ask(by: str, url: str, folder: Path) -> bytes:
    """The file at a URL, copied as an ingest copies it, or asked for like a catalogue."""
    if by == "download":
        download(url, folder / "a", patience=QUICK)
        return (folder / "a").read_bytes()
    with AskingSession(Pace(1000), HERE, QUICK) as session:
        return bytes(session.get(url).content)


@pytest.mark.parametrize("by", ["download", "question"])
@pytest.mark.parametrize("status", TRANSIENT)
def test_all_ask_again_after_the_same_statuses(tmp_path: Path, by: str, status: int) -> None:
    with serve({"/a": b"{}"}) as server:
        server.script("/a", Refuse(status))
        assert ask(by, f"{server.url}/a", tmp_path) == b"{}"
        assert server.count("/a") == 2


@pytest.mark.parametrize("by", ["download", "question"])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_all_wait_as_long_as_a_server_asks(tmp_path: Path, by: str, form: str) -> None:
    with serve({"/a": b"{}"}) as server:
        end = math.ceil(time.time()) + 1  # dates have whole seconds
        said = "1" if form == "seconds" else email.utils.formatdate(end, usegmt=True)
        server.script("/a", Refuse(503, {"Retry-After": said}))
        since = time.time()
        assert ask(by, f"{server.url}/a", tmp_path) == b"{}"
    assert time.time() >= (since + 1 if form == "seconds" else end)


@pytest.mark.parametrize("by", ["download", "question"])
def test_all_leave_a_server_that_asks_for_too_long_a_wait(tmp_path: Path, by: str) -> None:
    with serve({"/a": b"{}"}) as server:
        later = email.utils.formatdate(time.time() + 7200, usegmt=True)
        server.always["/a"] = Refuse(429, {"Retry-After": later})
        with pytest.raises(RemoteError, match="after 1 tries: status 429"):
            ask(by, f"{server.url}/a", tmp_path)


def answer(said: str) -> requests.Response:
    response = requests.Response()
    response.headers["Retry-After"] = said
    return response


@pytest.mark.parametrize(
    "said", ["", "soon", "-5", "1e3", "9" * 5000, "Sat, 99 Foo 2026", "nan",
             "Fri, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]
)  # fmt: skip
def test_nonsense_and_times_that_have_passed_ask_for_no_wait(said: str) -> None:
    assert retry_after(answer(said)) == 0.0


def test_a_number_that_no_float_holds_is_no_crash() -> None:
    assert math.isfinite(retry_after(answer("9" * 400)))


def test_what_is_no_transient_error_is_not_tried_again() -> None:
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        retried(attempt, QUICK, "x")
    assert len(tries) == 1
