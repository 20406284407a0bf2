"""Secrets in URLs and messages are masked wherever these are printed or logged."""

from __future__ import annotations

import logging

import pytest

from upscale.remote.http import Client
from upscale.remote.pace import AskingSession, Pace
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience
from upscale.testing.servers.http import serve

SIGNED = "https://h.s3.amazonaws.com/a.hdf?X-Amz-Credential=AKIA1&X-Amz-Signature=5ecret"


@pytest.mark.parametrize(
    "text",
    [SIGNED, f"GET {SIGNED} failed", "https://me:5ecret@h/a.hdf", "az://c/a.hdf?sv=1&sig=5ecret",
     "Max retries exceeded with url: /a.hdf?token=5ecret (Caused by X)", "https://h/a?5ecret",
     "https://h/a#access_token=5ecret", "a {'PRIVATE-TOKEN': '5ecret'}",
     "Authorization: Bearer 5ecret", "aws_secret_access_key=5ecret",
     "s3://key:5ecret/x@bucket/a X-Amz-Security-Token=5ecret"],
)  # fmt: skip
def test_secrets_are_masked_and_the_file_is_still_named(text: str) -> None:
    assert "5ecret" not in redact(text).replace("5ecret/x@bucket", "")
    assert "a" in redact(text)


@pytest.mark.parametrize("text", ["s3://b/2020/A20??.hdf", "/data/MOD??.A20*.hdf", "what? a = b"])
def test_wildcards_are_no_secrets(text: str) -> None:
    assert redact(text) == text


def test_a_library_that_logs_its_requests_logs_no_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    with serve({"/a.hdf": b"x"}) as server:
        url = f"{server.url}/a.hdf?sig=5ecret"
        Client(("127.0.0.1",)).head(url)
        with AskingSession(Pace(1000), ("127.0.0.1",), Patience()) as session:
            session.get(url)
    assert "/a.hdf?***" in caplog.text
    assert "5ecret" not in caplog.text


@pytest.mark.parametrize("piece", ["x", "secret", "x-amz-", "http://", "?", "token_", "a:b@"])
def test_a_text_of_any_length_is_masked_in_the_time_that_a_read_takes(piece: str) -> None:
    """Repeated, each of these once made a search begin anew at every character."""
    found = redact(f"token=abc https://{piece * (100_000 // len(piece))}")
    assert len(found) < 10_100
    assert found.startswith("token=*** https://")


def test_the_end_of_a_name_tells_a_secret() -> None:
    said = "my_token=a private-token=b AWSSecretKey=c client_secret_2=d x-amz-credential=e mysig=f"
    found = redact(said)
    assert [pair.split("=")[1] for pair in found.split()] == ["***"] * 6
