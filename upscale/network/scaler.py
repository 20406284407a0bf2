"""Scaling of drivers and fluxes between physical units and the numbers that a network reads.

A scaler knows its features by name, unit and order, and refuses any others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale.variables import FLUXES, VARIABLES, variable

Transform = Literal["identity", "log1p"]
Floats = NDArray[np.float32]


class ScalerError(ValueError):
    """Drivers or fluxes differ from those that the model was trained on."""


@dataclass(frozen=True)
class Feature:
    """One dynamic predictor.

    required: True if a day without this feature cannot be predicted. mean, std: of the
    transformed value; minimum, maximum: training range, in `units`. composite_days: 0 for a
    daily series; n if the model learned from maxima over fixed periods of n days
    (`upscale.drivers.composites`), which are also computed for prediction. ScalerError for a
    name or unit that `upscale.variables` does not list.
    """

    name: str
    units: str
    required: bool
    mean: float
    std: float
    minimum: float
    maximum: float
    transform: Transform = "identity"
    composite_days: int = 0

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        _check_known(self.name, self.units, "feature")
        _check_spread(self.name, self.mean, self.std)
        _check_composite(self.name, self.composite_days)
        if not self.minimum <= self.maximum:
            raise ScalerError(
                f"feature {self.name}: expected minimum <= maximum, found "
                f"{self.minimum} and {self.maximum}: fit the scaler again"
            )


@dataclass(frozen=True)
class FluxScale:
    """Mean and standard deviation of a flux over the training data, in `units`."""

    name: str
    units: str
    mean: float
    std: float

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        _check_known(self.name, self.units, "flux")
        _check_spread(self.name, self.mean, self.std)


@dataclass(frozen=True)
class Scaler:
    """The ordered features and fluxes of a model.

    Channels, the network's input, are the features (0 where missing) followed by one mask
    (1 = present) for each feature that is not required.
    """

    features: tuple[Feature, ...]
    fluxes: tuple[FluxScale, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or not self.names:
            raise ScalerError(f"expected each feature once, found {', '.join(self.names)!r}")
        found = tuple(flux.name for flux in self.fluxes)
        if found != FLUXES:
            raise ScalerError(f"expected the fluxes {', '.join(FLUXES)}, found {', '.join(found)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the features without which a day cannot be predicted."""
        return tuple(feature.name for feature in self.features if feature.required)

    @property
    def composites(self) -> dict[str, int]:
        """Length in days of the composites among the features, by name."""
        return {f.name: f.composite_days for f in self.features if f.composite_days}

    @property
    def channels(self) -> int:
        """Width of the network's input."""
        return len(self.features) + len(self._optional)

    @cached_property
    def _optional(self) -> list[int]:
        return [i for i, feature in enumerate(self.features) if not feature.required]

    @cached_property
    def _constants(self) -> tuple[Tensor, Tensor]:
        return _pair(self.features)

    @cached_property
    def _flux_constants(self) -> tuple[Tensor, Tensor]:
        return _pair(self.fluxes)

    def check_columns(self, names: Sequence[str], units: Sequence[str]) -> None:
        """Refuse columns other than the features of this model, in its order and units.

        ScalerError names the columns that are unknown, missing, in the wrong order or in the
        wrong unit.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ScalerError(
                f"unknown features {', '.join(unknown)}: expected {', '.join(self.names)}; "
                "leave out what the model was not trained on"
            )
        self._check_missing(names, self.names)
        if tuple(names) != self.names:
            raise ScalerError(
                f"features in the wrong order: expected {', '.join(self.names)}, found "
                f"{', '.join(names)}; put the columns into the model's order"
            )
        self._check_units(dict(zip(names, units, strict=True)))

    def check_available(self, units: Mapping[str, str]) -> None:
        """Refuse a source of drivers, {name: units}, with which this model cannot run.

        The source may hold other variables, too, and may lack features that are not required.
        """
        self._check_missing(list(units), self.required)
        self._check_units({name: unit for name, unit in units.items() if name in self.names})

    def _check_missing(self, found: Sequence[str], expected: Sequence[str]) -> None:
        missing = [name for name in expected if name not in found]
        if missing:
            raise ScalerError(
                f"missing features {', '.join(missing)}: expected {', '.join(expected)}, found "
                f"{', '.join(found) or 'none'}; add them (NaN where a value is unknown)"
            )

    def _check_units(self, units: Mapping[str, str]) -> None:
        expected = {feature.name: feature.units for feature in self.features}
        for name, found in units.items():
            if found != expected[name]:
                raise ScalerError(
                    f"wrong units of {name}: expected {expected[name]!r}, found {found!r}; "
                    "convert the values and state the expected unit"
                )

    def scale(self, drivers: Floats) -> Floats:
        """Channels `(..., channel)` of drivers `(..., feature)` in physical units, NaN = missing.

        ScalerError if the length of the last axis is not the number of features.
        """
        scaled: Floats = self.scale_tensor(torch.from_numpy(drivers)).numpy()
        return scaled

    def scale_tensor(self, drivers: Tensor) -> Tensor:
        """As `scale`, for a tensor on any device; float32."""
        if drivers.shape[-1] != len(self.features):
            raise ScalerError(
                f"expected {len(self.features)} features ({', '.join(self.names)}) on the last "
                f"axis, found shape {tuple(drivers.shape)}"
            )
        mean, std = (part.to(drivers.device) for part in self._constants)
        values = drivers.to(torch.float32)
        present = torch.isfinite(values)
        scaled = torch.where(present, (self._transform(values) - mean) / std, 0.0)
        return torch.cat([scaled, present[..., self._optional].to(torch.float32)], dim=-1)

    def _transform(self, values: Tensor) -> Tensor:
        logs = [i for i, feature in enumerate(self.features) if feature.transform == "log1p"]
        if not logs:
            return values
        values = values.clone()
        for i in logs:
            values[..., i] = torch.log1p(values[..., i].clamp(min=0))
        return values

    def missing_required(self, drivers: Floats) -> NDArray[np.bool_]:
        """True `(...)` where a required feature of drivers `(..., feature)` is missing."""
        needed = [i for i, feature in enumerate(self.features) if feature.required]
        return np.asarray(~np.isfinite(drivers[..., needed]).all(axis=-1))

    def outside(self, drivers: Floats) -> NDArray[np.bool_]:
        """True `(...)` where any feature of drivers `(..., feature)` leaves its training range."""
        low = np.array([feature.minimum for feature in self.features], np.float32)
        high = np.array([feature.maximum for feature in self.features], np.float32)
        return np.asarray(((drivers < low) | (drivers > high)).any(axis=-1))

    def flux_constants(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `(3,)` of the fluxes, g m-2 d-1, float32."""
        mean, std = self._flux_constants
        return mean.to(device), std.to(device)

    def scale_fluxes(self, fluxes: Floats) -> Floats:
        """Scaled fluxes of `(..., 3)` gpp, reco, nee in g m-2 d-1; NaN stays NaN."""
        mean, std = (part.numpy() for part in self._flux_constants)
        return np.asarray((fluxes - mean) / std, np.float32)

    def unscale(self, scaled: Floats) -> Floats:
        """Fluxes `(..., 3)` in g m-2 d-1 of scaled fluxes."""
        mean, std = (part.numpy() for part in self._flux_constants)
        return np.asarray(scaled * std + mean, np.float32)

    def unscale_tensor(self, scaled: Tensor) -> Tensor:
        """As `unscale`, for a tensor on any device."""
        mean, std = self.flux_constants(scaled.device)
        return scaled * std + mean


