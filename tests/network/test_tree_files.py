"""Files of trees that would end or hang their library are refused before it reads them.

Each file comes with its right digest: whoever changes a file can change that, too.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from upscale.network.boosting.tree_files import check_lightgbm, check_xgboost
from upscale.network.boosting.trees import TREES, TreesConfig
from upscale.network.releases.release import Release, ReleaseError, load_release
from upscale.testing.releases import fake_tree_release
from upscale.training.baselines import fit_regressor

for name in ("xgboost", "lightgbm"):
    pytest.importorskip(name)

COLUMNS = 16


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    folder = tmp_path_factory.mktemp("models")
    return {
        name: fake_tree_release(folder / name, name, members=1, rounds=3)
        for name in ("xgboost", "lightgbm")
    }


def spoil(release: Release, folder: Path, change: Callable[[str], str]) -> Path:
    """A copy of the release with another text as its second file, digest and all."""
    shutil.copytree(release.path, folder)
    content = yaml.safe_load((folder / "release.yaml").read_text())
    described = content["trees"][1]
    payload = change((folder / described["file"]).read_text()).encode()
    (folder / described["file"]).write_bytes(payload)
    described |= {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
    (folder / "release.yaml").write_text(yaml.safe_dump(content))
    return folder


def in_json(change: Callable[[dict[str, Any]], None]) -> Callable[[str], str]:
    """The change to the last tree."""

    def changed(text: str) -> str:
        content = json.loads(text)
        change(content["learner"]["gradient_booster"]["model"]["trees"][-1])
        return json.dumps(content, separators=(",", ":"))

    return changed


def in_text(*edits: tuple[str, str]) -> Callable[[str], str]:
    """Patterns of a line's values and what comes in their place, the sizes of trees corrected."""

    def changed(text: str) -> str:
        for pattern, value in edits:
            text = re.sub(pattern, value, text)
        ends = [found.end() for found in re.finditer(r"\n\n\n(?=Tree=|end of trees)", text)]
        first = text.index("Tree=0")
        sizes = np.diff([first, *ends])
        return re.sub(r"tree_sizes=.*", "tree_sizes=" + " ".join(map(str, sizes)), text)

    return changed


def loop(tree: dict[str, Any]) -> None:
    for side in ("left_children", "right_children"):
        tree[side] = [min(child, 0) for child in tree[side]]


def far_child(tree: dict[str, Any]) -> None:
    tree["left_children"][0] = 90_000_000


def far_column(tree: dict[str, Any]) -> None:
    tree["split_indices"][0] = 900_000_000


def endless(tree: dict[str, Any]) -> None:
    tree["split_conditions"][3] = 1e39


def short(tree: dict[str, Any]) -> None:
    tree["split_conditions"].pop()


def categories(tree: dict[str, Any]) -> None:
    tree["split_type"][0] = 1


def orphan(tree: dict[str, Any]) -> None:
    tree["parents"][1] = 2


