"""Values in place of those of a RUN.yaml, and the names and days of an evaluation."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import upscale
from upscale.api.runs import _read
from upscale.engine.config import load_run
from upscale.jobs.settings import ConfigError


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = {"model": "tamrl-met-v1", "drivers": "drivers.zarr",
               "period": {"start": dt.date(2005, 5, 1), "end": dt.date(2005, 5, 10)},
               "output": {"store": "map.zarr", "attributes": {"creator_name": "one"}},
               "cluster": {"workers": 1}}  # fmt: skip
    path = tmp_path_factory.mktemp("config") / "RUN.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_without_overrides_a_run_is_that_of_the_file(config):
    assert _read(config, {}) == load_run(config)


def test_sections_are_merged_key_by_key(config):
    run = _read(config, {"output": {"attributes": {"my.key": "v"}, "title": "Flüsse \U0001f333"}})
    assert run.output.store == load_run(config).output.store
    assert run.output.attributes == {"creator_name": "one", "my.key": "v"}
    assert run.output.title == "Flüsse \U0001f333"


@pytest.mark.parametrize("end", [dt.date(2005, 5, 4), dt.datetime(2005, 5, 4),
                                 pd.Timestamp("2005-05-04"), "2005-05-04"])  # fmt: skip
def test_values_may_be_those_of_python_and_its_libraries(config, end):
    run = _read(config, {"period": {"end": end}, "retries": np.int64(3), "interval": 1e-5,
                         "output": {"store": Path("x.zarr")}})  # fmt: skip
    assert run.period.end == dt.date(2005, 5, 4)
    assert (run.retries, run.interval, run.output.store) == (3, 1e-5, "x.zarr")


def test_a_model_may_be_an_open_release(config):
    release = upscale.open_release("tamrl-v2")
    again = upscale.open_release(_read(config, {"model": release}).model)
    assert again.digest == release.digest


def test_a_key_that_is_none_is_refused(config):
    with pytest.raises(ConfigError, match=r"output\.stoer: unknown key"):
        upscale.run(config, output={"stoer": "x.zarr"})


def test_one_string_is_one_tower(mapped):
    assert [tower.site for tower in upscale.read_towers(mapped.towers, "XX-T00")] == ["XX-T00"]


@pytest.mark.filterwarnings("ignore")
def test_one_string_is_one_tower_of_an_evaluation(mapped):
    found = upscale.evaluate("tamrl-met-v1", mapped.towers, sites="XX-T00")
    assert set(found.tower) == {"XX-T00"}


def test_one_string_is_one_baseline(mapped):
    with pytest.raises(ValueError, match="learned from, to fit seasonal-cycle on the same ones"):
        upscale.evaluate("tamrl-met-v1", mapped.towers, baselines="seasonal-cycle")


def test_days_of_an_unknown_quality_are_refused(mapped):
    with pytest.raises(ValueError, match="expected one of good, best, found 'bad'"):
        upscale.evaluate("tamrl-met-v1", mapped.towers, quality="bad")
