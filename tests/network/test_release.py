"""Model releases: what is saved comes back, and nothing else is ever loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from upscale.network.releases.release import (
    UNSAFE_SWITCH,
    ContextSpec,
    Release,
    ReleaseError,
    WindowSpec,
    find_release,
    load_release,
    save_release,
)
from upscale.network.releases.resolve import CACHE_VARIABLE, _shipped
from upscale.network.uncertainty.applicability import Applicability
from upscale.network.uncertainty.training_points import fit_space
from upscale.testing.releases import fake_release
from upscale.variables import variable


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return fake_release(tmp_path_factory.mktemp("models") / "made")


@pytest.fixture
def folder(made: Release, tmp_path: Path) -> Path:
    """A copy of the release, to be spoilt."""
    return Path(shutil.copytree(made.path, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "release.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = fake_release(
        tmp_path / "met",
        members=2,
        context={"rule": "query"},
        window={"length": 30, "stride": 10},
        day_definition="utc",
        skill={"gpp": {"rmse_median": 1.23456789012345}},
        held_out=("c01", "c07"),
        training_settings={"batch": 256, "stage_1": {"rate": 1e-4}},
        citations=("Somebody (2020), a dataset",),
    )
    loaded = load_release(tmp_path / "met")
    assert loaded.manifest == saved.manifest
    assert loaded.digest == saved.digest
    assert loaded.manifest.context == ContextSpec(rule="query")
    assert loaded.manifest.window == WindowSpec(length=30, stride=10)
    assert loaded.window_rule.spin_up == 20
    assert loaded.manifest.skill["gpp"]["rmse_median"] == 1.23456789012345
    assert loaded.scaler == saved.scaler
    assert (loaded.path / "CARD.md").read_text().startswith("# met")


def test_the_weights_come_back_bit_for_bit_and_in_order(made: Release, tmp_path: Path) -> None:
    states = [network.state_dict() for network in made.networks()]
    again = save_release(tmp_path / "again", made.spec, states, "", "")
    for before, after in zip(states, again.networks(), strict=True):
        for name, tensor in after.state_dict().items():
            assert torch.equal(tensor, before[name])
    assert again.digest == made.digest


def test_a_release_holds_four_files_and_no_pickle(made: Release) -> None:
    names = sorted(path.name for path in made.path.iterdir())
    assert names == ["CARD.md", "members.safetensors", "release.yaml", "skill.csv"]
    for path in made.path.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x80", b"PK"))


def test_units_are_those_of_the_table_of_variables(made: Release) -> None:
    for row in (*made.manifest.features, *made.manifest.fluxes):
        assert row.units == variable(row.name).units


def test_support_years_are_read_as_a_rule(tmp_path: Path) -> None:
    context = {"years": [2001, 2011], "most_years": 2}
    rule = fake_release(tmp_path / "named", context=context).support_rule
    assert rule.years == (2001, 2011)
    assert rule.most_windows == 16


def test_the_first_release_has_the_digest_it_was_shipped_with() -> None:
    # d1c78124... until its `release.yaml` came to name the sites that its weights learned from
    digest = "168823d297e44f22ff3ebf7fea3295e3e913f8459b0e0f95fa9bb322f022e1a2"
    release = load_release("tamrl-met-v1")
    assert release.digest == digest
    assert release.manifest.weights is not None
    weights = "e418b9498728420f49971a1cf6a24afe5a0e42dbd35f509d1356ecec6c4b9c75"
    assert (release.manifest.weights.sha256, release.manifest.applicability) == (weights, None)


@pytest.mark.parametrize("name", ["tamrl-met-v1", "tamrl-v2"])
def test_a_shipped_release_names_what_it_learned_from_as_its_card_does(name: str) -> None:
    release = load_release(name)
    manifest, card = release.manifest, (release.path / "CARD.md").read_text()
    assert f"good flux days: {', '.join(manifest.learned)}. " in card
    assert [place.name for place in manifest.learned_places] == list(manifest.learned)


def test_sites_that_were_learned_from_are_named(tmp_path: Path) -> None:
    saved = fake_release(tmp_path / "named", learned=("AT-Neu", "DE-Tha"))
    assert load_release(saved.path).manifest.learned == ("AT-Neu", "DE-Tha")


@pytest.fixture
def wider(made: Release, tmp_path: Path) -> Release:
    """A release with a file of its own for where it applies."""
    states = [network.state_dict() for network in made.networks()]
    points = np.random.default_rng(0).normal(size=(9, len(made.scaler.names)))
    tensors = Applicability(fit_space(points, np.arange(9) % 3, np.ones(points.shape[1]))).tensors()
    return save_release(tmp_path / "wider", made.spec, states, "", "", tensors)


def test_where_it_applies_is_kept_beside_the_weights(made: Release, wider: Release) -> None:
    loaded = load_release(wider.path)
    assert torch.equal(
        loaded.applicability_tensors["drivers.points"],
        wider.applicability_tensors["drivers.points"],
    )
    assert loaded.applicability is not None
    assert loaded.digest == wider.digest != made.digest
    assert made.applicability_tensors == {}
    assert loaded.spec == made.spec


def test_a_changed_file_of_where_it_applies_is_found(wider: Release) -> None:
    path = wider.path / "applicability.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ReleaseError, match=r"applicability\.safetensors is not the file"):
        load_release(wider.path)


@pytest.mark.parametrize("byte", [0, 700, -1])
def test_a_flipped_byte_is_found(folder: Path, byte: int) -> None:
    path = folder / "members.safetensors"
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"sha256 .* found .* fetch the release again"):
        load_release(folder)


def test_a_shortened_file_is_found(folder: Path) -> None:
    path = folder / "members.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReleaseError, match="is not the file"):
        load_release(folder)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "members.safetensors").unlink()
    with pytest.raises(ReleaseError, match=r"expected the file members\.safetensors"):
        load_release(folder)
    (folder / "release.yaml").unlink()
    with pytest.raises(ReleaseError, match=r"expected a folder with a release\.yaml"):
        load_release(folder)


def rename_feature(content: dict[str, Any]) -> None:
    content["features"][2]["name"] = "soil_colour"


def change_units(content: dict[str, Any]) -> None:
    content["features"][0]["units"] = "K"


def change_flux_units(content: dict[str, Any]) -> None:
    content["fluxes"][0]["units"] = "umol m-2 s-1"


def swap_fluxes(content: dict[str, Any]) -> None:
    content["fluxes"].reverse()


def drop_feature(content: dict[str, Any]) -> None:
    del content["features"][3]


def change_schema(content: dict[str, Any]) -> None:
    content["schema_version"] = 2


def add_key(content: dict[str, Any]) -> None:
    content["colour"] = "green"


def add_inner_key(content: dict[str, Any]) -> None:
    content["features"][0]["colour"] = "green"


def add_class(content: dict[str, Any]) -> None:
    content["classes"]["igbp"].append("FOREST")


def change_model(content: dict[str, Any]) -> None:
    content["model"] = "oracle"


def leave_folder(content: dict[str, Any]) -> None:
    content["weights"]["file"] = "../members.safetensors"


def widen_network(content: dict[str, Any]) -> None:
    content["architecture"]["hidden"] = 32


def add_size(content: dict[str, Any]) -> None:
    content["architecture"]["colour"] = 3


def shrink_to_nothing(content: dict[str, Any]) -> None:
    content["architecture"]["hidden"] = 0


def add_layer(content: dict[str, Any]) -> None:
    content["architecture"]["layers"] = 2


def add_seed(content: dict[str, Any]) -> None:
    content["seeds"].append(99)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_feature, "unknown feature 'soil_colour'"),
        (change_units, "wrong units of feature ta: expected 'degC', found 'K'"),
        (change_flux_units, "wrong units of flux gpp"),
        (swap_fluxes, "expected the fluxes gpp, reco, nee"),
        (drop_feature, "the features and classes give"),
        (change_schema, "expected schema_version 1, found 2"),
        (add_key, "colour: Extra inputs"),
        (add_inner_key, r"features\.0\.colour: Unexpected"),
        (add_class, "expected each igbp class once"),
        (change_model, "model: .*expected one of tamrl, .*found 'oracle'"),
        (leave_folder, r"weights\.file"),
        (widen_network, r"tensor .*expected float32 \(3, "),
        (add_size, r"architecture: .*colour: Unexpected keyword"),
        (shrink_to_nothing, r"architecture: .*expected sizes of at least 1.*hidden=0"),
        (add_layer, r"tensors decoder\.bias_hh_l1"),
        (add_seed, r"expected float32 \(4, "),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(ReleaseError, match=message):
        load_release(folder)


def test_a_description_that_is_not_yaml_is_refused(folder: Path) -> None:
    (folder / "release.yaml").write_text("a: [1,")
    with pytest.raises(ReleaseError, match="is not YAML"):
        load_release(folder)
    (folder / "release.yaml").write_text("just words")
    with pytest.raises(ReleaseError, match="schema_version"):
        load_release(folder)


def test_every_line_of_the_description_tells_on_the_digest(made: Release, folder: Path) -> None:
    edit(folder, lambda content: content.update(name="another"))
    assert load_release(folder).digest != made.digest


def test_weights_that_are_not_finite_are_never_saved(made: Release, tmp_path: Path) -> None:
    states = [network.state_dict() for network in made.networks()]
    states[1]["heads.bias"][0] = np.nan
    with pytest.raises(ReleaseError, match=r"heads\.bias is not finite"):
        save_release(tmp_path / "bad", made.spec, states, "", "")
    assert not (tmp_path / "bad").exists()


def test_one_seed_is_asked_for_each_member(made: Release, tmp_path: Path) -> None:
    states = [network.state_dict() for network in made.networks()]
    with pytest.raises(ReleaseError, match="one seed for each of 2 members"):
        save_release(tmp_path / "bad", made.spec, states[:2], "", "")


@pytest.mark.parametrize("value", ["1", "true", "0"])
def test_the_switch_that_turns_safe_loading_off_is_refused(
    made: Release, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(UNSAFE_SWITCH, value)
    with pytest.raises(ReleaseError, match=f"unset {UNSAFE_SWITCH}"):
        load_release(made.path)


def test_an_unknown_name_answers_with_the_known_ones() -> None:
    with pytest.raises(ReleaseError, match=r"the name of a shipped release \(.*found 'oracle-v9'"):
        find_release("oracle-v9")


def test_a_url_is_copied_into_the_cache_once_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    url = folder.as_uri()
    first = load_release(url)
    assert first.digest == load_release(folder).digest
    assert first.path.is_relative_to(tmp_path / "cache")
    written = (first.path / "members.safetensors").stat().st_mtime_ns
    assert load_release(url).path == first.path
    assert (first.path / "members.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ReleaseError, match="cannot read"):
        load_release(f"{url}-elsewhere")


@pytest.mark.parametrize("shipped", list(_shipped()), ids=lambda path: path.name)
def test_every_shipped_release_loads_by_its_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_release(f"models/{shipped.name}") == shipped
    release = load_release(shipped.name)
    assert release.path == shipped
    assert release.members >= 3
    assert safetensors.torch.load_file(shipped / release.manifest.weights.file).keys()
