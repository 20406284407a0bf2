"""Skill: the figures, and the row that the whole package shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upscale.evaluation.skill import (
    SKILL_COLUMNS,
    read_skill,
    skill,
    skill_csv,
    skill_rows,
    skill_table,
    summary,
)


def test_skill_is_what_its_definitions_say() -> None:
    observed, predicted = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 3.0])
    found = skill(observed, predicted)
    assert found.n == 3
    assert found.rmse == pytest.approx(np.sqrt(2 / 3))
    assert found.r2 == pytest.approx(1 - 2 / (16 / 9 + 1 / 9 + 25 / 9))
    assert found.bias == pytest.approx(0.0)


def test_bias_is_predicted_minus_observed() -> None:
    assert skill([1.0, 2.0], [2.0, 3.0]).bias == 1.0


def test_days_that_either_side_misses_do_not_count() -> None:
    assert skill([1.0, np.nan, 3.0, 4.0], [1.0, 2.0, np.nan, 4.0]).n == 2


def test_no_day_gives_nan_and_a_constant_has_no_r2() -> None:
    assert np.isnan(skill([np.nan], [1.0]).rmse)
    assert np.isnan(skill([2.0, 2.0], [1.0, 3.0]).r2)


def test_r2_may_fall_far_below_zero() -> None:
    assert skill([0.0, 1.0], [10.0, 10.0]).r2 < -100


def test_the_row_has_the_columns_that_everybody_shares(tmp_path: Path) -> None:
    columns = ("tower", "cluster", "flux", "model", "split", "n", "rmse", "r2", "bias")
    assert columns == SKILL_COLUMNS
    days = np.arange(12.0).reshape(4, 3)
    table = skill_table(skill_rows(days, days + 1, "T1", "C1", "tamrl", "test"))
    assert table["flux"].tolist() == ["gpp", "reco", "nee"]
    (tmp_path / "skill.csv").write_text(skill_csv(table))
    assert tuple(read_skill(tmp_path / "skill.csv").columns) == SKILL_COLUMNS


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "skill.csv").write_text("tower,rmse\nT1,1.0\n")
    with pytest.raises(ValueError, match="expected the columns tower, cluster"):
        read_skill(tmp_path / "skill.csv")


def test_a_summary_counts_every_tower_the_same() -> None:
    long, short = np.zeros((1000, 3)), np.zeros((10, 3))
    long[::2], short[::2] = 1, 1
    rows = [
        *skill_rows(long, long + 1, "long", "C1", "m", "test"),
        *skill_rows(short, short + 3, "short", "C2", "m", "test"),
    ]
    found = summary(skill_table(rows)).set_index("flux").loc["gpp"]
    assert found["towers"] == 2
    assert found["rmse"] == pytest.approx(2.0)
    assert found["negative"] == 1.0
