"""The area of applicability against its definitions, written out in float64 with loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from upscale.network.releases.release import ReleaseError, save_release
from upscale.network.scaler import Feature, FluxScale, Scaler
from upscale.network.uncertainty.applicability import (
    Applicability,
    Space,
    assess,
    read_applicability,
    step_points,
)
from upscale.network.uncertainty.training_points import (
    LearnedTower,
    fit_applicability,
    fit_space,
    upper_whisker,
)
from upscale.testing.releases import fake_release


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made_points(count: int, axes: int, gaps: float = 0.0, seed: int = 0) -> np.ndarray:
    """Points in clumps, with gaps in the axes after the second."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, axes)) + rng.normal(0, 3, (8, axes))[np.arange(count) % 8]
    points[:, 2:][rng.random((count, axes - 2)) < gaps] = np.nan
    return points


def apart(row, point, weights, low, high) -> float:
    """Squared distance of two points: the rules of missing values, one axis after another."""
    total, present = 0.0, 0.0
    for axis, weight in enumerate(weights):
        if np.isnan(row[axis]):
            continue
        present += weight**2
        if np.isnan(point[axis]):
            gap = max(low[axis] - row[axis], row[axis] - high[axis], 0)
        else:
            gap = row[axis] - point[axis]
        total += (weight * gap) ** 2
    return total * (np.asarray(weights) ** 2).sum() / present


def brute(points, importance, rows):
    """Index, distances `(row, point)` over the mean distance, and that mean distance."""
    weights = importance / importance.max() / np.nanstd(points, axis=0)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    n = len(points)
    pairs = [
        np.sqrt(apart(points[i], points[j], weights, low, high))
        for i in range(n) for j in range(n) if i != j
    ]  # fmt: skip
    mean = np.mean(pairs)
    each = [[np.sqrt(apart(row, p, weights, low, high)) for p in points] for row in rows]
    return np.array(each) / mean, mean


IMPORTANCE = np.array([0.5, 0.1, 0.3, 0.2])


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_index_density_and_axis_are_those_of_their_definitions(gaps: float) -> None:
    points = made_points(70, 4, gaps)
    fold = np.arange(70) % 5
    space = fit_space(points, fold, IMPORTANCE)
    rows = made_points(40, 4, gaps, seed=1) * 1.5
    distances, mean = brute(points, IMPORTANCE, rows)

    found = assess(space, rows.astype(np.float32))

    assert space.distance == pytest.approx(mean, rel=1e-6)
    np.testing.assert_allclose(found.index, distances.min(axis=1), rtol=1e-4)
    clear = (np.abs(distances - space.threshold) > 1e-4).all(axis=1)
    assert clear.sum() > 30
    within = (distances <= space.threshold).sum(axis=1)
    assert within.max() > 1
    np.testing.assert_array_equal(found.density[clear], within[clear])


def test_the_axis_to_blame_is_the_one_that_was_moved() -> None:
    points = made_points(60, 4)
    space = fit_space(points, np.arange(60) % 3, np.ones(4))
    for axis in range(4):
        rows = points[:9].copy()
        rows[:, axis] += 50 * points[:, axis].std()
        found = assess(space, rows.astype(np.float32))
        assert (found.axis == axis).all()
        assert (found.index > space.threshold).all()
        assert (found.density == 0).all()


def test_a_training_point_is_at_no_distance_from_the_training_points() -> None:
    points = made_points(50, 3)
    space = fit_space(points, np.arange(50) % 5, np.ones(3))
    found = assess(space, points.astype(np.float32))
    assert found.index == pytest.approx(0, abs=1e-6)
    assert (found.density >= 1).all()


def test_the_threshold_is_the_whisker_of_distances_to_other_folds() -> None:
    points = made_points(60, 3)
    fold = np.arange(60) % 8 // 2  # clumps lie in one fold
    space = fit_space(points, fold, np.ones(3))
    distances, _ = brute(points, np.ones(3), points)
    index = [distances[i, fold != fold[i]].min() for i in range(60)]
    assert space.threshold == pytest.approx(upper_whisker(np.array(index)), rel=1e-6)
    alone = [np.delete(distances[i], i).min() for i in range(60)]
    assert space.threshold > upper_whisker(np.array(alone))


def test_the_whisker_is_that_of_a_box_plot() -> None:
    # boxplot.stats(c(1:10, 20))$stats[5] is 10, of c(1:10, 15) it is 15; hinges 3.5 and 8.5
    assert upper_whisker(np.array([20, *range(1, 11)])) == 10
    assert upper_whisker(np.array([15, *range(1, 11)])) == 15
    # boxplot.stats(c(1, 2, 3, 4, 7.5)): hinges 2 and 4, so 7 is the farthest reach
    assert upper_whisker(np.array([1, 2, 3, 4, 7.5])) == 4


def test_folds_that_hold_everything_are_refused() -> None:
    with pytest.raises(ValueError, match="two folds"):
        fit_space(made_points(10, 3), np.zeros(10, int), np.ones(3))


