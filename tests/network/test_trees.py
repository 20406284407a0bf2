"""Boosted trees in a release: what they give, what they are kept as, what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from upscale.network.boosting.trees import LightGbmTrees, TreeEnsemble, TreesConfig, XgBoostTrees
from upscale.network.predictor import load_predictor
from upscale.network.releases.release import Release, ReleaseError, load_release, save_release
from upscale.network.releases.resolve import CACHE_VARIABLE
from upscale.testing.releases import CLASSES, fake_tree_release
from upscale.variables import FLUXES, IGBP, KOPPEN

for name in ("xgboost", "lightgbm"):
    pytest.importorskip(name)

Floats = NDArray[np.float32]
FEATURES = ("ta", "sw_in", "vpd", "p")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["xgboost", "lightgbm"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("models") / request.param
    return fake_tree_release(folder, request.param, FEATURES, members=2)


@pytest.fixture
def folder(release: Release, tmp_path: Path) -> Path:
    """A copy of the release, to be spoilt."""
    return Path(shutil.copytree(release.path, tmp_path / "copy"))


def made_drivers(rows: int, days: int = 1, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    low, high = np.array([-30, 0, 0, 0]), np.array([40, 400, 40, 30])
    drivers = rng.uniform(low, high, (rows, days, 4)).astype(np.float32)
    drivers[rng.uniform(size=drivers.shape) < 0.1] = np.nan
    return drivers


def made_codes(rows: int, seed: int = 1) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(18, size=rows), rng.integers(31, size=rows)], axis=1)


def context(model: Any, codes: NDArray[np.int64]) -> Floats:
    """z of pixels with these codes, as a run makes it: from the query windows themselves."""
    support = np.zeros((len(codes), 1, 1, 4), np.float32)
    found: Floats = model.encode(support, np.ones((len(codes), 1), bool), codes)
    return found


def by_hand_table(drivers: Floats, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Features of single days `(row, feature)` and one-hots, written out."""
    rows = []
    for values, (igbp, koppen) in zip(drivers, codes, strict=True):
        row = list(values.astype(np.float64))
        for code, legend, seen in ((igbp, IGBP, CLASSES.igbp), (koppen, KOPPEN, CLASSES.koppen)):
            name = legend[code - 1] if code else "none"
            row += [float(name == each) for each in seen] + [float(name not in seen)]
        rows.append(row)
    return np.array(rows)


