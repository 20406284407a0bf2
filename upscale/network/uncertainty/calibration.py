"""Prediction intervals for measured fluxes, from the spread of an ensemble.

Three quantities differ. The *spread* is the standard deviation between the members. The *error of
a tower-day* is the difference between a measured day and the ensemble mean at a tower that no
member was trained on; it also contains the errors that all members share and the noise of the
measurement. The *error of a mean* over many days is smaller, but larger than for independent
days, because the errors of a place persist.

The formula of the interval is in `upscale.prediction_interval`. Its floor, factor and share
minimise the negative log-likelihood of a normal distribution, and its k(p) are quantiles of
|error| / sd. All are fitted at left-out towers, with equal weight for each tower whatever the
length of its record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale import prediction_interval as formula
from upscale.network.moments import clipped, mean_and_spread
from upscale.variables import FLUXES, variable

Reals = NDArray[np.float64]

#: Probabilities whose multipliers are kept; between them k is interpolated linearly.
LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
#: Lengths in days of the means whose errors are kept.
MEAN_DAYS = (1, 30, 365)
#: Days of a tower that enter the fit, evenly spread over its record.
MOST_DAYS = 250
#: A mean is used if at least this share of its days was measured.
_LEAST_MEASURED = 0.5


@dataclass(frozen=True)
class Coverage:
    """Share of measured tower-days inside the central interval of probability `level`, in towers
    of clusters that the calibration was not fitted on. spread: share inside normal intervals from
    the spread alone; calibrated: share inside calibrated intervals."""

    level: float
    spread: float
    calibrated: float

    __pydantic_config__: ClassVar = {"extra": "forbid"}


@dataclass(frozen=True)
class MeanError:
    """Root mean square error of means over `days` days at one tower, in the unit of the flux;
    towers: number of towers with a mean of this length."""

    days: int
    rmse: float
    towers: int

    __pydantic_config__: ClassVar = {"extra": "forbid"}


@dataclass(frozen=True)
class FluxCalibration:
    """The calibration of one flux. floor: in `units`; factor, share, multipliers (one for each of
    the calibration's levels): dimensionless."""

    name: str
    units: str
    floor: float
    factor: float
    share: float
    multipliers: tuple[float, ...]
    coverage: tuple[Coverage, ...]
    errors: tuple[MeanError, ...]

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        sizes = self.floor, self.factor, self.share
        if self.units != variable(self.name).units or min(sizes) < 0 or max(sizes) <= 0:
            raise ValueError(
                f"calibration of {self.name}: expected {variable(self.name).units} and floor, "
                f"factor, share >= 0 (one of them > 0), found {self.units} and {sizes}: fit again"
            )


@dataclass(frozen=True)
class Calibration:
    """How the spread of an ensemble becomes an interval; part of `release.yaml`.

    towers, clusters: number that it was fitted on; members: size of the ensembles that predicted
    them; folds: number of groups of clusters, for the coverage.
    """

    levels: tuple[float, ...]
    fluxes: tuple[FluxCalibration, ...]
    towers: int
    clusters: int
    members: int
    folds: int

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        found = tuple(flux.name for flux in self.fluxes)
        rising = list(self.levels) == sorted(set(self.levels)) and min(self.levels, default=0) > 0
        whole = all(len(flux.multipliers) == len(self.levels) for flux in self.fluxes)
        if found != FLUXES or not rising or max(self.levels) >= 1 or not whole:
            raise ValueError(
                f"calibration: expected {', '.join(FLUXES)}, rising levels between 0 and 1 and as "
                f"many multipliers, found {', '.join(found)} and {self.levels}: fit it again"
            )

    def multiplier(self, level: float) -> Reals:
        """k `(3,)` of gpp, reco, nee at a probability; ValueError beyond the largest level."""
        return np.array(
            [formula.multiplier(level, self.levels, flux.multipliers) for flux in self.fluxes]
        )


@dataclass(frozen=True, eq=False)
class PredictedTower:
    """A tower predicted by members that were not trained on its cluster.

    members: `(member, day, 3)` g m-2 d-1, not clipped, NaN on days without prediction; observed:
    `(day, 3)` g m-2 d-1, NaN on days of insufficient quality.
    """

    tower: str
    cluster: str
    members: NDArray[np.float32]
    observed: NDArray[np.float32]


def predictive_sd(mean: ArrayLike, spread: ArrayLike, calibration: Calibration) -> Reals:
    """Standard deviation `(..., 3)` of the error of a tower-day, g m-2 d-1.

    mean, spread: `(..., 3)` gpp, reco, nee of the ensemble, g m-2 d-1; NaN stays NaN.
    """
    parts = [(flux.floor, flux.factor, flux.share) for flux in calibration.fluxes]
    floor, factor, share = np.array(parts).T
    centre, apart = (np.asarray(part, np.float64) for part in (mean, spread))
    return np.asarray(formula.predictive_sd(centre, apart, floor, factor, share))


def interval(
    mean: ArrayLike, spread: ArrayLike, calibration: Calibration, level: float = 0.9
) -> tuple[Reals, Reals]:
    """Lower and upper end `(..., 3)` of the central interval for a measured tower-day.

    mean, spread: as `predictive_sd`; level: probability.
    """
    sd = predictive_sd(mean, spread, calibration)
    return formula.ends_of(np.asarray(mean, np.float64), sd, calibration.multiplier(level))


def ensemble_mean(members: NDArray[np.floating]) -> tuple[Reals, Reals]:
    """Mean and spread `(day, 3)` of members `(member, day, 3)`, as in a run.

    GPP and RECO of each member are first clipped at zero; a single member has spread 0.
    """
    return mean_and_spread(clipped(members))


def fit_calibration(towers: Sequence[PredictedTower], folds: int = 10) -> Calibration:
    """Fit the calibration of an ensemble at towers that it was not trained on.

    towers: without suspect towers; folds: number of groups of clusters, each scored by a fit to
    the others. ValueError with fewer than three clusters with good days.
    """
    records = [record for record in map(_record, towers) if len(record.mean)]
    clusters = sorted({record.cluster for record in records})
    if len(clusters) < 3:
        raise ValueError(
            f"expected left-out towers of at least 3 clusters with good days, found "
            f"{len(clusters)}: leave more clusters out"
        )
    count = min(folds, len(clusters))
    fold = {cluster: i % count for i, cluster in enumerate(clusters)}
    return Calibration(
        levels=LEVELS,
        fluxes=tuple(_calibrate(flux, i, records, fold) for i, flux in enumerate(FLUXES)),
        towers=len(records),
        clusters=len(clusters),
        members=len(towers[0].members),
        folds=count,
    )


@dataclass(frozen=True, eq=False)
class _Record:
    """The good days of one tower: mean, spread, observed `(day, 3)`; day: their indices."""

    cluster: str
    day: NDArray[np.intp]
    mean: Reals
    spread: Reals
    observed: Reals

    def sample(self, flux: int) -> _Days:
        """At most `MOST_DAYS` days of one flux, evenly spaced, with a total weight of 1."""
        count = min(MOST_DAYS, len(self.day))
        pick = np.linspace(0, len(self.day) - 1, count).round().astype(int)
        columns = (self.mean, self.spread, self.observed)
        mean, spread, observed = (column[pick, flux] for column in columns)
        return _Days(mean, spread, observed - mean, np.full(count, 1 / count))


class _Days(NamedTuple):
    """Days `(day,)` of one flux at some towers: ensemble, error (observed - mean) and weight."""

    mean: Reals
    spread: Reals
    error: Reals
    weight: Reals


class _Shape(NamedTuple):
    """The three parts of a predictive standard deviation."""

    floor: float
    factor: float
    share: float

    def sd(self, days: _Days) -> Reals:
        return np.asarray(formula.predictive_sd(days.mean, days.spread, *self))


def _record(tower: PredictedTower) -> _Record:
    mean, spread = ensemble_mean(tower.members)
    observed = tower.observed.astype(np.float64)
    day = np.flatnonzero(np.isfinite(mean + spread + observed).all(axis=1))
    return _Record(tower.cluster, day, mean[day], spread[day], observed[day])


def _gather(records: Sequence[_Record], flux: int) -> _Days:
    """The sampled days of all records, with weights that add up to 1."""
    each = [record.sample(flux) for record in records]
    mean, spread, error, weight = (np.concatenate(part) for part in zip(*each, strict=True))
    return _Days(mean, spread, error, weight / len(records))


def _calibrate(
    name: str, flux: int, records: Sequence[_Record], fold: dict[str, int]
) -> FluxCalibration:
    """Calibration of one flux, from the errors at left-out towers."""
    days = _gather(records, flux)
    shape = _fit(days)
    ratio = np.abs(days.error) / shape.sd(days)
    return FluxCalibration(
        name=name,
        units=variable(name).units,
        floor=round(shape.floor, 5),
        factor=round(shape.factor, 5),
        share=round(shape.share, 5),
        multipliers=tuple(round(k, 4) for k in _quantiles(ratio, days.weight, LEVELS)),
        coverage=tuple(_coverage(flux, records, fold)),
        errors=tuple(_mean_errors(flux, records)),
    )


def _fit(days: _Days) -> _Shape:
    """The shape with the largest normal likelihood, by a search over the ratios of its parts.

    For given ratios the best scale has a closed form, so the search is over two numbers, first
    on a coarse, then on finer lattices of their logarithms.
    """
    squares = np.stack([np.ones_like(days.mean), days.spread**2, days.mean**2])
    size = np.maximum(squares @ days.weight, 1e-12)
    relative = squares / size[:, None]
    centre = np.zeros(2)
    for step, reach in ((0.5, 6), (0.15, 3), (0.05, 3)):
        lattice = range(-reach, reach + 1)
        trials = [centre + step * np.array([x, y]) for x in lattice for y in lattice]
        fits = [_likelihood(10.0**trial, relative, days) for trial in trials]
        centre = trials[int(np.argmin([loss for loss, _ in fits]))]
    _, scale = _likelihood(10.0**centre, relative, days)
    parts = scale * np.array([1.0, *(10.0**centre)]) / size
    parts[size <= 1e-12] = 0  # a single member has no spread
    return _Shape(*(float(part) for part in np.sqrt(parts)))


def _likelihood(ratio: Reals, relative: Reals, days: _Days) -> tuple[float, float]:
    """Negative log-likelihood and best scale of a variance with parts `1, ratio`."""
    variance = np.array([1.0, *ratio]) @ relative
    scale = float(days.weight @ (days.error**2 / variance))
    return float(np.log(scale) + days.weight @ np.log(variance)), scale


def _quantiles(values: Reals, weight: Reals, levels: Sequence[float]) -> list[float]:
    """Weighted quantiles: the value below which a share `level` of the weight lies."""
    order = np.argsort(values)
    below = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    return [float(np.interp(level, below, values[order])) for level in levels]


def _coverage(flux: int, records: Sequence[_Record], fold: dict[str, int]) -> Iterator[Coverage]:
    """Coverage of the 50 % and 90 % intervals, each tower scored by a fit without its fold."""
    levels = (0.5, 0.9)
    found = []
    for number in sorted(set(fold.values())):
        learned = _gather([r for r in records if fold[r.cluster] != number], flux)
        shape = _fit(learned)
        ratio = np.abs(learned.error) / shape.sd(learned)
        multipliers = _quantiles(ratio, learned.weight, levels)
        for record in (r for r in records if fold[r.cluster] == number):
            found.append(_inside(record.sample(flux), shape, levels, multipliers))
    means = np.mean(found, axis=0)
    for level, (raw, calibrated) in zip(levels, means, strict=True):
        yield Coverage(level, round(float(raw), 4), round(float(calibrated), 4))


def _inside(
    days: _Days, shape: _Shape, levels: Sequence[float], multipliers: Sequence[float]
) -> list[tuple[float, float]]:
    """For each level, the share of days inside the raw and inside the calibrated interval."""
    error, sd = np.abs(days.error), shape.sd(days)
    normal = [NormalDist().inv_cdf(0.5 + level / 2) for level in levels]
    return [
        (float((error <= z * days.spread).mean()), float((error <= k * sd).mean()))
        for z, k in zip(normal, multipliers, strict=True)
    ]


def _mean_errors(flux: int, records: Sequence[_Record]) -> Iterator[MeanError]:
    """Errors of means of consecutive days, each tower weighing the same."""
    for length in MEAN_DAYS:
        squares = [np.mean(means**2) for means in _block_means(flux, records, length) if len(means)]
        if squares:
            yield MeanError(length, round(float(np.sqrt(np.mean(squares))), 4), len(squares))


def _block_means(flux: int, records: Sequence[_Record], length: int) -> Iterator[Reals]:
    """For each tower, mean errors of its blocks of `length` days with enough measured days."""
    for record in records:
        block = record.day // length
        error = record.observed[:, flux] - record.mean[:, flux]
        count = np.bincount(block)
        total = np.bincount(block, weights=error)
        enough = count >= max(1.0, _LEAST_MEASURED * length)
        yield total[enough] / count[enough]
