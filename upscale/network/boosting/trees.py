"""Prediction with boosted trees: unscaled drivers of single days in, fluxes out.

A member is three regressors, for gpp, reco and nee. They read a table with the features of the
day in physical units (missing = NaN, which trees handle themselves), followed by the one-hots of
the two classes. Trees use no history of the place, so they run under the context rule `query`
with windows of one day, and z is the two class codes.

The libraries come with the extra `train` and are imported when a release needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from upscale.network.boosting.tree_files import check_lightgbm, check_xgboost
from upscale.network.classes import Classes
from upscale.network.scaler import Scaler
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Windows predicted in one call: a table that stays in cache.
BATCH = 8192

#: LightGBM walks through all trees row by row. A slice of them stays in cache, which is twice
#: as fast with 1000 trees of 31 leaves; XGBoost gains nothing at this size
#: (docs/reference/models.md).
_LIGHTGBM_SLICE = 25


@dataclass(frozen=True)
class TreesConfig:
    """Sizes of boosted trees.

    features: dynamic predictors; classes: width of the one-hots that follow them in the table;
    rounds: most trees of a regressor; LightGBM stops early when nothing is left to split.
    """

    features: int
    classes: int
    rounds: int

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        wrong = [f"{name}={size}" for name, size in vars(self).items() if size < 1]
        if wrong:
            raise ValueError(f"expected sizes of at least 1, found {', '.join(wrong)}")

    @property
    def columns(self) -> int:
        """Width of the table."""
        return self.features + self.classes

    @property
    def latent(self) -> int:
        """Width of z, which holds the codes of both classes."""
        return 2


class Trees(Protocol):
    """One fitted regressor of one library; `suffix` names the library's own file format."""

    suffix: ClassVar[str]

    @classmethod
    def parse(cls, payload: bytes, config: TreesConfig) -> Self:
        """The regressor in the library's own format, checked before the library reads it.

        ValueError if the payload does not fit `config`; otherwise the errors of the library.
        """
        ...

    def payload(self) -> bytes:
        """The regressor in the library's own format."""
        ...

    @property
    def columns(self) -> int: ...
    @property
    def rounds(self) -> int: ...

    def predict(self, table: Floats, threads: int) -> Floats:
        """A flux `(row,)` in g m-2 d-1 of rows `(row, column)`, NaN = missing."""
        ...


@dataclass(frozen=True, eq=False)
class XgBoostTrees:
    """A `xgboost.Booster`, kept as JSON."""

    booster: Any
    suffix: ClassVar[str] = ".json"

    @classmethod
    def parse(cls, payload: bytes, config: TreesConfig) -> Self:
        from xgboost import Booster

        check_xgboost(payload, config.columns, config.rounds)
        return cls(Booster(model_file=bytearray(payload)))

    def payload(self) -> bytes:
        return bytes(self.booster.save_raw(raw_format="json"))

    @property
    def columns(self) -> int:
        return int(self.booster.num_features())

    @property
    def rounds(self) -> int:
        return int(self.booster.num_boosted_rounds())

    def predict(self, table: Floats, threads: int) -> Floats:
        self.booster.set_param({"nthread": threads})
        return np.asarray(self.booster.inplace_predict(table), np.float32)


@dataclass(frozen=True, eq=False)
class LightGbmTrees:
    """A `lightgbm.Booster`, kept as the part of its text that predictions need."""

    booster: Any
    suffix: ClassVar[str] = ".txt"

    @classmethod
    def parse(cls, payload: bytes, config: TreesConfig) -> Self:
        from lightgbm import Booster

        check_lightgbm(payload, config.columns, config.rounds)
        return cls(Booster(model_str=payload.decode()))

    def payload(self) -> bytes:
        text: str = self.booster.model_to_string(num_iteration=-1)
        trees, end, _ = text.partition("end of trees\n")
        return (trees + end).encode()

    @property
    def columns(self) -> int:
        return int(self.booster.num_feature())

    @property
    def rounds(self) -> int:
        return int(self.booster.num_trees())

    def predict(self, table: Floats, threads: int) -> Floats:
        total = np.zeros(len(table))
        for first in range(0, self.rounds, _LIGHTGBM_SLICE):
            total += self.booster.predict(
                table, start_iteration=first, num_iteration=_LIGHTGBM_SLICE, raw_score=True,
                num_threads=threads,
            )  # fmt: skip
        return total.astype(np.float32)


