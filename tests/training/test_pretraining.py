"""Teaching the encoder what a place is, on drivers alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.towers.table import Tower
from upscale.training.config import Augmentation, Draw, Pretraining, TrainConfig
from upscale.training.dataset import Dataset
from upscale.training.material import datasets, material_of, prepare
from upscale.training.networks.loop import network_config, train_member
from upscale.training.networks.pretraining import contrast, draw_views, score_views

CLEAN = Augmentation(hide_optional=0)


@pytest.fixture(scope="module")
def parts(tiny: TrainConfig, made_towers: tuple[Tower, ...]) -> tuple[Dataset, Dataset]:
    return datasets(tiny, prepare(tiny, made_towers), 0)


def _reference(
    first: NDArray[np.float64], second: NDArray[np.float64], cluster: list[int], heat: float
) -> float:
    """The contrast, written out place by place."""
    z = np.concatenate([first, second])
    z = z / np.sqrt((z**2).sum(axis=1, keepdims=True))
    count, groups, losses = len(first), cluster + cluster, []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = [j for j in range(2 * count) if groups[j] != groups[i] or j == partner]
        likeness = {j: np.exp(z[i] @ z[j] / heat) for j in others}
        losses.append(-np.log(likeness[partner] / sum(likeness.values())))
    return float(np.mean(losses))


def test_the_contrast_is_that_of_an_independent_reference() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 3))
    cluster = [0, 1, 1, 2, 3]
    found = contrast(torch.from_numpy(first), torch.from_numpy(second), torch.tensor(cluster), 0.3)
    assert float(found) == pytest.approx(_reference(first, second, cluster, 0.3), rel=1e-12)


def test_the_two_views_of_a_place_share_no_window(parts: tuple[Dataset, Dataset]) -> None:
    data = parts[0]
    views = draw_views(data, Draw(towers=50, support=6), CLEAN, np.random.default_rng(1))
    assert views.support.shape[:3] == (2, len(data.places), 6)
    assert views.present.all()
    for first, second in zip(*views.support, strict=True):
        same = (first[:, None] == second[None]).all(dim=3).all(dim=2)
        assert not same.any()


def test_views_hide_the_classes_and_know_the_clusters(
    tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    data = datasets(tiny, material_of(tiny, made_towers[:6], [["XX-T05"]]), 0)[0]
    views = draw_views(data, Draw(towers=50, support=2), CLEAN, np.random.default_rng(1))
    unknown = data.classes.onehot(np.zeros((1, 2), np.int64))
    assert (views.onehot.numpy() == unknown).all()
    count = len({tower.cluster for tower in data.towers})
    assert len(set(views.cluster.tolist())) == count < len(data.towers)


def test_places_without_any_flux_take_part(parts: tuple[Dataset, Dataset]) -> None:
    data = parts[0]
    blind = replace(
        data,
        targets=torch.full_like(data.targets, torch.nan),
        places=tuple(replace(place, starts=np.zeros(0, np.int64)) for place in data.places),
    )
    rng = np.random.default_rng(1)
    assert len(draw_views(blind, Draw(towers=50), CLEAN, rng).cluster) == len(data.places)


def test_pretraining_teaches_to_tell_places_apart(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    pretraining = Pretraining(epochs=6, steps=20, rate=1e-2, average=0.5)
    config = tiny.model_copy(
        update={"pretraining": pretraining, "draw": Draw(towers=8, windows=2, support=4)}
    )
    curve = train_member(config, parts[0], parts[0], 1, lambda _: None).curve
    before = [epoch for epoch in curve if epoch.stage == "pretrain"]
    torch.manual_seed(1)
    fresh = network_config(config, parts[0]).build().eval()
    untaught = score_views(fresh, parts[0], config.draw, pretraining.temperature)
    assert len(before) == 6
    assert before[-1].loss < before[0].loss
    assert before[-1].validation < 0.9 * untaught
    assert curve[len(before)].stage == "decoder"


def test_the_score_of_the_same_network_is_always_the_same(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    network = network_config(tiny, parts[0]).build().eval()
    first, again = (score_views(network, parts[1], tiny.draw, 0.2) for _ in range(2))
    assert first == again


def test_without_the_setting_nothing_is_pretrained(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    curve = train_member(tiny, *parts, 1, lambda _: None).curve
    assert {epoch.stage for epoch in curve} == {"decoder", "joint"}
