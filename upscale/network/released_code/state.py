"""Files of weights of the released code, loaded safely and renamed to the names used here.

A file holds two state dicts: `encoder` (there `ae_tamrl`: encoder, its reconstruction branch
and a static head) and `decoder` (there `tamlstm`: generator, decoder, heads). Names and shapes
are those of the code published with arXiv 2603.09868. The reconstruction branch and the static
head take part in no prediction: they are checked like the rest and then dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from upscale.network.networks.carbonfluxbench import CarbonFluxBenchConfig
from upscale.network.releases.release import ReleaseError, refuse_unsafe_switch

Shape = tuple[int, ...]
State = Mapping[str, Mapping[str, Tensor]]

#: Module of `CarbonFluxBench` and where the released code keeps it.
_MODULES = {
    "day": ("encoder", "instance_encoder.0"),
    "norm": ("encoder", "instance_encoder.1"),
    "encoder": ("encoder", "temporal_encoder"),
    "embedding": ("encoder", "code_linear"),
    "scale": ("decoder", "static_encoder"),
    "film": ("decoder", "film_layer_head"),
    "drivers": ("decoder", "dynamic_encoder"),
    "decoder": ("decoder", "encoder"),
    "heads": ("decoder", "out"),
}

#: Tensors of `DayNorm` that have other names in the released code.
_RENAMED = {"norm.mean": "running_mean", "norm.variance": "running_var"}

#: Number of batches in the running averages; no prediction needs it.
_COUNTER = "instance_encoder.1.num_batches_tracked"


@dataclass(frozen=True)
class Imported:
    """One member: its sizes, its tensors by the names used here, and the dropped tensors."""

    config: CarbonFluxBenchConfig
    weights: dict[str, Tensor]
    left_out: tuple[str, ...]


def read_member(path: Path) -> Imported:
    """The member in a file of the released code.

    ReleaseError: unsafe switch set, a file that safe loading refuses, anything but tensors in
    two dicts, tensors that are missing, unknown, of wrong shape or not finite.
    """
    state = _dicts(_load(path), path)
    config = _sizes(state, path)
    expected, beside = _shapes(config), _shapes_beside(config, state)
    _check_names(state, expected.keys() | beside.keys(), beside.keys(), path)
    for (part, name), shape in (expected | beside).items():
        if name in state[part]:
            _check_tensor(state[part][name], shape, f"{path}: {part}.{name}")
    weights = {
        ours: state[part][name].detach().float() for ours, (part, name) in _names(config).items()
    }
    left = sorted(f"{part}.{name}" for part, name in beside if name in state[part])
    return Imported(config, weights, tuple(left))


def _load(path: Path) -> Any:
    """The content of a file of weights, loaded without running code from it."""
    refuse_unsafe_switch()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch and pickle raise their own for every kind of damage
        raise ReleaseError(
            f"{path}: expected tensors in dicts, found content that safe loading refuses "
            f"({type(error).__name__}); no code from it was run. Save only the two state dicts: "
            "torch.save({'encoder': ..., 'decoder': ...}, path)"
        ) from error


def _dicts(content: Any, path: Path) -> State:
    """The two state dicts; refuses anything but tensors in them."""
    found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
    if found != ["decoder", "encoder"]:
        raise ReleaseError(
            f"{path}: expected a dict of two state dicts, 'encoder' and 'decoder', found {found}: "
            "save both parts in one file"
        )
    for part, tensors in content.items():
        if not isinstance(tensors, dict):
            raise ReleaseError(
                f"{path}: {part}: expected a state dict, found {type(tensors).__name__}: save "
                "`module.state_dict()`, not the module"
            )
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor):
                raise ReleaseError(
                    f"{path}: {part}.{name}: expected a tensor, found {type(tensor).__name__}: "
                    "save the state dicts alone"
                )
    state: State = content
    return state


def _sizes(state: State, path: Path) -> CarbonFluxBenchConfig:
    """The sizes that follow from the shapes of the matrices; dropout is unknown and set to 0."""
    width, encoder_hidden = _matrix(state, "encoder", "instance_encoder.0.weight", path)
    channels, hidden = _matrix(state, "decoder", "dynamic_encoder.weight", path)
    latent, _ = _matrix(state, "decoder", "static_encoder.weight", path)
    layers = sum(name.startswith("encoder.weight_ih_l") for name in state["decoder"])
    if width <= channels or layers < 1:
        raise ReleaseError(
            f"{path}: expected an encoder that reads drivers and one-hots, and an LSTM decoder; "
            f"found an encoder of {width} inputs, {channels} drivers and {layers} layers"
        )
    return CarbonFluxBenchConfig(
        channels, width - channels, hidden, latent, encoder_hidden, layers, dropout=0.0
    )


def _matrix(state: State, part: str, name: str, path: Path) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    weight = state[part].get(name)
    if weight is None or weight.ndim != 2 or 0 in weight.shape:
        found = "none" if weight is None else tuple(weight.shape)
        raise ReleaseError(
            f"{path}: expected the matrix {part}.{name}, found {found}: is this a file of the "
            "released TAM-RL (carbonfluxbench, `ae_tamrl` and `tamlstm`)?"
        )
    return weight.shape[1], weight.shape[0]


def _names(config: CarbonFluxBenchConfig) -> dict[str, tuple[str, str]]:
    """{our name: (part, name in the released code)} for each tensor of the network."""
    with torch.device("meta"):
        ours = config.build().state_dict()
    found = {}
    for name in ours:
        module, _, leaf = name.partition(".")
        part, prefix = _MODULES[module]
        found[name] = part, f"{prefix}.{_RENAMED.get(name, leaf)}"
    return found


def _shapes(config: CarbonFluxBenchConfig) -> dict[tuple[str, str], Shape]:
    """Shapes of the tensors that are read, by part and name in the released code."""
    with torch.device("meta"):
        ours = config.build().state_dict()
    return {there: tuple(ours[name].shape) for name, there in _names(config).items()}


def _shapes_beside(config: CarbonFluxBenchConfig, state: State) -> dict[tuple[str, str], Shape]:
    """Shapes of the tensors that a file may hold and that are not read."""
    hidden, latent, width = config.encoder_hidden, config.latent, config.channels + config.classes
    static = state["encoder"].get("static_out.weight")
    outputs = len(static) if static is not None and static.ndim else latent
    shapes: dict[str, Shape] = {_COUNTER: ()}
    for name, rows, columns in (
        ("decode_linear", hidden, latent),
        ("instance_decoder", width, hidden),
        ("static_out", outputs, latent),
    ):
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for side in ("ih", "hh"):
        shapes |= {
            f"temporal_decoder.weight_{side}_l0": (4 * hidden, hidden),
            f"temporal_decoder.bias_{side}_l0": (4 * hidden,),
        }
    return {("encoder", name): shape for name, shape in shapes.items()}


def _check_names(
    state: State, known: Iterable[tuple[str, str]], spare: Iterable[tuple[str, str]], path: Path
) -> None:
    """Refuse tensors that the released networks do not have, and missing ones."""
    there = {(part, name) for part, tensors in state.items() for name in tensors}
    faults = {"missing": set(known) - set(spare) - there, "not known": there - set(known)}
    said = [
        f"{what}: {', '.join(sorted(f'{part}.{name}' for part, name in names))}"
        for what, names in faults.items()
        if names
    ]
    if said:
        raise ReleaseError(
            f"{path}: expected the tensors of the released TAM-RL, found others; "
            f"{'; '.join(said)}: save the state dicts of `ae_tamrl` and `tamlstm`"
        )


def _check_tensor(tensor: Tensor, shape: Shape, where: str) -> None:
    """Refuse a tensor of another shape or type, and values that training cannot produce."""
    counter = where.endswith(_COUNTER)
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if tuple(tensor.shape) != shape or not (plain and (counter or tensor.is_floating_point())):
        raise ReleaseError(
            f"{where}: expected {'a count' if counter else 'float'} {shape}, found "
            f"{tensor.dtype} {tuple(tensor.shape)}: encoder and decoder must be of one model"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise ReleaseError(f"{where} is not finite: take another file of weights")
    if where.endswith("running_var") and bool((tensor < 0).any()):
        raise ReleaseError(
            f"{where}: expected variances, found negative values: the file is damaged"
        )