@pytest.mark.parametrize(("count", "most"), [(7, 7), (63, 63), (401, 401), (401, 90)])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_a_row_is_judged_alike_wherever_it_stands(count: int, most: int, gaps: float) -> None:
    space = fit_space(made_points(count, 6, gaps), np.arange(count) % 4, np.ones(6), most)
    assert space.thinned == (most < count)
    rows = made_points(700, 6, gaps, seed=2).astype(np.float32)
    whole = assess(space, rows)
    order = np.random.default_rng(0).permutation(700)
    same = assess(space, np.repeat(rows[:1], 256, axis=0))
    assert (same.index == same.index[0]).all()
    for part in (slice(0, 1), slice(3, 260), slice(255, 700), order):
        found = assess(space, rows[part])
        for name in ("index", "density", "axis"):
            one, other = getattr(found, name), getattr(whole, name)[part]
            assert one.tobytes() == np.ascontiguousarray(other).tobytes(), (name, part)


def test_a_row_without_any_value_has_no_index() -> None:
    space = fit_space(made_points(30, 3), np.arange(30) % 3, np.ones(3))
    rows = np.full((3, 3), np.nan, np.float32)
    rows[1] = 0
    found = assess(space, rows)
    assert np.isnan(found.index).tolist() == [True, False, True]
    assert np.isnan(found.density).tolist() == [True, False, True]
    assert (found.axis[[0, 2]] == -1).all()


def test_a_driver_that_no_tower_near_has_counts_only_beyond_the_range_of_all() -> None:
    points = made_points(60, 3)
    points[:, 2] = np.linspace(0, 1, 60)
    points[::2, 2] = np.nan
    space = fit_space(points, np.arange(60) % 5, np.ones(3))
    inside = points[0].copy()
    inside[2] = 0.5
    beyond = inside.copy()
    beyond[2] = 9.0
    found = assess(space, np.array([inside, beyond], np.float32))
    assert found.index[0] == pytest.approx(0, abs=1e-6)
    assert found.index[1] > space.threshold
    assert found.axis[1] == 2


def thinned(gaps: float) -> tuple[Space, Space, np.ndarray]:
    """The space of 600 points with all of them and with 150 references, and rows to judge."""
    # drivers go together: five axes, two of them free, as season and climate are
    points = made_points(1200, 2)[:, [0, 1, 0, 1, 0]] + 0.1 * made_points(1200, 5, seed=3)
    points[:, 2:][np.random.default_rng(4).random((1200, 3)) < gaps] = np.nan
    fold = np.arange(600) % 6
    whole, thin = (fit_space(points[:600], fold, np.ones(5), most) for most in (600, 150))
    return whole, thin, (points[600:] * 1.2).astype(np.float32)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_thinning_changes_no_verdict_and_nothing_outside(gaps: float) -> None:
    whole, thin, rows = thinned(gaps)
    assert (len(thin.points), len(thin.counts), thin.counts.sum()) == (600, 150, 600)
    assert thin.thinned
    assert not whole.thinned
    assert whole.radius == 0 < thin.radius
    assert (thin.distance, thin.threshold) == (whole.distance, whole.threshold)
    full, found = assess(whole, rows), assess(thin, rows)
    outside = full.index > whole.threshold
    assert 0.05 < outside.mean() < 0.95
    np.testing.assert_array_equal(found.index > thin.threshold, outside)
    np.testing.assert_allclose(found.index[outside], full.index[outside], rtol=1e-5)
    np.testing.assert_array_equal(found.density[outside], full.density[outside])
    np.testing.assert_array_equal(found.axis[outside], full.axis[outside])
    # the references alone would have misjudged some
    alone = assess(replace(thin, points=thin.points[:150]), rows)
    assert ((alone.index > thin.threshold) & ~outside).sum() > 5
    assert (found.index >= full.index - 1e-5).all()
    assert np.corrcoef(full.density, found.density)[0, 1] > 0.8


def test_the_reference_points_stand_first_and_cover_the_others() -> None:
    whole, thin, _ = thinned(0.0)
    assert sorted(map(tuple, thin.points)) == sorted(map(tuple, whole.points))
    apart = np.linalg.norm(thin.points[:, None] - thin.points[None, :150], axis=2).min(axis=1)
    assert apart.max() / thin.distance == pytest.approx(thin.radius, rel=1e-4)


def scaler() -> Scaler:
    features = (
        Feature("ta", "degC", True, 10.0, 5.0, -40, 40),
        Feature("sw_in", "W m-2", True, 150.0, 80.0, 0, 400),
        Feature("p", "mm d-1", False, 0.6, 0.9, 0, 90, "log1p"),
    )
    fluxes = tuple(FluxScale(name, "g m-2 d-1", 0.0, 2.0) for name in ("gpp", "reco", "nee"))
    return Scaler(features, fluxes)


