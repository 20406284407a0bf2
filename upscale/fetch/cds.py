"""Hours of ERA5 and ERA5-Land from the Climate Data Store, a job for each request.

The client of the store submits jobs and asks for their state; our own `Downloader` copies results.
A note beside the parts says what was asked for, so that a later fetch follows the same job instead
of a new one.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from upscale.archives.source import require
from upscale.fetch.available import Listing
from upscale.fetch.hours import HoursDue, HoursRequest
from upscale.fetch.ledger import job_note_of
from upscale.ingest.hourly import read_header
from upscale.jobs.settings import digest_of
from upscale.remote.catalogue import CatalogueFile, Downloader
from upscale.remote.checksums import hex_checksum
from upscale.remote.copies import discard
from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.locations import check_place, host_of
from upscale.remote.pace import AskingSession, Pace
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience

#: Hosts that results may be at, beside that of the store itself.
STORES = ("copernicus.eu", "ecmwf.int")
_URL = "https://cds.climate.copernicus.eu/api"
_LONGEST = 30.0  #: seconds between two questions for the state of a job


@dataclass(frozen=True)
class Account:
    """The URL of the store and the key of its user, which is never shown."""

    url: str
    key: str = field(repr=False)

    @property
    def host(self) -> str:
        return host_of(self.url)


def account() -> Account:
    """The account of CDSAPI_KEY (and CDSAPI_URL), else of .cdsapirc (CDSAPI_RC); never prompts.

    ArchiveError where there is none.
    """
    path = Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser()
    written: dict[str, str] = {}
    if path.is_file():
        written = require("cdsapi.api", "fetch").read_config(str(path))
    key = os.environ.get("CDSAPI_KEY") or written.get("key", "")
    url = os.environ.get("CDSAPI_URL") or written.get("url", _URL)
    if not key:
        raise ArchiveError(
            "Climate Data Store: expected a key, found none; set CDSAPI_KEY or write ~/.cdsapirc"
        )
    check_place(url)
    return Account(url.rstrip("/"), key)


def list_hours(due: HoursDue, pace: Pace, patience: Patience) -> Listing:
    """One file for each request of missing hours; nothing is requested yet."""
    known = account()
    return Listing(tuple(HoursFile(request, known, pace, patience) for request in due.requests))


@dataclass(frozen=True)
class HoursFile:
    """The file that answers one request."""

    request: HoursRequest
    account: Account
    pace: Pace
    patience: Patience

    @property
    def name(self) -> str:
        return self.request.file

    @property
    def size(self) -> int | None:
        return None

    @property
    def source(self) -> str:
        return f"{self.account.url} {self.request.source.dataset} {json.dumps(self.request.keys)}"

    def download(self, downloader: Downloader) -> Path:
        """The result of the job, copied; ArchiveError where hours or variables are missing."""
        note = job_note_of(downloader.parts, self.name)
        hosts = (self.account.host,)
        with AskingSession(self.pace, hosts, self.patience) as session:
            listed = _with_plain_errors(lambda: self._result(session, note), self.account.key)
        part = downloader.download(listed, self.name)
        fault = _content_fault(part, self.request)
        if fault:
            discard(part)
            note.unlink(missing_ok=True)
            raise ArchiveError(f"{self.name}: {fault}; check whether the store has these days")
        return part

    def _result(self, session: requests.Session, note: Path) -> CatalogueFile:
        """The result of the noted job, or of a new one where there is none; waits for its end."""
        client = require("ecmwf.datastores", "fetch").Client(
            url=self.account.url, key=self.account.key, session=session, progress=False,
            maximum_tries=1, retry_after=0, log_callback=_ignore,
        )  # fmt: skip
        number = _noted_job(note, digest_of(self.request.keys))
        if number:
            try:
                return self._wait_for(client.get_remote(number))
            except Exception as error:
                if isinstance(error, RemoteError | ArchiveError) or not _is_lost(error):
                    raise
                note.unlink()
        job = client.submit(self.request.source.dataset, dict(self.request.keys))
        note.write_text(json.dumps({"job": job.request_id, "digest": digest_of(self.request.keys)}))
        return self._wait_for(job)

    def _wait_for(self, job: Any) -> CatalogueFile:
        """The result of a job, asked for at longer and longer intervals."""
        pause = min(1.0, self.patience.wait)
        while not job.results_ready:
            self.pace.sleep(pause)
            pause = min(pause * 1.5, _LONGEST)
        results = job.get_results()
        return CatalogueFile(
            results.location, (*STORES, self.account.host, *self.request.source.hosts),
            "NetCDF, GRIB or ZIP", int(results.asset["file:size"]),
            hex_checksum(str(results.asset.get("file:checksum", ""))),
        )  # fmt: skip


def _ignore(*_: Any, **__: Any) -> None:
    """Drops the messages of the client, which name jobs and URLs."""


def _with_plain_errors(work: Callable[[], CatalogueFile], key: str) -> CatalogueFile:
    """Calls the client of the store; its errors become ours, cut short and without the key."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except requests.HTTPError as error:
        status = None if error.response is None else error.response.status_code
        advice = "check CDSAPI_KEY" if status in (401, 403) else "read its message on the web page"
        detail = "" if status in (401, 403) else _first_lines(str(error), key)
        raise RemoteError(
            f"Climate Data Store: expected a job, found status {status} {detail}; {advice} (the "
            "licence of the data must be accepted there, too)"
        ) from None
    except RuntimeError as error:  # ProcessingFailedError of a job
        raise RemoteError(
            f"Climate Data Store: expected a result, found a failed job: "
            f"{_first_lines(str(error), key)}; ask for less, or try again later"
        ) from None
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise RemoteError(
            f"Climate Data Store: expected a job, found another answer ({type(error).__name__}); "
            "check CDSAPI_URL"
        ) from None


def _first_lines(text: str, key: str) -> str:
    return redact(" ".join(text.replace(key, "***").split())[:300])


def _noted_job(note: Path, digest: str) -> str:
    try:
        content = json.loads(note.read_text())
        return str(content["job"]) if content["digest"] == digest else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_lost(error: Exception) -> bool:
    """True where the store no longer knows a noted job, or it failed: a new one may succeed."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status in (400, 404, 410) or type(error).__name__ == "ProcessingFailedError"


def _content_fault(part: Path, request: HoursRequest) -> str:
    try:
        return request.fault_of(read_header(str(part)))
    except ArchiveError as error:
        return str(error)