#: Tree models by the name that `release.yaml` gives them.
TREES: dict[str, type[Trees]] = {"xgboost": XgBoostTrees, "lightgbm": LightGbmTrees}


def check_trees(trees: Trees, config: TreesConfig) -> None:
    """Refuse a regressor of other sizes, or one that does not predict one finite number.

    Raises ValueError.
    """
    if trees.columns != config.columns or not 0 < trees.rounds <= config.rounds:
        raise ValueError(
            f"expected {config.columns} columns and at most {config.rounds} rounds, "
            f"found {trees.columns} and {trees.rounds}"
        )
    value = trees.predict(np.full((1, config.columns), np.nan, np.float32), 1)
    if value.shape != (1,) or not np.isfinite(value).all():
        raise ValueError(f"expected one finite flux for a row, found {value.tolist()}")


class TreeEnsemble:
    """The members of a release of boosted trees, ready to run; built once per process.

    members: regressors `(gpp, reco, nee)` of each member; batch: windows per call. Runs on the
    CPU, with the number of threads that torch has when the object is built.
    """

    device = torch.device("cpu")
    latent = 2

    def __init__(
        self,
        members: Sequence[Sequence[Trees]],
        scaler: Scaler,
        classes: Classes,
        batch: int | None = None,
    ) -> None:
        self._members = [tuple(each) for each in members]
        self._threads = torch.get_num_threads()
        self.scaler = scaler
        self.classes = classes
        self.batch = batch or BATCH

    @property
    def members(self) -> int:
        return len(self._members)

    def encode(self, support: Floats, present: Bools, classes: NDArray[np.integer]) -> Floats:
        """z `(member, pixel, 2)`: the class codes igbp, koppen `(pixel, 2)` themselves.

        support: not used; present: `(pixel, window)`; z is NaN for a pixel without any window.
        """
        known = np.asarray(present.any(axis=1))
        codes = np.where(known[:, None], classes, np.nan).astype(np.float32)
        return np.repeat(codes[None], self.members, axis=0)

    def decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)`: gpp, reco, nee in g m-2 d-1, not clipped.

        drivers: `(row, day, feature)` physical units, NaN = missing; z: `(member, row, 2)` of
        each row's pixel, the same for all members. Fluxes are NaN where z is NaN. ValueError if
        shapes do not fit or z differs between members.
        """
        self._check_rows(drivers, z)
        shape = (self.members, len(drivers), drivers.shape[1], len(FLUXES))
        fluxes = np.empty(shape, np.float32)
        for part in self._parts(len(drivers)):
            fluxes[:, part] = self._decode(drivers[part], z[0, part])
        return fluxes

    def _check_rows(self, drivers: Floats, z: Floats) -> None:
        expected = (self.members, len(drivers), self.latent)
        if z.shape != expected or drivers.shape[2] != len(self.scaler.features):
            raise ValueError(
                f"expected z (member, row, latent) {expected} and {len(self.scaler.features)} "
                f"features, found z {z.shape} and drivers {drivers.shape}"
            )
        if not np.array_equal(z, np.broadcast_to(z[:1], z.shape), equal_nan=True):
            raise ValueError("expected the same class codes for all members: give what encode gave")

    def _parts(self, rows: int) -> Iterator[slice]:
        for first in range(0, rows, self.batch):
            yield slice(first, min(first + self.batch, rows))

    def _decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)` of drivers `(row, day, feature)`, codes `(row, 2)`."""
        rows, days = drivers.shape[:2]
        known = np.asarray(np.isfinite(z).all(axis=1))
        codes = np.where(known[:, None], z, 0).astype(np.int64)
        table = tree_table(
            drivers.reshape(rows * days, -1), np.repeat(self.classes.onehot(codes), days, axis=0)
        )
        each = [
            [trees.predict(table, self._threads) for trees in member] for member in self._members
        ]
        fluxes = np.stack(each).transpose(0, 2, 1).reshape(self.members, rows, days, len(FLUXES))
        return np.where(known[:, None, None], fluxes, np.float32(np.nan))


def tree_table(features: Floats, onehot: Floats) -> Floats:
    """The table `(row, column)` that trees are fitted on and predict from: features in physical
    units, NaN where not finite, then one-hots."""
    table = np.concatenate([features, onehot], axis=1, dtype=np.float32)
    table[~np.isfinite(table)] = np.nan
    return table
