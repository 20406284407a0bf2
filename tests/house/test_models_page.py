"""The page of models names every model that a release may hold, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from upscale.network.releases.manifest import MODELS
from upscale.training.baselines import LIGHTGBM, ROUNDS, XGBOOST

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"


def test_the_table_holds_every_model() -> None:
    table = PAGE.read_text().split("\n## ")[0]
    assert tuple(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == MODELS


def test_the_settings_of_the_trees_are_those_that_are_used() -> None:
    text = " ".join(PAGE.read_text().split("## Boosted trees")[1].split())
    said = re.search(
        r"learning rate ([\d.]+), depth (\d+), (\d+) leaves, a child weight of (\d+), "
        r"histograms, (\d+) rounds", text
    )  # fmt: skip
    assert said
    settings = [float(number) for number in said.groups()]
    names = ("learning_rate", "max_depth", "max_leaves", "min_child_weight")
    assert settings == [*(XGBOOST[name] for name in names), ROUNDS]
    assert settings[:4] == [
        LIGHTGBM[name]
        for name in ("learning_rate", "max_depth", "num_leaves", "min_sum_hessian_in_leaf")
    ]
