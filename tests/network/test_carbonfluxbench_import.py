"""Weights of the released code become a release, or are refused with the reason."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from upscale.network.classes import CARBONFLUXBENCH
from upscale.network.ensemble import Ensemble
from upscale.network.networks.carbonfluxbench import CarbonFluxBenchConfig
from upscale.network.predictor import load_predictor
from upscale.network.released_code.release import import_release
from upscale.network.released_code.scaling import FEATURES, STAND_INS, Scaling, read_scaling
from upscale.network.released_code.state import read_member
from upscale.network.releases.release import ReleaseError, load_release
from upscale.testing.carbonfluxbench import State, released_state
from upscale.variables import FLUXES, variable

#: Read by no prediction: the reconstruction branch, the static head, a counter of batches.
SPARE = {
    "encoder.decode_linear.bias", "encoder.decode_linear.weight",
    "encoder.instance_decoder.bias", "encoder.instance_decoder.weight",
    "encoder.instance_encoder.1.num_batches_tracked",
    "encoder.static_out.bias", "encoder.static_out.weight",
    "encoder.temporal_decoder.bias_hh_l0", "encoder.temporal_decoder.bias_ih_l0",
    "encoder.temporal_decoder.weight_hh_l0", "encoder.temporal_decoder.weight_ih_l0",
}  # fmt: skip


def saved(folder: Path, content: Any, name: str = "state.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


@pytest.fixture
def state() -> State:
    return released_state()


def test_sizes_are_read_off_the_tensors(tmp_path: Path) -> None:
    sizes = {"hidden": 128, "latent": 64, "layers": 2}
    member = read_member(saved(tmp_path, released_state(**sizes)))
    assert member.config == CarbonFluxBenchConfig(20, 51, 128, 64, 64, 2, dropout=0.0)


def test_every_tensor_is_either_read_or_named_as_left_behind(tmp_path: Path, state: State) -> None:
    member = read_member(saved(tmp_path, state))
    assert set(member.left_out) == SPARE
    read = sum(tensor.numel() for tensor in member.weights.values())
    spare = [state["encoder"][name.removeprefix("encoder.")] for name in SPARE]
    everything = sum(t.numel() for part in state.values() for t in part.values())
    assert read + sum(tensor.numel() for tensor in spare) == everything


def test_a_file_without_the_reconstruction_branch_will_do(tmp_path: Path, state: State) -> None:
    full = read_member(saved(tmp_path, state, "full.pt"))
    for name in SPARE:
        del state["encoder"][name.removeprefix("encoder.")]
    bare = read_member(saved(tmp_path, state))
    assert bare.left_out == ()
    assert all(torch.equal(bare.weights[name], full.weights[name]) for name in full.weights)


def test_a_file_and_a_folder_are_enough(tmp_path: Path, state: State) -> None:
    made = import_release([saved(tmp_path, state)], tmp_path / "imported")
    release = load_release(tmp_path / "imported")
    assert release.digest == made.release.digest
    manifest = release.manifest
    assert manifest.model == "tamrl-carbonfluxbench"
    assert release.scaler.names == FEATURES
    assert len(FEATURES) == 20
    assert release.scaler.required == FEATURES
    assert (manifest.window.length, manifest.window.stride) == (30, 15)
    assert manifest.context.rule == "query"
    assert manifest.classes == CARBONFLUXBENCH
    assert set(made.assumed) == {*FEATURES, *FLUXES}
    card = (tmp_path / "imported" / "CARD.md").read_text()
    assert "stand-ins" in card
    assert "arXiv:2603.09868" in card


def test_several_files_are_several_members(tmp_path: Path) -> None:
    states = [released_state(seed) for seed in (27, 28, 29)]
    files = [saved(tmp_path, each, f"{k}.pt") for k, each in enumerate(states)]
    release = import_release(files, tmp_path / "imported").release
    assert release.members == 3
    for member, each in enumerate(states):
        heads = release.networks()[member].state_dict()["heads.weight"]
        assert torch.equal(heads, each["decoder"]["out.weight"])


def test_members_of_one_file_name_are_all_named(tmp_path: Path) -> None:
    files = []
    for seed, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        files.append(saved(tmp_path / folder, released_state(seed), "best.pt"))
    release = import_release(files, tmp_path / "imported").release
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    expected = [{"file": "best.pt", "sha256": digest} for digest in digests]
    assert release.manifest.training_settings["imported"] == expected
    card = (tmp_path / "imported" / "CARD.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith("| best.pt")]
    assert rows == [f"| best.pt | {digest} |" for digest in digests]


def test_the_folder_one_stands_in_names_the_release(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path, state)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert import_release([file], Path()).release.manifest.name == "mine"
    assert import_release([file], Path(), name="other").release.manifest.name == "other"


def test_an_imported_release_predicts_what_its_scaled_network_says(tmp_path: Path) -> None:
    release = import_release([saved(tmp_path, released_state())], tmp_path / "imported").release
    predictor, rng = load_predictor(release, device="cpu"), np.random.default_rng(0)
    mean, std = np.array([STAND_INS[name] for name in FEATURES]).T
    x = rng.normal(size=(7, 30, 20))
    drivers = (mean + std * x).astype(np.float32)
    codes = rng.integers(0, 17, (7, 2))
    z = predictor.encode(drivers[:, None], np.ones((7, 1), bool), codes)
    found = predictor.decode(drivers, z)[0]
    network = release.networks()[0].double()
    scaled = torch.from_numpy((drivers.astype(float) - mean) / std)
    with torch.inference_mode():
        onehot = torch.from_numpy(release.classes.onehot(codes)).double()
        expected = network.decode(scaled, network.embed(scaled, onehot)).numpy()
    mean, std = np.array([STAND_INS[name] for name in FLUXES]).T
    np.testing.assert_allclose(found, expected * std + mean, atol=1e-4)


SCALING = """
features:
  - {name: sw_in, units: J m-2 d-1, mean: 1.5e7, std: 8.0e6}
  - {name: ta, units: K, mean: 283.15, std: 9.0, minimum: 233.15, maximum: 313.15}
  - {name: p, units: m d-1, mean: 0.002, std: 0.005}
  - {name: lat, mean: 40, std: 20}