def walk_xgboost(booster: Any, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the leaves in float64, from the library's JSON."""
    content = json.loads(booster.save_raw(raw_format="json"))["learner"]
    total = np.full(len(table), float(content["learner_model_param"]["base_score"].strip("[]")))
    for tree in content["gradient_booster"]["model"]["trees"]:
        for i, row in enumerate(table):
            node = 0
            while tree["left_children"][node] != -1:
                value = np.float32(row[tree["split_indices"][node]])
                threshold = np.float32(tree["split_conditions"][node])
                left = tree["default_left"][node] if np.isnan(value) else value < threshold
                node = tree["left_children" if left else "right_children"][node]
            total[i] += tree["split_conditions"][node]
    return total


def walk_lightgbm(booster: Any, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the leaves in float64, from the library's dump."""
    total = np.zeros(len(table))
    for tree in booster.dump_model()["tree_info"]:
        for i, row in enumerate(table):
            node = tree["tree_structure"]
            while "leaf_value" not in node:
                value = row[node["split_feature"]]
                if np.isnan(value) and node["missing_type"] == "NaN":
                    left = node["default_left"]
                else:
                    left = np.nan_to_num(value) <= node["threshold"]
                node = node["left_child" if left else "right_child"]
            total[i] += node["leaf_value"]
    return total


def test_fluxes_are_the_sums_of_the_leaves_that_a_day_falls_into(release: Release) -> None:
    drivers, codes = made_drivers(60), made_codes(60)
    assert np.isnan(drivers).any()
    assert {0, 1} & set(codes[:, 0])
    model = load_predictor(release)
    found = model.decode(drivers, context(model, codes))
    table = by_hand_table(drivers[:, 0], codes)
    walk = walk_xgboost if release.manifest.model == "xgboost" else walk_lightgbm
    for member, trees in enumerate(release.trees):
        for flux in range(len(FLUXES)):
            expected = walk(trees[flux].booster, table)
            np.testing.assert_allclose(found[member, :, 0, flux], expected, rtol=0, atol=2e-5)
    assert found.std() > 0.5


def test_members_and_fluxes_differ(release: Release) -> None:
    model = load_predictor(release)
    found = model.decode(made_drivers(50), context(model, made_codes(50)))
    assert found.std(axis=0).mean() > 0.1
    assert found.std(axis=3).mean() > 0.1


@pytest.mark.parametrize("batch", [1, 7, 64, 100])
def test_a_row_gives_the_same_bits_in_any_company(release: Release, batch: int) -> None:
    drivers, codes = made_drivers(301), made_codes(301)
    whole = load_predictor(release)
    expected = whole.decode(drivers, context(whole, codes))
    model = load_predictor(release, batch=batch)
    assert np.array_equal(model.decode(drivers, context(model, codes)), expected)
    order = np.random.default_rng(2).permutation(301)
    found = model.decode(drivers[order], context(model, codes[order]))
    assert np.array_equal(found, expected[:, order])


def test_days_of_a_row_are_predicted_one_by_one(release: Release) -> None:
    drivers, codes = made_drivers(20, days=9), made_codes(20)
    model = load_predictor(release, batch=8)
    z = context(model, codes)
    found = model.decode(drivers, z)
    assert found.shape == (2, 20, 9, 3)
    for day in range(9):
        assert np.array_equal(model.decode(drivers[:, day : day + 1], z)[:, :, 0], found[:, :, day])


def test_threads_do_not_change_a_bit(release: Release) -> None:
    table = by_hand_table(made_drivers(5000)[:, 0], made_codes(5000)).astype(np.float32)
    trees = release.trees[0][0]
    assert np.array_equal(trees.predict(table, 1), trees.predict(table, 2))


def test_trees_in_slices_are_the_library_s_own_prediction(release: Release) -> None:
    table = by_hand_table(made_drivers(500)[:, 0], made_codes(500)).astype(np.float32)
    trees: Any = release.trees[1][2]
    own = trees.booster.inplace_predict if release.manifest.model == "xgboost" else (
        trees.booster.predict
    )  # fmt: skip
    np.testing.assert_allclose(trees.predict(table, 1), own(table), rtol=1e-6, atol=1e-6)


def test_z_is_the_class_codes_and_nothing_without_a_window(release: Release) -> None:
    model = load_predictor(release)
    present = np.array([[True], [False]])
    z = model.encode(np.zeros((2, 1, 1, 4), np.float32), present, np.array([[4, 7], [5, 8]]))
    assert z.shape == (model.members, 2, model.latent)
    assert z[:, 0].tolist() == [[4, 7]] * 2
    assert np.isnan(z[:, 1]).all()
    fluxes = model.decode(made_drivers(2), z)
    assert np.isfinite(fluxes[:, 0]).all()
    assert np.isnan(fluxes[:, 1]).all()


def test_a_class_that_was_never_seen_is_one_that_is_unknown(release: Release) -> None:
    model = load_predictor(release)
    unseen = IGBP.index("EBF") + 1
    assert "EBF" not in CLASSES.igbp
    drivers = made_drivers(30)
    first = model.decode(drivers, context(model, np.tile([unseen, 3], (30, 1))))
    second = model.decode(drivers, context(model, np.tile([0, 3], (30, 1))))
    seen = model.decode(drivers, context(model, np.tile([1, 3], (30, 1))))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, seen)


def test_shapes_that_do_not_fit_are_refused(release: Release) -> None:
    model = load_predictor(release)
    z = context(model, made_codes(5))
    with pytest.raises(ValueError, match=r"expected z \(member, row, latent\) \(2, 6, 2\)"):
        model.decode(made_drivers(6), z)
    with pytest.raises(ValueError, match="4 features"):
        model.decode(made_drivers(5)[:, :, :3], z)
    z[1] += 1
    with pytest.raises(ValueError, match="same class codes for all members"):
        model.decode(made_drivers(5), z)


def test_trees_stay_on_the_cpu(release: Release) -> None:
    model = load_predictor(release, device="cuda")
    assert isinstance(model, TreeEnsemble)
    assert model.device.type == "cpu"


def test_what_is_saved_comes_back_to_the_bit(release: Release, tmp_path: Path) -> None:
    again = save_release(tmp_path / "again", release.spec, release.states, "", "")
    assert again.digest == release.digest
    drivers, codes = made_drivers(100), made_codes(100)
    one, other = (load_predictor(each) for each in (release.path, again))
    z = context(one, codes)
    assert np.array_equal(one.decode(drivers, z), other.decode(drivers, z))
    assert again.networks() == []


def test_a_release_holds_a_file_for_each_regressor_and_no_pickle(release: Release) -> None:
    suffix = {"xgboost": ".json", "lightgbm": ".txt"}[release.manifest.model]
    regressors = [f"member-{n:02d}-{flux}{suffix}" for n in range(2) for flux in FLUXES]
    names = sorted(path.name for path in release.path.iterdir())
    assert names == sorted(["CARD.md", "release.yaml", "skill.csv", *regressors])
    for path in release.path.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK"))
    assert [file.file for file in release.manifest.trees] == regressors


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "release.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | changes))


def test_a_changed_file_is_found(folder: Path, release: Release) -> None:
    path = folder / release.manifest.trees[4].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"sha256 .* found .* fetch the release again"):
        load_release(folder)


