"""A Climate Data Store on loopback for tests: jobs with a delay, and results from `HourlyWorld`."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from upscale.archives.reanalysis.netcdf import NETCDF
from upscale.fetch.hours import NAMES
from upscale.testing.hourly import HourlyWorld, Layout, write_layout
from upscale.testing.servers.http import Server
from upscale.testing.servers.stac import Answer, Answering, Asked, answering


@dataclass
class Store:
    """A running store. jobs: requests by number, in order of arrival.

    delay: number of status requests before a job is done. failing: variables whose jobs fail.
    layout: of the results.
    """

    world: HourlyWorld
    files: Server
    key: str
    delay: int = 1
    failing: tuple[str, ...] = ()
    layout: Layout = "netcdf"
    api: Answering = field(default_factory=Answering)
    jobs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    polled: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.api.url}/api"


@contextmanager
def serve_cds(world: HourlyWorld, files: Server, key: str, **how: Any) -> Iterator[Store]:
    """Run a store that puts its results on a file server; how: fields of `Store`."""
    store = Store(world, files, key, **how)
    numbers = (f"job-{number}" for number in itertools.count())

    def answer(asked: Asked) -> Answer:
        if asked.path.endswith("/messages"):
            return Answer({"messages": []})
        if asked.headers.get("private-token") != store.key:
            said = {"title": "authentication failed", "detail": f"key {_sent(asked)} is unknown"}
            return Answer(said, 401)
        return _answer(store, asked, numbers)

    with answering(answer) as store.api:
        yield store


def _sent(asked: Asked) -> str:
    return asked.headers.get("private-token", "")


def _answer(store: Store, asked: Asked, numbers: Iterator[str]) -> Answer:
    """The answer of the Climate Data Store to a request: processes, jobs and their results."""
    base, _, rest = asked.path.partition("/retrieve/v1/")
    root = f"{store.api.url}{base}/retrieve/v1"
    match rest.split("/"):
        case ["processes", name]:
            return Answer({"id": name, "links": []})
        case ["processes", name, "execution"]:
            number = next(numbers)
            store.jobs[number] = asked.body["inputs"]
            links = [{"rel": "monitor", "href": f"{root}/jobs/{number}"}]
            said = {"jobID": number, "processID": name, "status": "accepted", "links": links}
            return Answer(said, 201)
        case ["jobs", number] if number in store.jobs:
            return _state(store, number, root)
        case ["jobs", number, "results"] if number in store.jobs:
            if _fails(store, number):  # the message repeats the key, as a bad server might
                detail = f"the request of {_sent(asked)} is too large"
                return Answer({"title": "job failed", "detail": detail}, 400)
            return Answer({"asset": {"value": _result(store, number)}})
    return Answer({"title": "job not found"}, 404)


def _fails(store: Store, number: str) -> bool:
    names = {short for short, name in NAMES.items() if name in store.jobs[number]["variable"]}
    return bool(names & set(store.failing))


def _state(store: Store, number: str, root: str) -> Answer:
    store.polled[number] = store.polled.get(number, 0) + 1
    done = store.polled[number] > store.delay
    status = ("failed" if _fails(store, number) else "successful") if done else "running"
    links = [
        {"rel": "self", "href": f"{root}/jobs/{number}"},
        {"rel": "results", "href": f"{root}/jobs/{number}/results"},
    ]
    said = {"jobID": number, "processID": "made", "status": status, "links": links}
    return Answer(said)


def _result(store: Store, number: str) -> dict[str, Any]:
    path = f"/results/{number}.nc"
    if path not in store.files.files:
        store.files.files[path] = _content(store, store.jobs[number])
    content = store.files.files[path]
    return {
        "type": "application/netcdf", "href": f"{store.files.url}{path}",
        "file:size": len(content), "file:checksum": hashlib.md5(content).hexdigest(),
    }  # fmt: skip


def _content(store: Store, asked: Mapping[str, Any]) -> bytes:
    """The result of a request: the selected hours and variables in the area."""
    world = store.world
    dates = [dt.datetime(int(asked["year"][0]), int(asked["month"][0]), int(day))
             for day in asked["day"]]  # fmt: skip
    hours = world.between(dates[0], dates[-1] + dt.timedelta(hours=23))
    names = [short for short, name in NAMES.items() if name in asked["variable"]]
    north, west, south, east = asked["area"]
    rows = (world.lat <= north + 1e-6) & (world.lat >= south - 1e-6)
    cols = (world.lon >= west - 1e-6) & (world.lon <= east + 1e-6)
    cut = HourlyWorld(
        world.lat[rows], world.lon[cols], world.first,
        {name: np.asarray(world.values[name][:, rows][:, :, cols]) for name in names},
    )  # fmt: skip
    # several requests at once: the netCDF library is not safe in threads
    with NETCDF, tempfile.TemporaryDirectory() as folder:
        return write_layout(Path(folder) / "made", cut, store.layout, hours=hours).read_bytes()
