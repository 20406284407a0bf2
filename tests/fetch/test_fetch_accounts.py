"""An account of Earthdata: found without a question, and its token sent to Earthdata alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from upscale.fetch.earthdata import log_in
from upscale.remote.errors import ArchiveError
from upscale.remote.http import EarthdataToken


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