fluxes:
  - {name: gpp, mean: 4.0, std: 4.5}
"""


def test_constants_come_in_the_units_of_the_released_data(tmp_path: Path) -> None:
    (tmp_path / "scaling.yaml").write_text(SCALING)
    file = saved(tmp_path, released_state(drivers=4))
    made = import_release([file], tmp_path / "out", scaling=read_scaling(tmp_path / "scaling.yaml"))
    by_name = {feature.name: feature for feature in made.release.scaler.features}
    assert list(by_name) == ["sw_in", "ta", "p", "lat"]
    assert (by_name["ta"].mean, by_name["ta"].std) == pytest.approx((10, 9))
    assert (by_name["ta"].minimum, by_name["ta"].maximum) == pytest.approx((-40, 40))
    assert (by_name["p"].mean, by_name["p"].std) == pytest.approx((2, 5))
    assert by_name["sw_in"].mean == pytest.approx(1.5e7 / 86400)
    assert by_name["lat"].maximum == variable("lat").valid_max
    assert made.release.scaler.fluxes[0].mean == 4.0
    assert set(made.assumed) == {"reco", "nee"}


def test_features_may_be_named_in_another_order(tmp_path: Path) -> None:
    file = saved(tmp_path, released_state(drivers=3))
    release = import_release([file], tmp_path / "out", features=("lon", "ta", "pa")).release
    assert release.scaler.names == ("lon", "ta", "pa")


def test_a_width_that_the_default_does_not_fit_asks_for_the_option(tmp_path: Path) -> None:
    file = saved(tmp_path, released_state(drivers=10))
    with pytest.raises(ReleaseError, match=r"reads 10 drivers, but there are 20.*--features"):
        import_release([file], tmp_path / "out")


@pytest.mark.parametrize(
    ("features", "scaling", "said"),
    [
        (("ta", "swvl1"), {}, "unknown features swvl1"),
        (("ta", "ndvi"), {}, "no scaling constants for ndvi: give mean and std"),
        (
            ("ta", "p"),
            {"features": [{"name": "ta", "units": "F", "mean": 1, "std": 1}]},
            "degC or K",
        ),
        (("gpp", "p"), {}, "unknown features gpp: expected names out of ta,"),
        (("ta", "igbp"), {}, "unknown features igbp"),
        (("ta", "gpp_sd"), {}, "unknown features gpp_sd"),
        (("ta", "p"), {"features": [{"name": "foo", "mean": 1, "std": 1}]}, "found foo: correct"),
        (("ta", "p"), {"features": [{"name": "vpd", "mean": 1, "std": 1}]}, "found vpd: correct"),
        (("ta", "p"), {"features": [{"name": "ta", "mean": 1, "std": 1}] * 2}, "once, found ta"),
        (("ta", "p"), {"features": [{"name": "gpp", "mean": 1, "std": 1}]}, "found gpp: correct"),
        (("ta", "p"), {"fluxes": [{"name": "foo", "mean": 1, "std": 1}]}, "gpp, reco, nee.*foo"),
        (("ta", "p"), {"fluxes": [{"name": "ta", "mean": 1, "std": 1}]}, "gpp, reco, nee.*ta"),
    ],
)
def test_features_that_cannot_be_fed_are_refused(
    tmp_path: Path, features: tuple[str, ...], scaling: dict[str, Any], said: str
) -> None:
    file, given = saved(tmp_path, released_state(drivers=2)), Scaling.model_validate(scaling)
    with pytest.raises(ReleaseError, match=said):
        import_release([file], tmp_path / "out", features, given)


def test_other_one_hots_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, released_state(classes=47))
    with pytest.raises(ReleaseError, match="leaves 47 one-hots: expected 51"):
        import_release([file], tmp_path / "out")


def test_members_of_other_sizes_are_refused(tmp_path: Path) -> None:
    files = [saved(tmp_path, released_state(hidden=h), f"{h}.pt") for h in (8, 16)]
    with pytest.raises(ReleaseError, match="expected the sizes of"):
        import_release(files, tmp_path / "out")


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.trace, "run")


@pytest.mark.parametrize("whole", [True, False], ids=["bare pickle", "beside tensors"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(
    tmp_path: Path, state: State, whole: bool
) -> None:
    trace, file = tmp_path / "trace", tmp_path / "state.pt"
    if whole:
        file.write_bytes(pickle.dumps(Payload(trace), protocol=2))
    else:
        torch.save({**state, "more": Payload(trace)}, file)
    with pytest.raises(ReleaseError, match="content that safe loading refuses"):
        read_member(file)
    assert not trace.exists()


def test_the_switch_that_lets_files_run_code_is_refused(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    torch.save({**state, "more": Payload(trace)}, tmp_path / "state.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ReleaseError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"):
        read_member(tmp_path / "state.pt")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: s["encoder"], "two state dicts, 'encoder' and 'decoder'"),
        (lambda s: [1, 2], "found list"),
        (lambda s: s | {"epoch": 3}, "found .*epoch"),
        (lambda s: s | {"decoder": torch.zeros(3)}, "decoder: expected a state dict"),
    ],
)
def test_anything_but_two_state_dicts_is_refused(
    tmp_path: Path, state: State, make: Callable[[State], Any], said: str
) -> None:
    with pytest.raises(ReleaseError, match=said):
        read_member(saved(tmp_path, make(state)))


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("encoder", "code_linear.bias", [0.0], "expected a tensor, found list"),
        ("encoder", "decode_linear.bias", torch.full((8,), torch.nan), "is not finite"),
        ("encoder", "instance_decoder.bias", torch.zeros(9), r"expected float \(71,\)"),
        ("encoder", "instance_encoder.1.running_var", -torch.ones(8), "found negative"),
        ("decoder", "out.bias", torch.zeros(4), r"expected float \(3,\)"),
        ("decoder", "out.bias", torch.zeros(3).int(), "found torch.int32"),
        ("decoder", "out.weight", torch.full((3, 32), torch.inf), "is not finite"),
        ("decoder", "out.weight", torch.eye(3, 32).to_sparse(), "expected float"),
        ("decoder", "attention.weight", torch.zeros(2), "not known: decoder.attention"),
        ("decoder", "dynamic_encoder.weight", torch.zeros(5), "expected the matrix"),
        ("decoder", "dynamic_encoder.weight", torch.zeros(8, 90), "found an encoder of 71"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, state: State, part: str, name: str, value: Any, said: str
) -> None:
    wrong = state | {part: state[part] | {name: value}}
    with pytest.raises(ReleaseError, match=said):
        read_member(saved(tmp_path, wrong))


def test_a_missing_tensor_is_named(tmp_path: Path, state: State) -> None:
    del state["decoder"]["film_layer_head.bias"]
    with pytest.raises(ReleaseError, match=r"missing: decoder\.film_layer_head\.bias"):
        read_member(saved(tmp_path, state))


def test_a_file_that_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_text("not weights")
    with pytest.raises(ReleaseError, match="safe loading refuses"):
        read_member(tmp_path / "state.pt")
    with pytest.raises(FileNotFoundError):
        read_member(tmp_path / "none.pt")


def test_a_scaling_file_with_unknown_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scaling.yaml").write_text("features: [{name: ta, mean: 1, std: 0, unit: K}]")
    with pytest.raises(ReleaseError, match=r"(?s)std.*unit"):
        read_scaling(tmp_path / "scaling.yaml")


def test_an_ensemble_runs_members_of_it(tmp_path: Path) -> None:
    release = import_release([saved(tmp_path, released_state())], tmp_path / "out").release
    assert isinstance(load_predictor(release, device="cpu"), Ensemble)
