"""Differences between models: draws of clusters, medians, intervals and words."""

import numpy as np
import pandas as pd
import pytest

from upscale.evaluation.bootstrap import (
    NO_DIFFERENCE,
    TOO_FEW,
    cluster_draws,
    compare,
    difference,
    drawn_means,
    drawn_medians,
    verdict,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_towers_of_a_cluster_are_drawn_together():
    clusters = ["a", "b", "b", "c", "a", "d"]
    counts = cluster_draws(clusters, draws=500, seed=7)
    assert np.array_equal(counts[:, 0], counts[:, 4])
    assert np.array_equal(counts[:, 1], counts[:, 2])
    assert (counts[:, [0, 1, 3, 5]].sum(axis=1) == 4).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(6), abs=0.1)
    assert np.array_equal(counts, cluster_draws(clusters, draws=500, seed=7))


def test_means_and_medians_of_draws_are_those_of_repeated_values(rng):
    values = rng.normal(size=17)
    counts = cluster_draws([str(i // 2) for i in range(17)], draws=200)
    each = [np.repeat(values, row) for row in counts]
    assert drawn_means(values, counts) == pytest.approx([e.mean() for e in each], rel=1e-12)
    assert drawn_medians(values, counts) == pytest.approx([np.median(e) for e in each], rel=1e-12)


def test_the_interval_is_that_of_paired_draws(rng):
    a, b = rng.normal(2, 1, 20), rng.normal(2.5, 1, 20)
    clusters = [f"c{i // 2}" for i in range(20)]
    found = difference(a, b, clusters, "mean")
    counts = cluster_draws(clusters, draws=2000, seed=0)
    repeats = [np.repeat(np.arange(20), row) for row in counts]
    differences = [a[r].mean() - b[r].mean() for r in repeats]
    shares = [100 * (a[r].mean() / b[r].mean() - 1) for r in repeats]
    assert (found.low, found.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    assert (found.percent_low, found.percent_high) == pytest.approx(
        np.percentile(shares, [2.5, 97.5])
    )
    assert found.percent == pytest.approx(100 * (a.mean() - b.mean()) / b.mean())


def test_the_interval_holds_the_truth_about_as_often_as_it_says(rng):
    held = []
    for _ in range(200):
        a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
        found = difference(a, b, [str(i) for i in range(40)], "mean")
        held.append(found.low <= 0.3 <= found.high)
    assert 0.88 <= np.mean(held) <= 0.99


def test_a_shared_error_of_the_towers_cancels(rng):
    tower = rng.normal(5, 3, 30)
    a, b = tower - 0.2 + rng.normal(0, 0.05, 30), tower
    found = difference(a, b, [str(i) for i in range(30)], "mean")
    assert found.high < 0
    assert verdict(found, -1) == "better"
    assert verdict(found, 1) == "worse"


def test_no_difference_is_said_where_there_is_none(rng):
    a, b = rng.normal(2, 1, 30), rng.normal(2, 1, 30)
    assert verdict(difference(a, b, [str(i) for i in range(30)], "median"), 1) == NO_DIFFERENCE


def test_four_clusters_say_nothing(rng):
    a, b = rng.normal(1, 0.1, 40), rng.normal(9, 0.1, 40)
    found = difference(a, b, [str(i % 4) for i in range(40)], "mean")
    assert np.isnan(found.low)
    assert verdict(found, -1) == TOO_FEW


def test_a_table_is_compared_flux_by_flux_on_towers_that_both_have(rng):
    rows = [
        {"tower": f"t{i}", "cluster": f"c{i}", "flux": flux, "model": model,
         "rmse": level + 0.1 * rng.normal(), "r2": 1 - level / 3, "igbp": "ENF"}
        for i in range(12) for flux in ("gpp", "nee")
        for model, level in (("ours", 1.0), ("theirs", 2.0))
    ]  # fmt: skip
    rows[0]["rmse"] = np.nan
    found = compare(pd.DataFrame(rows), "theirs")
    assert set(found.statistic) == {"mean rmse", "median r2"}
    assert (found.verdict == "better").all()
    first = found[(found.flux == "gpp") & (found.statistic == "mean rmse")].iloc[0]
    assert first.towers == 11
    assert first.difference == pytest.approx(-1, abs=0.1)
    assert first.percent == pytest.approx(-50, abs=5)
    assert found[found.statistic == "median r2"].percent.isna().all()
    by_class = compare(pd.DataFrame(rows), "theirs", by=("igbp",))
    assert set(by_class.igbp) == {"ENF"}