def test_a_missing_file_is_named(folder: Path, release: Release) -> None:
    name = release.manifest.trees[0].file
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=f"expected the file {name}"):
        load_release(folder)


def test_trees_of_other_sizes_are_refused(folder: Path, release: Release) -> None:
    sizes = vars(release.manifest.architecture)
    edit(folder, architecture=sizes | {"rounds": 5})
    with pytest.raises(ReleaseError, match=r"cannot read its trees .*at most 5 rounds"):
        load_release(folder)
    edit(folder, architecture=sizes | {"features": 3})
    with pytest.raises(ReleaseError, match=r"architecture\.features .* found \(3, 12\)"):
        load_release(folder)
    edit(folder, architecture=sizes | {"depth": 3})
    with pytest.raises(ReleaseError, match=r"depth: Unexpected keyword"):
        load_release(folder)


def test_windows_of_more_than_a_day_are_refused(folder: Path) -> None:
    edit(folder, window={"length": 45, "stride": 15})
    with pytest.raises(ReleaseError, match="trees see one day at a time"):
        load_release(folder)
    edit(folder, window={"length": 1, "stride": 1}, context={"rule": "support-years"})
    with pytest.raises(ReleaseError, match="trees see one day at a time"):
        load_release(folder)


def test_files_and_members_have_to_agree(folder: Path, release: Release) -> None:
    files = [file.model_dump() for file in release.manifest.trees]
    edit(folder, trees=files[:3])
    with pytest.raises(ReleaseError, match=r"6 of trees with model .* and 2 seeds, found no file"):
        load_release(folder)
    edit(folder, trees=files, weights={"file": "a.safetensors", "sha256": "0" * 64, "bytes": 1})
    with pytest.raises(ReleaseError, match="expected no file of weights"):
        load_release(folder)


def test_trees_of_another_library_are_refused(folder: Path, release: Release) -> None:
    other = {"xgboost": "lightgbm", "lightgbm": "xgboost"}[release.manifest.model]
    edit(folder, model=other)
    with pytest.raises(ReleaseError, match=f"{other} cannot read its trees"):
        load_release(folder)


def test_a_library_that_is_not_installed_is_named_with_the_remedy(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, release.manifest.model, None)
    with pytest.raises(ReleaseError, match=r"cannot be loaded here .*pip install 'upscale\[train"):
        load_release(release.path)


def test_a_url_is_copied_with_all_its_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    fetched = load_release(folder.as_uri())
    assert fetched.path.is_relative_to(tmp_path / "cache")
    assert fetched.digest == load_release(folder).digest
    edit(folder, trees=[{"file": "../../.profile", "sha256": "0" * 64, "bytes": 1}])
    with pytest.raises(ReleaseError, match="expected a plain file"):
        load_release(folder.as_uri())


def test_sizes_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        TreesConfig(4, 12, 0)


def test_each_library_keeps_its_own_format(release: Release) -> None:
    kinds = {"xgboost": XgBoostTrees, "lightgbm": LightGbmTrees}
    trees = release.trees[0][1]
    assert type(trees) is kinds[release.manifest.model]
    path = release.path / release.manifest.trees[1].file
    if isinstance(trees, XgBoostTrees):
        from xgboost import Booster

        booster: Any = Booster(model_file=str(path))
        assert booster.num_boosted_rounds() == 60
    else:
        from lightgbm import Booster as LightGbmBooster

        assert LightGbmBooster(model_file=str(path)).num_trees() == 60
