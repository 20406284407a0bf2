"""The full state of a member's training after an epoch, in one file.

safetensors, with everything that is no tensor as JSON in its metadata: nothing is pickled. A
file replaces the one before it in one step, so that whoever kills the training finds either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from upscale.stores.files import write_whole
from upscale.training.config import TrainConfig
from upscale.training.dataset import Dataset
from upscale.training.networks.curves import Epoch
from upscale.version import __version__

Weights = dict[str, Tensor]

#: Grows with what a checkpoint means.
_FORMAT = 1

#: Settings that do not touch the weights of a member.
_IRRELEVANT = {
    "name", "data", "out", "members", "workers", "holdout", "cross_validation",
    "boosting_rounds", "card",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state from which a member resumes.

    stage: its number; epoch: how many of its epochs are done; best, waited: best validation and
    epochs since; curve: all epochs so far; generator: state of numpy's; tensors: by group:
    `network` weights, `mean` their running mean, `kept` the best, `optimiser` its moments by
    number of the parameter and name, `torch` the state of torch's generator.
    """

    stage: int
    epoch: int
    best: float
    waited: int
    curve: tuple[Epoch, ...]
    generator: dict[str, Any]
    tensors: dict[str, Weights]


def training_key(config: TrainConfig, seed: int, data: Iterable[Dataset]) -> str:
    """Digest of all inputs that determine the weights of a member: settings, seed, data, versions.

    The number of members, of workers and the names of files do not.
    """
    settings = config.model_dump(mode="json", exclude=_IRRELEVANT)
    versions = [_FORMAT, __version__, torch.__version__, np.__version__]
    digest = hashlib.sha256(json.dumps([versions, settings, seed], sort_keys=True).encode())
    for part in data:
        _digest_data(part, digest)
    return digest.hexdigest()


def checkpoint_path(folder: Path, number: int, key: str) -> Path:
    """Where member `number` is kept; another configuration or other data have another file."""
    return folder / f"member-{number:02d}-{key[:16]}.safetensors"


def write_checkpoint(path: Path, key: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before it."""
    tensors = {
        f"{group}/{name}": tensor.contiguous()
        for group, part in checkpoint.tensors.items()
        for name, tensor in part.items()
    }
    rest = {
        "stage": checkpoint.stage, "epoch": checkpoint.epoch, "best": checkpoint.best,
        "waited": checkpoint.waited, "curve": [asdict(epoch) for epoch in checkpoint.curve],
        "generator": checkpoint.generator,
    }  # fmt: skip
    payload = safetensors.torch.save(tensors, {"key": key, "state": json.dumps(rest)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, payload)


def read_checkpoint(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint of exactly this training; None where none exists."""
    if not path.is_file():
        return None
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["key"] != key:
            return None
        groups: dict[str, Weights] = {}
        for name in file.keys():  # noqa: SIM118
            group, _, rest = name.partition("/")
            groups.setdefault(group, {})[rest] = file.get_tensor(name)
    state = json.loads(metadata["state"])
    curve = tuple(Epoch(**epoch) for epoch in state.pop("curve"))
    return Checkpoint(**state, curve=curve, tensors=groups)


def _digest_data(data: Dataset, digest: hashlib._Hash) -> None:
    """Feed all that members learn from into a digest."""
    described = [asdict(data.scaler), asdict(data.classes), asdict(data.window)]
    digest.update(json.dumps(described, sort_keys=True).encode())
    digest.update(json.dumps([[t.site, t.cluster] for t in data.towers]).encode())
    arrays = [data.channels.numpy(), data.targets.numpy(), data.quality.numpy()]
    arrays += [data.codes, data.weights]
    for place in data.places:
        arrays += [place.starts, place.support, *place.years, place.rows.start]
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
