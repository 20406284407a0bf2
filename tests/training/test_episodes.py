"""What training draws: even towers, whole windows, support years, spoilt on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from upscale.calendar import date_of, day_number
from upscale.drivers.features import classes_of, features_of
from upscale.network.classes import seen_classes
from upscale.network.support import SupportRule, choose
from upscale.network.windows import WindowRule
from upscale.towers.table import Tower
from upscale.training.config import Augmentation, Draw, LossWeights
from upscale.training.dataset import Dataset, build_dataset, draw, query_as_support
from upscale.training.material import fit_even_scaler

FEATURES = ("ta", "sw_in", "vpd", "p", "sw_pot")
CLEAN = Augmentation(hide_optional=0, unknown_class=0)


def _dataset(towers: Sequence[Tower], loss: LossWeights | None = None) -> Dataset:
    scaler = fit_even_scaler(towers, FEATURES, ("vpd", "p"), 0)
    classes = seen_classes(np.stack([classes_of(tower) for tower in towers]))
    return build_dataset(towers, scaler, classes, WindowRule(), SupportRule(), loss)


@pytest.fixture(scope="module")
def data(made_towers: tuple[Tower, ...]) -> Dataset:
    return _dataset(made_towers)


def test_every_tower_is_drawn_equally_often(data: Dataset) -> None:
    rng = np.random.default_rng(0)
    batch = draw(data, Draw(towers=len(data.towers), windows=2), CLEAN, rng)
    assert torch.bincount(batch.task).tolist() == [2] * len(data.towers)


def test_windows_lie_in_their_tower_and_hold_a_good_day_that_counts(data: Dataset) -> None:
    good = torch.isfinite(data.targets).all(dim=1).numpy()
    for place in data.places:
        ends = place.starts + 45
        assert place.starts.min() >= place.first
        assert ends.max() <= place.first + place.length
        assert all(good[end - 15 : end].any() for end in ends[::97])


def test_a_window_never_reaches_over_a_day_without_a_required_driver(
    made_towers: tuple[Tower, ...],
) -> None:
    drivers = made_towers[4].drivers.copy()
    drivers[200, 0] = np.nan
    starts = _dataset([replace(made_towers[4], drivers=drivers)]).places[0].starts
    assert not ((starts <= 200) & (starts + 45 > 200)).any()
    assert {155, 156, 200, 201} & set(starts.tolist()) == {155, 201}


def test_support_windows_are_those_of_full_years(data: Dataset) -> None:
    tower, place = data.towers[0], data.places[0]
    for start in place.years:
        first = date_of(tower.days[start[0] - place.first])
        assert (first.month, first.day, len(start)) == (1, 1, 8)


def test_the_rules_own_support_is_that_of_the_run(data: Dataset) -> None:
    tower, place = data.towers[3], data.places[3]
    valid = np.isfinite(tower.drivers[:, :2]).all(axis=1)[None]
    start = choose(valid, tower.days, SupportRule()).start[0]
    np.testing.assert_array_equal(place.support - place.first, start[start >= 0])


def test_hidden_optional_features_look_like_missing_ones(data: Dataset) -> None:
    spoil = Augmentation(hide_optional=1, unknown_class=0)
    batch = draw(data, Draw(towers=3, windows=2), spoil, np.random.default_rng(0))
    hidden = [FEATURES.index("vpd"), FEATURES.index("p"), -2, -1]
    assert not batch.x[..., hidden].any()
    assert not batch.support[..., hidden].any()
    assert batch.x[..., 0].any()


def test_hidden_classes_become_the_unknown_columns(data: Dataset) -> None:
    spoil = Augmentation(hide_optional=0, unknown_class=1)
    batch = draw(data, Draw(towers=3, windows=2), spoil, np.random.default_rng(0))
    unknown = torch.from_numpy(data.classes.onehot(np.zeros((3, 2), np.int64)))
    torch.testing.assert_close(batch.onehot, unknown)


def test_missing_precipitation_leaves_the_other_features_alone(data: Dataset) -> None:
    place = data.places[2]
    rows = data.channels[place.first : place.first + place.length]
    assert not rows[:, FEATURES.index("p")].any()
    assert not rows[:, -1].any()
    assert torch.isfinite(rows).all()


def test_targets_are_good_days_alone(data: Dataset) -> None:
    good = np.concatenate([tower.good for tower in data.towers])
    assert torch.isfinite(data.targets).all(dim=1).numpy().tolist() == good.tolist()


def test_the_same_seed_draws_the_same_batch(data: Dataset) -> None:
    first, again = (draw(data, Draw(), Augmentation(), np.random.default_rng(3)) for _ in "ab")
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.support, again.support)


def test_weights_have_mean_one_and_favour_rare_classes(made_towers: tuple[Tower, ...]) -> None:
    plain = _dataset(made_towers).weights
    weighed = _dataset(made_towers, LossWeights(class_power=1)).weights
    assert set(plain.tolist()) == {1.0}
    assert weighed.mean() == pytest.approx(1)
    codes = [tower.igbp for tower in made_towers]
    counts = np.array([codes.count(code) for code in codes])
    assert weighed[counts.argmin()] > weighed[counts.argmax()]


def test_by_the_query_rule_each_window_is_its_own_support(data: Dataset) -> None:
    batch = query_as_support(draw(data, Draw(towers=2, windows=3), CLEAN, np.random.default_rng(0)))
    assert torch.equal(batch.support[:, 0], batch.x)
    assert batch.onehot.shape[0] == len(batch.x)


def test_features_follow_latitude_and_day(made_towers: tuple[Tower, ...]) -> None:
    tower = made_towers[0]
    sw_pot = features_of(tower, ["sw_pot"])[:, 0]
    june = np.flatnonzero(tower.days == day_number(date_of(tower.days[0]).replace(month=6, day=21)))
    assert sw_pot[june[0]] == pytest.approx(sw_pot.max(), rel=0.01)


def test_an_unknown_feature_is_refused_with_the_known_ones(
    made_towers: tuple[Tower, ...],
) -> None:
    with pytest.raises(KeyError, match="known: ta, sw_in"):
        features_of(made_towers[0], ["moonlight"])