def made_drivers(cells: int, days: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drivers = rng.gamma(2, 2, (cells, days, 3)) * [2, 40, 1]
    drivers[..., 2][rng.random((cells, days)) < 0.2] = np.nan
    return drivers.astype(np.float32)


def test_a_point_is_the_mean_of_the_45_days_that_end_with_its_step() -> None:
    drivers, first = made_drivers(3, 200), 7
    drivers[1, 60:120, 2] = np.nan
    found = step_points(drivers, first, range(2, 12), scaler())
    mean, std = np.array([10.0, 150, 0.6]), np.array([5.0, 80, 0.9])
    for cell in range(3):
        for position, step in enumerate(range(2, 12)):
            begin = 15 * step - 30 - first
            days = drivers[cell, max(begin, 0) : begin + 45].astype(np.float64)
            days[:, 2] = np.log1p(days[:, 2])
            scaled = (days - mean) / std
            for axis in range(3):
                values = scaled[np.isfinite(scaled[:, axis]), axis]
                wanted = values.mean() if len(values) >= 15 else np.nan
                assert found[cell, position, axis] == pytest.approx(wanted, abs=1e-5, nan_ok=True)
    assert np.isnan(found[1, :, 2]).any()


def test_a_point_depends_neither_on_the_days_around_it_nor_on_the_cells_beside_it() -> None:
    drivers = made_drivers(600, 180)
    whole = step_points(drivers, 0, range(2, 12), scaler())
    part = step_points(drivers[500:, 45:120], 45, range(6, 8), scaler())
    assert part.tobytes() == np.ascontiguousarray(whole[500:, 4:6]).tobytes()


def places(count: int = 6) -> list[LearnedTower]:
    rng = np.random.default_rng(3)
    return [
        LearnedTower(n % 3, made_drivers(1, 400, n)[0] + n, 100 + n, rng.random(400) < 0.7,
              rng.normal(size=(2, 4)).astype(np.float32))
        for n in range(count)
    ]  # fmt: skip


def test_it_is_the_same_after_it_was_stored() -> None:
    made = fit_applicability(places(), scaler(), np.array([3.0, 1, 0.5]), np.ones((2, 4)), most=30)
    assert made.drivers.thinned
    assert made.embedding is not None
    again = read_applicability(made.tensors(), 3)
    assert again.embedding is not None
    for one, other in ((made.drivers, again.drivers), (made.embedding, again.embedding)):
        rows = np.random.default_rng(0).normal(size=(50, one.points.shape[1])).astype(np.float32)
        first, second = assess(one, rows), assess(other, rows)
        np.testing.assert_allclose(first.index, second.index, rtol=1e-6)
        assert other.threshold == pytest.approx(one.threshold, rel=1e-6)


def test_a_model_without_embedding_has_one_space() -> None:
    made = fit_applicability(places(), scaler(), np.ones(3))
    assert made.embedding is None
    assert read_applicability(made.tensors(), 3).embedding is None
    blind = fit_applicability(places(), scaler(), np.ones(3), np.zeros((2, 4)))
    assert blind.embedding is None


def test_tensors_that_are_no_applicability_are_refused() -> None:
    tensors = Applicability(fit_space(made_points(30, 3), np.arange(30) % 3, np.ones(3))).tensors()
    with pytest.raises(ValueError, match="3"):
        read_applicability(tensors, 4)
    with pytest.raises(ValueError, match="fit it again"):
        read_applicability(tensors | {"drivers.counts": torch.ones(31)}, 3)
    with pytest.raises(ValueError, match="threshold"):
        read_applicability({k: v for k, v in tensors.items() if k != "drivers.threshold"}, 3)
    with pytest.raises(ValueError, match="spaces"):
        read_applicability({"other": torch.zeros(1)}, 3)


def test_only_days_that_were_learned_from_make_training_points() -> None:
    place = places(1)[0]
    for used, wanted in ((np.zeros(400, bool), 0), (np.ones(400, bool), None)):
        others = [replace(place, used=used, fold=0), *places()[1:]]
        made = fit_applicability(others, scaler(), np.ones(3))
        rest = fit_applicability(places()[1:], scaler(), np.ones(3)).drivers.counts.sum()
        # steps whose 45 days lie within days 100 to 499: those that end on day 149 to 494
        assert made.drivers.counts.sum() - rest == (24 if wanted is None else wanted)


def test_a_release_carries_it_and_refuses_what_does_not_fit(tmp_path) -> None:
    release = fake_release(tmp_path / "model", features=("ta", "sw_in", "p"), members=2)
    latent = np.ones((2, release.manifest.architecture.latent))
    shape = latent.shape
    z = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    towers = [replace(place, z=z[i]) for i, place in enumerate(places())]
    made = fit_applicability(towers, scaler(), np.ones(3), latent)

    def save(**tensors: torch.Tensor):
        content = made.tensors() | tensors
        return save_release(release.path, release.spec, release.states, "", "", content)

    found = save()
    assert found.applicability is not None
    assert found.applicability.drivers.points.tobytes() == made.drivers.points.tobytes()
    assert found.digest != release.digest
    assert release.applicability is None
    with pytest.raises(ReleaseError, match="embeddings of"):
        save(**fit_applicability(places(), scaler(), np.ones(3), np.ones((2, 4))).tensors())
    with pytest.raises(ReleaseError, match="threshold or weights"):
        save(**{"drivers.threshold": torch.tensor(0.0)})
