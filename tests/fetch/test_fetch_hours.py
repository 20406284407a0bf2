"""Hours of reanalysis: what days need, asked for by month, taken up where a fetch ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from upscale.archives.reanalysis.netcdf import read_published
from upscale.fetch.cds import account, list_hours
from upscale.fetch.hours import HoursDue, hours_due
from upscale.fetch.ledger import FetchLedger
from upscale.fetch.plan import make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.run import FetchOutcome, Speed, fetch
from upscale.ingest.config import Ingest, parse_ingest
from upscale.remote.catalogue import Downloader
from upscale.remote.errors import ArchiveError
from upscale.remote.pace import Pace, StoppedError
from upscale.remote.retries import Patience
from upscale.testing.archives import Archive, content_of
from upscale.testing.servers.http import Drop

FAST = Speed(parallel=4, per_second=1000, patience=Patience(attempts=3, wait=0.02))


def ingest_of(archive: Archive, sources: Any, **meteo: Any) -> Ingest:
    content = content_of(archive, archive.folder / "cube.zarr")
    content["satellite"] = []
    content["meteo"] |= {"fetch": sources.entries()[0]} | meteo
    return parse_ingest(content, "hours")


def fetched(ingest: Ingest) -> FetchOutcome:
    return fetch(make_plan(ingest), make_progress(1e9, StringIO()), FAST)


def due_of(ingest: Ingest) -> HoursDue:
    assert ingest.meteo.fetch is not None
    return hours_due(ingest, ingest.meteo.fetch)


@pytest.fixture
def bare(half: Archive) -> Archive:
    """The archive without any hour."""
    for path in (half.folder / "hours").iterdir():
        path.unlink()
    return half


def test_days_of_local_time_need_hours_of_the_days_around(bare: Archive, sources: Any) -> None:
    due = due_of(ingest_of(bare, sources))
    assert [(request.days[0], request.days[-1]) for request in due.requests] == [
        (dt.date(2019, 2, 25), dt.date(2019, 2, 28)),  # an hour ahead of UTC: from 23 UTC on
        (dt.date(2019, 3, 1), dt.date(2019, 3, 4)),
    ]
    west = {"south": 45.0, "north": 45.4, "west": -100.4, "east": -100.0}
    content = content_of(bare, "cube") | {"satellite": [], "region": west}
    content["meteo"] |= {"fetch": sources.entries()[0]}
    late = due_of(parse_ingest(content, "west"))
    assert (late.requests[0].days[0], late.requests[-1].days[-1]) == (
        dt.date(2019, 2, 26), dt.date(2019, 3, 5),
    )  # fmt: skip


def test_days_of_utc_need_the_stamp_that_closes_their_amounts(bare: Archive, sources: Any) -> None:
    content = content_of(bare, "cube") | {"satellite": [], "day": "utc"}
    content["meteo"] |= {"fetch": sources.entries()[0]}
    asked = due_of(parse_ingest(content, "utc")).requests
    last = {name: max(a.days[-1] for a in asked if name in a.names) for name in ("t2m", "tp")}
    assert last == {"t2m": dt.date(2019, 3, 4), "tp": dt.date(2019, 3, 5)}


def test_variables_follow_from_the_drivers(bare: Archive, sources: Any) -> None:
    asked = due_of(ingest_of(bare, sources, variables=["vpd", "p"])).requests
    assert {asked.names for asked in asked} == {("t2m", "d2m", "tp")}
    source = sources.entries()[0] | {"by": "variable"}
    asked = due_of(ingest_of(bare, sources, variables=["vpd", "p"], fetch=source)).requests
    assert [a.names for a in asked] == [("t2m",), ("d2m",), ("tp",)] * 2


def test_a_request_is_in_the_words_of_the_store(bare: Archive, sources: Any) -> None:
    keys = due_of(ingest_of(bare, sources, variables=["ta"])).requests[0].keys
    assert keys["variable"] == ["2m_temperature"]
    assert (keys["year"], keys["month"], keys["day"]) == (
        ["2019"], ["02"], ["25", "26", "27", "28"],
    )  # fmt: skip
    assert len(keys["time"]) == 24  # type: ignore[arg-type]
    assert keys["area"] == [50.7, 14.8, 49.3, 16.4]
    assert "product_type" not in keys


def test_only_hours_that_are_not_there_are_asked_for(half: Archive, sources: Any) -> None:
    due = due_of(ingest_of(half, sources))
    assert [(a.days[0], a.days[-1]) for a in due.requests] == [
        (dt.date(2019, 3, 1), dt.date(2019, 3, 4))
    ]
    assert due.requests[0].box is not None
    assert due.requests[0].box.corners == (14.9, 49.4, 16.3, 50.6)  # of the files that are there


def test_files_of_another_area_are_refused_before_anything_is_asked(
    whole: Archive, sources: Any
) -> None:
    other = {"south": 47.0, "north": 47.4, "west": 15.1, "east": 16.1}
    content = content_of(whole, "cube") | {"satellite": [], "region": other}
    content["meteo"] |= {"fetch": sources.entries()[0]}
    with pytest.raises(ArchiveError, match="fetch into a new folder"):
        due_of(parse_ingest(content, "elsewhere"))


@pytest.mark.parametrize("layout", ["netcdf", "zip"])
def test_months_come_once_and_are_whole(half: Archive, sources: Any, layout: Any) -> None:
    sources.cds.delay, sources.cds.layout = 2, layout
    ingest = ingest_of(half, sources)
    outcome = fetched(ingest)
    assert not outcome.failed
    (record,) = outcome.fetched
    assert record.name == (
        "reanalysis-era5-land_2019-03-01_2019-03-04_t2m-d2m-sp-u10-v10-ssrd-strd-tp.nc"
    )
    assert make_plan(ingest).missing == 0
    for part in read_published(half.folder / "hours" / record.name):
        assert part.sizes["time"] == 4 * 24
    assert len(sources.cds.jobs) == 1


def test_grib_is_asked_for_where_it_is_wanted(bare: Archive, sources: Any) -> None:
    pytest.importorskip("eccodes")
    sources.cds.layout = "grib"
    source = sources.entries()[0] | {"form": "grib"}
    ingest = ingest_of(bare, sources, fetch=source, variables=["ta", "p"])
    outcome = fetched(ingest)
    assert not outcome.failed
    assert all(record.name.endswith("_t2m-tp.grib") for record in outcome.fetched)
    assert make_plan(ingest).missing == 0
    assert {job["data_format"] for job in sources.cds.jobs.values()} == {"grib"}


def test_a_job_that_was_asked_for_is_taken_up_again(half: Archive, sources: Any) -> None:
    sources.cds.delay = 0
    ingest = ingest_of(half, sources)
    sources.files.always["/results/job-0.nc"] = Drop(1000)
    assert len(fetched(ingest).failed) == 1
    sources.files.always.clear()
    assert not fetched(ingest).failed
    assert list(sources.cds.jobs) == ["job-0"]
    last = sources.files.asked("/results/job-0.nc")[-1]
    assert "range" in last.headers


def test_a_fetch_that_ends_while_a_job_runs_goes_on_with_it(
    half: Archive, sources: Any, stopping: Callable[[Ingest], None]
) -> None:
    sources.cds.delay = 10**6
    ingest = ingest_of(half, sources)
    stopping(ingest)
    assert list(sources.cds.jobs) == ["job-0"]
    sources.cds.delay = 0
    assert not fetched(ingest).failed
    assert list(sources.cds.jobs) == ["job-0"]


@pytest.fixture
def stopping(sources: Any) -> Callable[[Ingest], None]:
    """Begins a fetch and ends it when its job was asked after."""

    def stop(ingest: Ingest) -> None:
        pace = Pace(1000)
        answer = sources.cds.polled

        class Watched(dict):  # type: ignore[type-arg]
            def __setitem__(self, key: str, value: int) -> None:
                super().__setitem__(key, value)
                pace.stop.set()

        sources.cds.polled = Watched(answer)
        due = due_of(ingest)
        (file,) = list_hours(due, pace, FAST.patience).files
        ledger = FetchLedger(due.folder)
        with ledger.held(), pytest.raises(StoppedError):
            file.download(Downloader(ledger.parts, pace, FAST.patience))
        sources.cds.polled = {}

    return stop


def test_a_noted_job_that_is_gone_is_asked_for_anew(half: Archive, sources: Any) -> None:
    ingest = ingest_of(half, sources)
    sources.files.always["/results/job-0.nc"] = Drop(1000)
    assert len(fetched(ingest).failed) == 1
    del sources.cds.jobs["job-0"]
    assert not fetched(ingest).failed
    assert list(sources.cds.jobs) == ["job-1"]


def test_a_job_that_fails_is_named_with_its_reason(half: Archive, sources: Any) -> None:
    sources.cds.failing = ("tp",)
    source = sources.entries()[0] | {"by": "variable"}
    outcome = fetched(ingest_of(half, sources, fetch=source))
    assert len(outcome.fetched) == 7
    (failure,) = outcome.failed
    assert failure.name.endswith("_tp.nc")
    assert "the request of *** is too large" in failure.reason


def test_an_answer_that_lacks_hours_is_no_answer(half: Archive, sources: Any) -> None:
    world = sources.cds.world
    short = replace(world, values={k: v[:-40] for k, v in world.values.items()})
    sources.cds.world = short
    (failure,) = fetched(ingest_of(half, sources)).failed
    assert "expected hours" in failure.reason
    assert not list((half.folder / "hours").glob("reanalysis*"))


def test_a_wrong_key_is_refused_without_being_shown(
    half: Archive, sources: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDSAPI_KEY", "SECRET-wrong")
    (failure,) = fetched(ingest_of(half, sources)).failed
    assert "check CDSAPI_KEY" in failure.reason
    assert "SECRET" not in failure.reason


def test_the_key_is_that_of_the_environment_or_of_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CDSAPI_KEY", raising=False)
    monkeypatch.delenv("CDSAPI_URL", raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "rc"))
    with pytest.raises(ArchiveError, match="set CDSAPI_KEY"):
        account()
    (tmp_path / "rc").write_text("url: https://cds.climate.copernicus.eu/api\nkey: SECRET\n")
    found = account()
    assert (found.key, found.host) == ("SECRET", "cds.climate.copernicus.eu")
    assert "SECRET" not in repr(found)
