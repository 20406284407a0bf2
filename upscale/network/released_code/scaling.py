"""Features of the released code, and how they are scaled.

The released code reads, in this order, the variables of an ERA5-Land set, those of MOD09GA,
latitude and longitude; all must be present on every day. It scales them and the fluxes with
means and standard deviations that are not stored in the file of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from upscale.network.releases.manifest import faults_of
from upscale.network.releases.release import ReleaseError
from upscale.network.scaler import Feature, FluxScale, Scaler, ScalerError
from upscale.stores.broken import BROKEN, in_short
from upscale.variables import FLUXES, VARIABLES, variable

#: MOD09GA in the order of the released table.
MODIS = (
    *(f"sur_refl_b{band:02d}" for band in range(1, 8)),
    "sensor_zenith", "sensor_azimuth", "solar_zenith", "solar_azimuth", "clouds",
)  # fmt: skip

#: Stands for the six ERA5-Land variables of the released "minimal" set, whose names are in a
#: file beside the data that is not published with the code: an assumption.
MINIMAL = ("ta", "p", "sw_in", "vpd", "lw_in", "pa")

#: Kinds of variables that can be features; fluxes are predicted, static layers give classes.
_DRIVERS = ("meteo", "derived", "satellite")

#: The features of a decoder that reads 20 drivers.
FEATURES = (*MINIMAL, *MODIS, "lat", "lon")

#: Value in the unit of the table = factor * value in the other unit + offset.
_UNITS: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType(
    {
        ("K", "degC"): (1.0, -273.15),
        ("m d-1", "mm d-1"): (1000.0, 0.0),
        ("J m-2 d-1", "W m-2"): (1 / 86400, 0.0),
        ("Pa", "kPa"): (1e-3, 0.0),
        ("Pa", "hPa"): (1e-2, 0.0),
    }
)

#: Mean and standard deviation for names without given constants: those of the towers of
#: tamrl-met-v1 for `ta`, `p`, `sw_in`, `vpd` and the fluxes, likely values for the rest.
STAND_INS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "ta": (12.1, 9.1), "p": (1.6, 5.2), "sw_in": (197.0, 100.0), "vpd": (8.4, 7.7),
        "lw_in": (310.0, 55.0), "pa": (95.0, 6.0), "sur_refl_b01": (0.25, 0.24),
        "sur_refl_b02": (0.37, 0.20), "sur_refl_b03": (0.23, 0.25), "sur_refl_b04": (0.25, 0.23),
        "sur_refl_b05": (0.33, 0.15), "sur_refl_b06": (0.23, 0.11), "sur_refl_b07": (0.15, 0.09),
        "sensor_zenith": (30.0, 18.0), "sensor_azimuth": (0.0, 95.0),
        "solar_zenith": (42.0, 16.0), "solar_azimuth": (130.0, 45.0), "clouds": (0.55, 0.45),
        "lat": (43.0, 18.0), "lon": (-10.0, 80.0), "gpp": (2.7, 3.4), "reco": (2.2, 2.4),
        "nee": (-0.5, 2.0),
    }
)  # fmt: skip


class Constants(BaseModel):
    """How one feature or flux was scaled: (value - mean) / std.

    units: of mean, std, minimum and maximum, by default those of `upscale.variables`; minimum,
    maximum: training range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    mean: float
    std: float = Field(gt=0)
    units: str | None = None
    minimum: float | None = None
    maximum: float | None = None


