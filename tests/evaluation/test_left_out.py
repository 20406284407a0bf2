"""Predictions of towers that were left out are kept in files and found again."""

from dataclasses import replace

import numpy as np
import pytest

from upscale.evaluation.left_out import LeftOut, ensemble_mean, read_left_out, write_left_out


@pytest.fixture(scope="module")
def left_out(towers):
    """Two models at every tower, one of them with an embedding of two numbers."""
    rng = np.random.default_rng(0)

    def members(tower, count):
        return rng.normal(size=(count, len(tower.days), 3)).astype(np.float32)

    return [
        LeftOut(
            tower,
            i % 3,
            {"tamrl": members(tower, 2), "seasonal-cycle": members(tower, 1)},
            rng.normal(size=(2, 2)).astype(np.float32) if i else None,
        )
        for i, tower in enumerate(towers)
    ]


def test_nee_is_not_clipped():
    members = np.array([[[-1, -1, -1]], [[3, 1, 2]]], np.float32)
    np.testing.assert_array_equal(ensemble_mean(members), [[1.5, 0.5, 0.5]])


def test_what_is_kept_is_found_again(left_out, towers, tmp_path):
    write_left_out(tmp_path, left_out)
    for before, after in zip(left_out, read_left_out(tmp_path, towers), strict=True):
        assert (before.tower, before.fold) == (after.tower, after.fold)
        np.testing.assert_array_equal(before.embedding, after.embedding)
        assert before.members.keys() == after.members.keys()
        for name, values in before.members.items():
            np.testing.assert_array_equal(values, after.members[name])


def test_predictions_of_other_days_or_of_no_tower_are_refused(left_out, towers, tmp_path):
    write_left_out(tmp_path, left_out[:1])
    with pytest.raises(FileNotFoundError, match="cross-validate again"):
        read_left_out(tmp_path, towers[1:2])
    shifted = replace(towers[0], days=towers[0].days + 1)
    with pytest.raises(ValueError, match="days"):
        read_left_out(tmp_path, [shifted])
