"""The GPUs of this machine: torch is asked here, so that the cluster need not know it."""

from __future__ import annotations

import os
from typing import Literal

import torch


def visible_gpus(device: Literal["auto", "cpu", "cuda"]) -> tuple[str, ...]:
    """GPUs that a run on `device` may use, as CUDA_VISIBLE_DEVICES names them; none on a CPU."""
    if device == "cpu" or not torch.cuda.is_available():
        return ()
    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(map(str, range(count)))
    return tuple(name.strip() for name in given.split(",") if name.strip())[:count]