BAD: dict[str, tuple[str, Callable[[str], str], str]] = {
    "xgboost-column": ("xgboost", in_json(far_column), "tree 2: .*split_indices within 16"),
    "xgboost-child": ("xgboost", in_json(far_child), "tree 2: .*a missing child"),
    "xgboost-loop": ("xgboost", in_json(loop), "tree 2: .*a loop"),
    "xgboost-infinite": ("xgboost", in_json(endless), "finite numbers in split_conditions"),
    "xgboost-short": ("xgboost", in_json(short), "float in split_conditions"),
    "xgboost-category": ("xgboost", in_json(categories), "expected split_type"),
    "xgboost-parent": ("xgboost", in_json(orphan), "expected the parents"),
    "xgboost-cut": ("xgboost", lambda text: text[:-900], "xgboost cannot read its trees"),
    "xgboost-twice": (
        "xgboost",
        lambda text: text.replace('"left_children":', '"left_children":[9],"left_children":'),
        "each key once",
    ),
    "xgboost-escape": (
        "xgboost", lambda text: text.replace("left_children", "left\\u005fchildren"), "backslash",
    ),
    "xgboost-objective": (
        "xgboost", lambda text: text.replace("reg:squarederror", "reg:tweedie"), "objective",
    ),
    "xgboost-base": (
        "xgboost",
        lambda text: re.sub(r'"base_score":"[^"]*"', '"base_score":"[1E99]"', text),
        "finite numbers in base_score",
    ),
    "xgboost-number-of-trees": (
        "xgboost", lambda text: text.replace('"num_trees":"3"', '"num_trees":"9"'), "num_trees",
    ),
    "xgboost-nested": ("xgboost", lambda _: '{"a":' + "[" * 100_000, "xgboost cannot read"),
    "lightgbm-column": (
        "lightgbm", in_text((r"(split_feature=)\d+", r"\g<1>900000000")), "tree 0: .*within 16",
    ),
    "lightgbm-child": (
        "lightgbm", in_text((r"(left_child=)-?\d+", r"\g<1>90000000")), "children within",
    ),
    "lightgbm-loop": (
        "lightgbm",
        in_text((r"(left_child=)-?\d+", r"\g<1>0"), (r"(right_child=)-?\d+", r"\g<1>0")),
        "a loop",
    ),
    "lightgbm-far-leaf": (
        "lightgbm", in_text((r"(right_child=)-?\d+", r"\g<1>-900")), "a missing child",
    ),
    "lightgbm-infinite": (
        "lightgbm", in_text((r"(leaf_value=)\S+", r"\g<1>1e999")), "finite numbers in leaf_value",
    ),
    "lightgbm-nan": ("lightgbm", in_text((r"(threshold=)\S+", r"\g<1>nan")), "in threshold"),
    "lightgbm-short": ("lightgbm", in_text((r"(threshold=)\S+ ", r"\1")), "numbers in threshold"),
    "lightgbm-category": (
        "lightgbm", in_text((r"(decision_type=)\d+", r"\g<1>1")), "decision_type",
    ),
    "lightgbm-cut": ("lightgbm", lambda text: text[:-900], "cut or changed"),
    "lightgbm-more": ("lightgbm", lambda text: text + "Tree=3\n", "the text after the trees"),
    "lightgbm-sizes": (
        "lightgbm", lambda text: re.sub(r"(tree_sizes=)\d+", r"\g<1>9", text), "cut or changed",
    ),
    "lightgbm-no-sizes": (
        "lightgbm", lambda text: re.sub(r"tree_sizes=.*\n", "", text), "expected the keys",
    ),
    "lightgbm-linear": ("lightgbm", in_text(("is_linear=0", "is_linear=1")), "is_linear"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_no_tree_is_refused(
    case: str, releases: dict[str, Release], tmp_path: Path
) -> None:
    library, change, message = BAD[case]
    folder = spoil(releases[library], tmp_path / "spoilt", change)
    with pytest.raises(ReleaseError, match=message) as error:
        load_release(folder)
    assert releases[library].manifest.trees[1].file in str(error.value)
    assert "fetch the release again" in str(error.value)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_file_that_was_not_changed_is_read(
    library: str, releases: dict[str, Release], tmp_path: Path
) -> None:
    same = in_json(lambda _: None) if library == "xgboost" else in_text()
    again = load_release(spoil(releases[library], tmp_path / "same", same))
    table = np.random.default_rng(0).normal(0, 100, (500, COLUMNS)).astype(np.float32)
    table[::7] = np.nan
    for one, other in zip(releases[library].trees[0], again.trees[0], strict=True):
        assert np.array_equal(one.predict(table, 1), other.predict(table, 1))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_trees_of_one_leaf_are_trees(library: str) -> None:
    inputs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    trees = fit_regressor(library, inputs, np.full(200, 2.5, np.float32), np.ones(200), 0, 2)
    again = TREES[library].parse(trees.payload(), TreesConfig(3, 1, 2))
    np.testing.assert_allclose(again.predict(inputs, 1), 2.5)


@pytest.mark.parametrize("check", [check_xgboost, check_lightgbm])
def test_sizes_and_encoding_are_bounded(
    check: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        check("tree\nä".encode(), COLUMNS, 3)
    monkeypatch.setattr("upscale.network.boosting.tree_files.MOST_BYTES", 10)
    with pytest.raises(ValueError, match="at most 10 bytes"):
        check(b"tree" * 5, COLUMNS, 3)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_tree_too_deep_to_walk_is_refused(
    library: str, releases: dict[str, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale.network.boosting.tree_files.MOST_DEPTH", 3)
    with pytest.raises(ReleaseError, match="at most 3 deep"):
        load_release(releases[library].path)


def test_a_split_of_what_is_missing_from_what_is_not_is_read() -> None:
    """LightGBM writes such a split with an infinite threshold."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2000, 4)).astype(np.float32)
    inputs[rng.uniform(size=inputs.shape) < 0.3] = np.nan
    flux = np.where(np.isnan(inputs[:, 0]), 5.0, 0.0).astype(np.float32)
    trees = fit_regressor("lightgbm", inputs, flux, np.ones(2000), 0, 3)
    assert b"inf" in trees.payload()
    again = TREES["lightgbm"].parse(trees.payload(), TreesConfig(3, 1, 3))
    np.testing.assert_array_equal(again.predict(inputs, 1), trees.predict(inputs, 1))
