"""Towers and cases made for the purpose, with predictions that are easy to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from upscale.evaluation.cases import Case, estimate
from upscale.testing.towers import write_towers
from upscale.towers.table import Tower, read_towers


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("towers"), count=10, seed=0)


@pytest.fixture(scope="session")
def towers(folder: Path) -> tuple[Tower, ...]:
    return read_towers(folder)


def make_cases(towers: Sequence[Tower], split: str = "test", seed: int = 0) -> list[Case]:
    """Two models: `ours` follows the measurements closely, `baseline` does so with more noise."""
    rng = np.random.default_rng(seed)
    cases = []
    for tower in towers:
        truth = np.nan_to_num(tower.fluxes, nan=1.0)
        members = {
            name: truth + rng.normal(0, noise, (4, *truth.shape)).astype(np.float32)
            for name, noise in (("ours", 0.5), ("baseline", 1.5))
        }
        found = {name: estimate(each.astype(np.float32)) for name, each in members.items()}
        cases.append(Case(tower, "suspect" if tower.suspect else split, found))
    return cases


@pytest.fixture(scope="session")
def cases(towers: tuple[Tower, ...]) -> list[Case]:
    return make_cases(towers)


@pytest.fixture(scope="session")
def many_cases(towers: tuple[Tower, ...]) -> list[Case]:
    """Thirty towers in thirty clusters, of every main climate and many land covers."""
    rng = np.random.default_rng(1)
    classes = [(1, 26), (10, 15), (4, 26), (7, 7), (12, 8), (2, 3), (11, 29), (0, 0)]
    copies = [
        replace(
            towers[i % 9],
            site=f"ZZ-{i:03d}",
            cluster=f"Z{i}",
            suspect=False,
            igbp=classes[i % len(classes)][0],
            koppen=classes[i % len(classes)][1],
            fluxes=towers[i % 9].fluxes * rng.uniform(0.5, 1.5),
        )
        for i in range(30)
    ]
    return make_cases(copies)
