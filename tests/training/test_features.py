"""Columns of towers, with the composites of a map."""

from dataclasses import replace

import numpy as np
import pytest

from upscale.drivers.composites import composite
from upscale.drivers.features import FEATURE_SETS, features_of
from upscale.training.config import TrainConfig
from upscale.training.material import fit_even_scaler


@pytest.fixture
def greened(made_towers):
    """The made towers, of which the first has a daily NDVI, which no real tower has."""
    tower = made_towers[0]
    ndvi = np.random.default_rng(0).uniform(0, 1, len(tower.days)).astype(np.float32)
    return [replace(tower, satellite={"ndvi": ndvi}), *made_towers[1:4]]


def test_vegetation_is_composed_as_a_run_composes_it(greened):
    tower = greened[0]
    seen = features_of(tower, ("ta", "ndvi", "evi"))
    expected = composite(tower.satellite["ndvi"], tower.days, 8)
    np.testing.assert_array_equal(seen[:, 1], expected)
    np.testing.assert_array_equal(seen[:, 0], tower.driver("ta"))
    assert np.isnan(seen[:, 2]).all()


def test_a_model_of_daily_series_gets_them(greened):
    daily = features_of(greened[0], ("ndvi",), {})
    np.testing.assert_array_equal(daily[:, 0], greened[0].satellite["ndvi"])


def test_latitude_and_longitude_are_those_of_the_tower(greened):
    tower = greened[0]
    seen = features_of(tower, ("lon", "lat"))
    np.testing.assert_allclose(seen, [[tower.lon, tower.lat]] * len(tower.days), rtol=1e-6)


def test_the_scaler_says_what_is_a_composite(greened):
    scaler = fit_even_scaler(greened, ("ta", "sw_in", "ndvi"), ("ndvi",), seed=1)
    assert scaler.composites == {"ndvi": 8}


def test_feature_sets_go_by_name(tmp_path):
    config = TrainConfig(name="n", data=tmp_path, out=tmp_path, features="met+vi")
    assert config.features == FEATURE_SETS["met+vi"]
    assert config.optional == ("vpd", "p", "ndvi", "evi", "nirv", "fapar")


@pytest.mark.parametrize("features", ["met+moon", ["ta", "moonlight"]])
def test_unknown_features_are_named(tmp_path, features):
    with pytest.raises(ValueError, match="moon"):
        TrainConfig(name="n", data=tmp_path, out=tmp_path, features=features)
