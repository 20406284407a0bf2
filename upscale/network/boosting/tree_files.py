"""Checks of files of boosted trees, before a library reads them.

XGBoost and LightGBM trust their files: a split on a missing column, or a node that is its own
ancestor, crashes the process or makes it hang. Each file is therefore parsed here first, and
refused unless every tree is free of loops, splits on existing columns and has finite numbers.
Only what `upscale train` writes is accepted: regressors with numeric splits.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Largest file. The published setting, 1000 rounds of 31 leaves, takes 5 MB.
MOST_BYTES = 64 * 2**20

#: Deepest tree: the libraries descend by recursion. The published depth is 10.
MOST_DEPTH = 256

_MOST_FLOAT32 = float(np.finfo(np.float32).max)

_XGBOOST_WHOLE = (
    "left_children", "right_children", "parents", "split_indices", "split_type", "default_left",
)  # fmt: skip
_XGBOOST_REAL = ("split_conditions", "base_weights", "loss_changes", "sum_hessian")

_LIGHTGBM_HEAD = (
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx",
    "objective", "feature_names", "feature_infos", "tree_sizes",
)  # fmt: skip
_LIGHTGBM_WHOLE = ("split_feature", "decision_type", "left_child", "right_child", "internal_count")
_LIGHTGBM_REAL = ("split_gain", "threshold", "internal_value", "internal_weight")
_LIGHTGBM_TREE = (
    "Tree", "num_leaves", "num_cat", "split_feature", "split_gain", "threshold",
    "decision_type", "left_child", "right_child", "leaf_value", "leaf_weight", "leaf_count",
    "internal_value", "internal_weight", "internal_count", "is_linear", "shrinkage",
)  # fmt: skip
_LIGHTGBM_END = "end of trees\n"

#: Numeric splits that send missing values left or right; an odd number is a split by category.
_LIGHTGBM_DECISIONS = frozenset({0, 2, 4, 6, 8, 10})

_WHOLE = re.compile(r"-?\d{1,9}")
_REAL = re.compile(r"-?\d{1,25}(\.\d{1,25})?(e[+-]?\d{1,3})?")


def check_xgboost(payload: bytes, columns: int, rounds: int) -> None:
    """Refuse all but JSON of at most `rounds` regression trees on `columns` columns.

    ValueError says what is wrong.
    """
    _check_bytes(payload)
    # the library may read escapes, or a file that starts otherwise, in a different way
    if not payload.startswith(b'{"') or b"\\" in payload:
        raise ValueError('expected JSON that starts with {" and has no backslash')
    learner = _part(_read_json(payload), "learner")
    model = _xgboost_model(learner, columns)
    trees = _part(model, "trees", list)
    _check_rounds(len(trees), rounds)
    _expect("tree_info", model.get("tree_info"), [0] * len(trees))
    _expect("iteration_indptr", model.get("iteration_indptr"), [*range(len(trees) + 1)])
    for number, tree in enumerate(trees):
        _named(number, _check_xgboost_tree, tree, columns)


def check_lightgbm(payload: bytes, columns: int, rounds: int) -> None:
    """Refuse all but text of at most `rounds` regression trees on `columns` columns.

    ValueError says what is wrong.
    """
    _check_bytes(payload)
    head, found, rest = payload.decode("ascii").partition("\n\n")
    first, _, lines = head.partition("\n")
    if first != "tree" or not found:
        raise ValueError("expected text that starts with the line 'tree'")
    sizes = _check_lightgbm_head(_pairs(lines, _LIGHTGBM_HEAD), columns)
    _check_rounds(len(sizes), rounds)
    for number, size in enumerate(sizes):
        block, rest = rest[:size], rest[size:]
        _named(number, _check_lightgbm_tree, block, number, columns)
    _expect("the text after the trees", rest[: 2 * len(_LIGHTGBM_END)], _LIGHTGBM_END)


def _check_bytes(payload: bytes) -> None:
    if len(payload) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes, found {len(payload)}")
    if not payload.isascii():
        raise ValueError("expected ASCII text")


def _check_rounds(found: int, rounds: int) -> None:
    if not 0 < found <= rounds:
        raise ValueError(f"expected at least one and at most {rounds} rounds, found {found}")


def _expect(name: str, found: object, expected: object) -> None:
    if found != expected or type(found) is not type(expected):
        raise ValueError(f"expected {name} {_short(expected)}, found {_short(found)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _named(number: int, check: Any, *what: Any) -> None:
    """Run a check; its ValueError names the tree."""
    try:
        check(*what)
    except ValueError as error:
        raise ValueError(f"tree {number}: {error}") from None


def _check_tree(children: Mapping[int, Sequence[int]], nodes: int) -> None:
    """Refuse nodes 0..nodes-1 unless each is reached once from root 0 in `MOST_DEPTH` steps.

    children: {node: its children} for the nodes that split.
    """
    reached, level, depth = [0], [0], 0
    while level and depth <= MOST_DEPTH and len(reached) <= nodes:
        level = [child for node in level for child in children.get(node, ())]
        reached += level
        depth += 1
    if level or sorted(reached) != list(range(nodes)):
        raise ValueError(
            f"expected each of {nodes} nodes once below the root, at most {MOST_DEPTH} deep, "
            "found a loop, a missing child or unconnected nodes"
        )


def _check_finite(name: str, values: Sequence[float], most: float) -> None:
    if not all(abs(value) <= most for value in values):  # False for NaN, too
        raise ValueError(f"expected finite numbers in {name}")


# XGBoost


def _read_json(payload: bytes) -> dict[str, Any]:
    try:
        content = json.loads(payload, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("expected JSON with less nesting") from None
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without repeated keys: two parsers may take different values of a repeated key."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("expected each key once in an object")
    return content


def _part(content: Mapping[str, Any], name: str, kind: type = dict) -> Any:
    found = content.get(name)
    if not isinstance(found, kind):
        raise ValueError(f"expected {name}, a JSON {kind.__name__}, found {_short(found)}")
    return found


def _xgboost_model(learner: Mapping[str, Any], columns: int) -> dict[str, Any]:
    """The part that holds the trees; refuses categories, attributes and other objectives."""
    sizes, booster = _part(learner, "learner_model_param"), _part(learner, "gradient_booster")
    for name, value in {"num_class": "0", "num_target": "1", "num_feature": str(columns)}.items():
        _expect(name, sizes.get(name), value)
    _check_base_score(sizes.get("base_score"))
    _expect("objective", _part(learner, "objective").get("name"), "reg:squarederror")
    _expect("booster", booster.get("name"), "gbtree")
    _expect("attributes", learner.get("attributes", {}), {})
    for name in ("feature_names", "feature_types"):
        _expect(name, learner.get(name, []), [])
    model: dict[str, Any] = _part(booster, "model")
    for name, value in (_part(model, "cats") if "cats" in model else {}).items():
        _expect(name, value, [])
    counts = {"num_parallel_tree": "1", "num_trees": str(len(_part(model, "trees", list)))}
    for name, value in counts.items():
        _expect(name, _part(model, "gbtree_model_param").get(name), value)
    return model


def _check_base_score(found: object) -> None:
    """Refuse anything but a finite number; XGBoost puts it in brackets since version 3.1."""
    text = str(found).removeprefix("[").removesuffix("]").lower()
    if not _REAL.fullmatch(text):
        raise ValueError(f"expected the number base_score, found {_short(found)}")
    _check_finite("base_score", [float(text)], _MOST_FLOAT32)


def _check_xgboost_tree(tree: Any, columns: int) -> None:
    """Refuse nodes that do not form a tree, and splits on a missing column."""
    if not isinstance(tree, dict):
        raise ValueError(f"expected a JSON object, found {_short(tree)}")
    nodes = len(_part(tree, "left_children", list))
    _check_xgboost_arrays(tree, nodes)
    left, right = tree["left_children"], tree["right_children"]
    if any((one == -1) != (other == -1) for one, other in zip(left, right, strict=True)):
        raise ValueError("expected two children or none")
    pairs = zip(left, right, strict=True)
    children = {node: pair for node, pair in enumerate(pairs) if pair[0] != -1}
    _check_tree(children, nodes)
    parents = tree["parents"]
    if any(parents[child] != node for node, pair in children.items() for child in pair):
        raise ValueError("expected the parents of the children")
    if not all(0 <= column < columns for column in tree["split_indices"]):
        raise ValueError(f"expected split_indices within {columns} columns")


def _check_xgboost_arrays(tree: Mapping[str, Any], nodes: int) -> None:
    """Refuse arrays of wrong length or type, values that are not finite, and wrong sizes."""
    for name in (*_XGBOOST_WHOLE, *_XGBOOST_REAL):
        values, kinds = _part(tree, name, list), {int} if name in _XGBOOST_WHOLE else {float}
        if len(values) != nodes or not set(map(type, values)) <= kinds:
            raise ValueError(f"expected {nodes} {kinds.pop().__name__} in {name}")
    if any(value not in (0, 1) for value in tree["default_left"]):
        raise ValueError("expected 0 or 1 in default_left")
    for name in _XGBOOST_REAL:
        _check_finite(name, tree[name], _MOST_FLOAT32)
    _expect("split_type", tree["split_type"], [0] * nodes)
    for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes"):
        _expect(name, tree.get(name), [])
    sizes = _part(tree, "tree_param")
    _expect("num_nodes", sizes.get("num_nodes"), str(nodes))
    _expect("num_deleted", sizes.get("num_deleted"), "0")
    _expect("size_leaf_vector", sizes.get("size_leaf_vector"), "1")


# LightGBM


def _pairs(text: str, names: Sequence[str]) -> dict[str, str]:
    """The lines key=value, whose keys must be `names` in this order."""
    pairs = [line.partition("=") for line in text.split("\n")]
    strange = [key for key, _, _ in pairs if key not in names]
    if [key for key, _, _ in pairs] != list(names):
        raise ValueError(
            f"expected the keys {', '.join(names)}, each once and in this order, found "
            f"{len(pairs)} lines with the unknown keys {_short(strange)}"
        )
    return {key: value for key, _, value in pairs}


def _check_lightgbm_head(head: Mapping[str, str], columns: int) -> list[int]:
    """The sizes of the trees, in bytes."""
    fixed = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
    last = {"objective": "regression", "max_feature_idx": str(columns - 1)}
    for name, value in (fixed | last).items():
        _expect(name, head[name], value)
    for name in ("feature_names", "feature_infos"):
        _expect(f"number of {name}", len(head[name].split(" ")), columns)
    sizes = _whole("tree_sizes", head["tree_sizes"])
    if not all(size > 0 for size in sizes):
        raise ValueError("expected tree_sizes above 0")
    return sizes


def _check_lightgbm_tree(block: str, number: int, columns: int) -> None:
    """Refuse a block of text that is not one whole tree of numbers on these columns."""
    if not block.endswith("\n\n\n"):
        raise ValueError("expected a block of the length in tree_sizes: the file is cut or changed")
    tree = _pairs(block.removesuffix("\n\n\n"), _LIGHTGBM_TREE)
    for name, value in {"Tree": str(number), "num_cat": "0", "is_linear": "0"}.items():
        _expect(name, tree[name], value)
    leaves = len(_real("leaf_value", tree["leaf_value"]))
    _expect("num_leaves", tree["num_leaves"], str(leaves))
    _real("shrinkage", tree["shrinkage"], 1)
    splits = {name: _whole(name, tree[name], leaves - 1) for name in _LIGHTGBM_WHOLE}
    for name in _LIGHTGBM_REAL:
        # a split between missing and present values has no threshold
        text = tree[name].replace("inf", "0") if name == "threshold" else tree[name]
        _real(name, text, leaves - 1)
    if leaves > 1:  # of a tree with one leaf the library reads only the value
        _real("leaf_weight", tree["leaf_weight"], leaves)
        _whole("leaf_count", tree["leaf_count"], leaves)
    _check_lightgbm_splits(splits, leaves, columns)


def _check_lightgbm_splits(splits: Mapping[str, list[int]], leaves: int, columns: int) -> None:
    """Refuse splits that do not form a tree. The file writes leaf k as child -1 - k; here the
    leaves are numbered after all splits."""
    inner = leaves - 1
    if not all(0 <= column < columns for column in splits["split_feature"]):
        raise ValueError(f"expected split_feature within {columns} columns")
    if not _LIGHTGBM_DECISIONS.issuperset(splits["decision_type"]):
        raise ValueError("expected a decision_type of numbers, not of categories")
    pairs = zip(splits["left_child"], splits["right_child"], strict=True)
    nodes = [[child if child >= 0 else inner - 1 - child for child in pair] for pair in pairs]
    if any(child >= inner for child in (*splits["left_child"], *splits["right_child"])):
        raise ValueError(f"expected children within {inner} splits")
    _check_tree(dict(enumerate(nodes)), inner + leaves)


def _whole(name: str, text: str, length: int | None = None) -> list[int]:
    return [int(part) for part in _numbers(name, text, length, _WHOLE)]


def _real(name: str, text: str, length: int | None = None) -> list[float]:
    values = [float(part) for part in _numbers(name, text, length, _REAL)]
    _check_finite(name, values, sys.float_info.max)
    return values


def _numbers(name: str, text: str, length: int | None, form: re.Pattern[str]) -> list[str]:
    parts = text.split(" ") if text else []
    if length not in (None, len(parts)) or not all(map(form.fullmatch, parts)):
        wanted = "" if length is None else f"{length} "
        raise ValueError(f"expected {wanted}numbers in {name}, found {_short(text)}")
    return parts