class Scaling(BaseModel):
    """A file of constants; features: in the order in which the decoder reads them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[Constants, ...] = ()
    fluxes: tuple[Constants, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(each.name for each in self.features)


def read_scaling(path: Path) -> Scaling:
    """The constants in a YAML file; ReleaseError names every key that is wrong."""
    try:
        return Scaling.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, *BROKEN) as error:
        text = faults_of(error, "file") if isinstance(error, ValidationError) else in_short(error)
        raise ReleaseError(
            f"{path} does not hold scaling constants: {text}. Expected the lists 'features' and "
            "'fluxes' of name, mean, std and, where they differ from the table, units"
        ) from None


def choose_features(width: int, asked: Sequence[str], scaling: Scaling) -> tuple[str, ...]:
    """The features of a decoder that reads `width` drivers.

    asked: names given by the user; without them those of `scaling`, and without either
    `FEATURES`. ReleaseError if their number is not `width` or a name is unknown.
    """
    names = tuple(asked) or scaling.names or FEATURES
    drivers = [row.name for row in VARIABLES.values() if row.kind in _DRIVERS]
    unknown = [name for name in names if name not in drivers]
    if unknown:
        raise ReleaseError(
            f"unknown features {', '.join(unknown)}: expected names out of {', '.join(drivers)}"
        )
    if len(names) != width:
        raise ReleaseError(
            f"the decoder reads {width} drivers, but there are {len(names)} features "
            f"({', '.join(names)}): name all of them, in its order, with --features or in the "
            "file of --scaling"
        )
    return names


def make_scaler(names: Sequence[str], scaling: Scaling) -> tuple[Scaler, tuple[str, ...]]:
    """The scaler of some features, and the names whose constants are stand-ins.

    ReleaseError for a feature without constants, for unused constants, or for a unit that
    cannot be converted.
    """
    _check_used("features", scaling.features, names)
    _check_used("fluxes", scaling.fluxes, FLUXES)
    given = {each.name: each for each in (*scaling.features, *scaling.fluxes)}
    assumed = tuple(name for name in (*names, *FLUXES) if name not in given)
    lacking = [name for name in assumed if name not in STAND_INS]
    if lacking:
        raise ReleaseError(
            f"no scaling constants for {', '.join(lacking)}: give mean and std of each in the "
            "file of --scaling"
        )
    known = given | {name: _stand_in(name) for name in assumed}
    try:
        features = tuple(_feature(known[name]) for name in names)
        return Scaler(features, tuple(_flux(known[name]) for name in FLUXES)), assumed
    except ScalerError as error:
        raise ReleaseError(f"scaling constants: {error}") from None


def _check_used(part: str, given: Sequence[Constants], expected: Sequence[str]) -> None:
    """Refuse constants of a name that is not scaled, and repeated names."""
    names = [each.name for each in given]
    unused = [name for name in names if name not in expected]
    twice = sorted({name for name in names if names.count(name) > 1})
    if unused or twice:
        raise ReleaseError(
            f"scaling constants: expected {part} out of {', '.join(expected)}, each once, found "
            f"{', '.join(unused or twice)}: correct or remove them in the file of --scaling"
        )


def _stand_in(name: str) -> Constants:
    mean, std = STAND_INS[name]
    return Constants(name=name, mean=mean, std=std)


def _feature(given: Constants) -> Feature:
    """A feature; without a given range, its training range is its valid range."""
    row, (factor, offset) = variable(given.name), _conversion(given)
    low = row.valid_min if given.minimum is None else factor * given.minimum + offset
    high = row.valid_max if given.maximum is None else factor * given.maximum + offset
    mean, std = factor * given.mean + offset, factor * given.std
    return Feature(given.name, row.units, True, mean, std, low, high)


def _flux(given: Constants) -> FluxScale:
    factor, offset = _conversion(given)
    units = variable(given.name).units
    return FluxScale(given.name, units, factor * given.mean + offset, factor * given.std)


def _conversion(given: Constants) -> tuple[float, float]:
    """Factor and offset from the units of the given constants to those of the table."""
    ours = variable(given.name).units
    if given.units in (None, ours):
        return 1.0, 0.0
    found = _UNITS.get((str(given.units), ours))
    if found is None:
        known = [there for there, here in _UNITS if here == ours]
        raise ReleaseError(
            f"{given.name}: expected units {' or '.join([ours, *known])}, found {given.units}: "
            "convert its constants"
        )
    return found
