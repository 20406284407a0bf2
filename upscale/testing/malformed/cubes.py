"""Parsers of driver cubes, flux cubes, contexts, and the ledgers beside them."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from upscale.api.stores import interval, open_fluxes
from upscale.calendar import day_number
from upscale.checks.cube import check_cube
from upscale.drivers.audit import check_drivers
from upscale.drivers.cube import DriverError, open_cube
from upscale.drivers.tiles import read_features, read_surface
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.engine.check import check_store
from upscale.engine.ledger import RunLedger
from upscale.engine.plan import stored_attributes
from upscale.engine.report import make_report
from upscale.engine.revisions import read_log
from upscale.engine.run import status
from upscale.engine.validate import store_faults
from upscale.engine.work.context import create_context
from upscale.grid import load_grid
from upscale.jobs.compact import LedgerError
from upscale.jobs.settings import ConfigError
from upscale.product.layout import item_from_id
from upscale.product.totals import totals
from upscale.stores.manifest import (
    NAME,
    SEAL,
    ArrayManifest,
    attributes_digest,
    object_digest,
)
from upscale.testing.flux_cubes import MADE_UNCERTAINTY, make_flux_cube, small_layout
from upscale.testing.malformed.mutations import change_any, change_bytes, change_json
from upscale.testing.malformed.verdicts import FuzzedParser
from upscale.testing.releases import fake_release
from upscale.testing.runs import prepare, run_here

_FEATURES = ("ta", "sw_in", "ndvi", "day_length")
_PERIOD = "2012-03-01", "2012-04-15"
_GRID = load_grid("global-1p0").crop(slice(30, 35), slice(190, 195))
_NODES = load_grid("nodes-2p0").crop(slice(13, 19), slice(93, 99))
_FIRST, _DAYS = day_number(dt.date(2012, 1, 1)), 120


def _make_drivers(folder: Path) -> None:
    """Four months on 5 x 5 cells, all of them grassland."""
    url, random = str(folder / "d.zarr"), np.random.default_rng(3)
    create_cube(url, title="made", source="made", day_definition="utc", tile=5)
    ones = np.ones(_GRID.shape, np.float32)
    classes = np.full(_GRID.shape, 10)
    write_static(url, _GRID, igbp=classes, koppen=classes, sftlf=100 * ones, elevation=ones)
    create_series(url, SeriesSpec("meteo", _NODES, _FIRST, _DAYS, ("ta", "sw_in"), "int16"),
                  np.ones(_NODES.shape, bool))  # fmt: skip
    for name, most in (("ta", 20), ("sw_in", 300)):
        series = random.uniform(0, most, (_DAYS, *_NODES.shape)).astype(np.float32)
        write_series(url, "meteo", name, (0, 0, 0), series)
    create_series(url, SeriesSpec("satellite", _GRID, _FIRST, _DAYS, ("ndvi",), "int16"))
    ndvi = random.uniform(0, 1, (_DAYS, *_GRID.shape)).astype(np.float32)
    write_series(url, "satellite", "ndvi", (0, 0, 0), ndvi, ndvi < 0.2)
    seal(url)


def _make_unsealed(folder: Path) -> None:
    _make_drivers(folder)
    path = folder / "d.zarr" / "zarr.json"
    content = json.loads(path.read_text())
    del content["attributes"][SEAL]
    path.write_text(json.dumps(content))


def _read_drivers(folder: Path) -> None:
    """As `validate` and a worker do."""
    cube = open_cube(str(folder / "d.zarr"))
    side = slice(0, min(5, cube.grid.rows)), slice(0, min(5, cube.grid.cols))
    surface = read_surface(cube, *side)
    read_features(cube, surface, ("ta", "sw_in", "ndvi"), cube.first, min(40, cube.last + 1))
    assert cube.day_definition
    assert int(cube.tile) > 0


def _check_drivers(folder: Path) -> None:
    report = check_drivers(str(folder / "d.zarr"))
    assert all(len(fault) < 4000 for fault in report.faults)


def sign_cube(folder: Path) -> None:
    """Make the digests of a sealed cube those of what is stored, whatever that is."""
    root = folder / "d.zarr"
    with suppress(ValueError, KeyError, TypeError, AttributeError, OSError):
        document = json.loads((root / "zarr.json").read_text())
        attributes: dict[str, Any] = document["attributes"]
        sealed = attributes[SEAL]
        for group in sealed["groups"]:
            sealed["groups"][group] = object_digest((root / group / "zarr.json").read_bytes()).hex()
        for array in sealed["arrays"]:
            sealed["arrays"][array] = _signed(root / array)
        sealed["attributes"] = attributes_digest(attributes)
        (root / "zarr.json").write_text(json.dumps(document))


def _signed(array: Path) -> str:
    """Give the manifest of an array the digest of its metadata; the digest of the manifest."""
    content = (array / NAME).read_bytes()
    with suppress(Exception):
        metadata = object_digest((array / "zarr.json").read_bytes())
        content = ArrayManifest(metadata, ArrayManifest.from_bytes(content).digests).to_bytes()
        (array / NAME).write_bytes(content)
    return object_digest(content).hex()


def _make_manifest(folder: Path) -> None:
    digests = np.random.default_rng(1).integers(1, 255, (3, 2, 2, 16)).astype(np.uint8)
    digests[1, 0] = 0
    (folder / "manifest").write_bytes(ArrayManifest(bytes(16), digests).to_bytes())


def _read_manifest(folder: Path) -> None:
    found = ArrayManifest.from_bytes((folder / "manifest").read_bytes())
    assert found.sums.size
    found.at((0, 0, 0))


def _make_fluxes(folder: Path) -> None:
    layout = small_layout(end=dt.date(2012, 1, 10), rows=4, tile=4, block=30)
    make_flux_cube(str(folder / "f.zarr"), layout, uncertainty=MADE_UNCERTAINTY)


def _read_fluxes(folder: Path) -> None:
    """As `check`, `publish` and people with xarray do."""
    url = str(folder / "f.zarr")
    report = check_cube(url)
    assert report.to_dict()
    fluxes = open_fluxes(url)
    if report.passed:
        interval(fluxes, "gpp")
        totals(url)


def _make_run(folder: Path) -> None:
    """A finished store, its drivers, model, ledger and embeddings; then one failed item more."""
    _make_drivers(folder)
    fake_release(folder / "model", features=_FEATURES, members=2, hidden=4)
    run_here(prepare(folder / "model", folder / "d.zarr", folder / "f.zarr", period=_PERIOD))
    ledger = RunLedger(str(folder / "f.zarr"))
    run = str(stored_attributes(str(folder / "f.zarr"))["run_digest"])
    for entry in ledger.entries(run).values():
        ledger.write(entry)


def _read_run(folder: Path) -> None:
    """As `status`, `check` and the end of `run` do."""
    store = str(folder / "f.zarr")
    found = status(store)
    for revision in read_log(store):
        assert revision.describe()
    for item in found.missing:
        item_from_id(item)
    make_report(store, 1.0, [])
    assert check_store(store).to_dict()


def _continue_run(folder: Path) -> None:
    """As `validate`, and the beginning of `run`, do."""
    checked = prepare(folder / "model", folder / "d.zarr", folder / "f.zarr", period=_PERIOD)
    assert store_faults(checked.plan.job) == []
    create_context(checked.plan.job, 2)


CUBES = (
    FuzzedParser("driver cube without manifest", _make_unsealed,
                 (("d.zarr/**/zarr.json", change_json), ("d.zarr/*/l*/c/0", change_bytes),
                  ("d.zarr/*/time/c/0", change_bytes)), _read_drivers, (DriverError,)),
    FuzzedParser("driver cube", _make_drivers,
                 (("d.zarr/**/zarr.json", change_json), ("d.zarr/**/manifest", change_bytes)),
                 _read_drivers, (DriverError,), sign_cube),
    FuzzedParser("driver cube, checked", _make_drivers,
                 (("d.zarr/**/zarr.json", change_json), ("d.zarr/**/manifest", change_bytes),
                  ("d.zarr/**/c/**/0", change_bytes)), _check_drivers, (DriverError,), sign_cube),
    FuzzedParser("manifest", _make_manifest, (("manifest", change_bytes),), _read_manifest,
                 (ValueError,)),
    FuzzedParser("flux cube", _make_fluxes,
                 (("f.zarr/**/zarr.json", change_json), ("f.zarr/**/c/**/0", change_bytes)),
                 _read_fluxes, (ValueError,)),
    FuzzedParser("plan and ledger", _make_run,
                 (("f.ledger/*.json", change_any), ("f.ledger/*.jsonl", change_any),
                  ("f.zarr/zarr.json", change_json)), _read_run, (ValueError,)),
    FuzzedParser("store that goes on", _make_run,
                 (("f.zarr/**/zarr.json", change_json), ("f.ledger/*.json*", change_any),
                  ("f.context.ledger/*", change_any), ("f.context.zarr/**/zarr.json", change_json)),
                 _continue_run, (ConfigError, LedgerError)),
)  # fmt: skip