def fit_scaler(
    names: Sequence[str],
    drivers: Floats,
    fluxes: Floats,
    required: Sequence[str] = ("ta", "sw_in"),
    log1p: Sequence[str] = ("p",),
) -> Scaler:
    """The scaler of training data; missing values are ignored.

    drivers: `(..., feature)` in the units of `upscale.variables`; fluxes: `(..., 3)` gpp,
    reco, nee in g m-2 d-1. ScalerError for an unknown name and for a feature without any value.
    """
    if drivers.shape[-1] != len(names) or fluxes.shape[-1] != len(FLUXES):
        raise ScalerError(
            f"expected drivers (..., {len(names)}) and fluxes (..., {len(FLUXES)}), found "
            f"{drivers.shape} and {fluxes.shape}"
        )
    features = tuple(
        _fit_feature(name, drivers[..., i], name in required, "log1p" if name in log1p else None)
        for i, name in enumerate(names)
    )
    scales = tuple(_fit_flux(name, fluxes[..., i]) for i, name in enumerate(FLUXES))
    return Scaler(features, scales)


def _fit_feature(
    name: str, column: Floats, required: bool, log: Literal["log1p"] | None
) -> Feature:
    """Mean, standard deviation and range of the values of one feature."""
    values = _values(name, column)
    transformed = np.log1p(values.clip(min=0)) if log else values
    return Feature(
        name=name,
        units=_units(name),
        required=required,
        mean=float(transformed.mean()),
        std=float(transformed.std()) or 1.0,
        minimum=float(values.min()),
        maximum=float(values.max()),
        transform=log or "identity",
    )


def _fit_flux(name: str, column: Floats) -> FluxScale:
    values = _values(name, column)
    return FluxScale(name, _units(name), float(values.mean()), float(values.std()) or 1.0)


def _values(name: str, column: Floats) -> NDArray[np.float64]:
    """The finite values of a column, double precision."""
    values = column[np.isfinite(column)].astype(np.float64)
    if not values.size:
        raise ScalerError(f"{name} has no value in the training data: omit it or add values")
    return values


def _units(name: str) -> str:
    if name not in VARIABLES:
        raise ScalerError(f"unknown feature {name!r}: expected one of {', '.join(VARIABLES)}")
    return variable(name).units


def _check_known(name: str, units: str, what: str) -> None:
    expected = _units(name)
    if units != expected:
        raise ScalerError(f"wrong units of {what} {name}: expected {expected!r}, found {units!r}")


def _check_composite(name: str, days: int) -> None:
    if days and (days < 0 or variable(name).kind != "satellite"):
        raise ScalerError(
            f"feature {name}: expected composite_days of at least 0, and 0 for all but satellite "
            f"series, found {days}: correct the release"
        )


def _check_spread(name: str, mean: float, std: float) -> None:
    if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
        raise ScalerError(
            f"{name}: expected a finite mean and std > 0, found {mean} and {std}: "
            "fit the scaler again"
        )


def _pair(rows: Sequence[Feature] | Sequence[FluxScale]) -> tuple[Tensor, Tensor]:
    mean = torch.tensor([row.mean for row in rows], dtype=torch.float32)
    return mean, torch.tensor([row.std for row in rows], dtype=torch.float32)
