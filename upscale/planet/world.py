"""The planet as a value that can be evaluated on any regular grid for any days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.planet import reflectance
from upscale.planet.climate import Site, site
from upscale.planet.meteo import NAMES, meteorology
from upscale.planet.reflectance import seen
from upscale.planet.relief import height_above_coast, relief
from upscale.planet.sphere import Floats
from upscale.planet.vegetation import Cover, cover
from upscale.planet.weather import BLOCK
from upscale.variables import ICE_CLASS, WATER_CLASS

Bools = NDArray[np.bool_]
Codes = NDArray[np.uint8]
Reals = NDArray[np.float64]

_PARTS = (np.arange(5) - 2) / 5  # positions in a cell at which the land fraction is sampled


@dataclass(frozen=True)
class PlanetSurface:
    """Static layers `(row, col)`.

    sftlf: land fraction in %. elevation: m, 0 at sea. igbp: class codes, WAT at sea. koppen:
    class codes, 0 at sea.
    """

    sftlf: Floats
    elevation: Floats
    igbp: Codes
    koppen: Codes


@dataclass(frozen=True)
class Planet:
    """A synthetic planet, different for every `seed`.

    A value depends only on seed, day and place, to the last bit, and not on the period, tile or
    order in which it is requested.
    """

    seed: int = 0

    def region(self, lat: ArrayLike, lon: ArrayLike) -> PlanetGrid:
        """The cells around centres `lat` `(row,)` and `lon` `(col,)`, degrees, -180..180.

        The region computes constant properties once: keep it for repeated use.
        """
        return PlanetGrid(self.seed, np.asarray(lat, float), np.asarray(lon, float))

    def surface(self, lat: ArrayLike, lon: ArrayLike) -> PlanetSurface:
        """Static layers; see `PlanetGrid.surface`."""
        return self.region(lat, lon).surface

    def meteo(self, lat: ArrayLike, lon: ArrayLike, days: ArrayLike) -> dict[str, Floats]:
        """Daily meteorology; see `PlanetGrid.meteo`."""
        return self.region(lat, lon).meteo(days)

    def satellite(
        self, lat: ArrayLike, lon: ArrayLike, days: ArrayLike, names: Iterable[str]
    ) -> dict[str, tuple[Floats, Bools]]:
        """Daily satellite series; see `PlanetGrid.satellite`."""
        return self.region(lat, lon).satellite(days, names)


@dataclass(frozen=True)
class PlanetGrid:
    """A regular grid on the planet, `lat` `(row,)` and `lon` `(col,)` in degrees."""

    seed: int
    lat: Reals
    lon: Reals
    _shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.lat.ndim != 1 or self.lon.ndim != 1:
            raise ValueError("expected latitudes (row,) and longitudes (col,) of a regular grid")
        object.__setattr__(self, "_shape", (self.lat.size, self.lon.size))

    @property
    def land(self) -> Bools:
        """Cells `(row, col)` with some land: those that have drivers."""
        return np.asarray(self._share > 0.0)

    @cached_property
    def surface(self) -> PlanetSurface:
        """Static layers of the region."""
        elevation = relief(self.seed, *self._centres).elevation.reshape(self._shape)
        igbp = np.full(self._shape, WATER_CLASS, np.uint8)
        koppen = np.zeros(self._shape, np.uint8)
        igbp[self.land], koppen[self.land] = self._plants.igbp, self._plants.koppen
        return PlanetSurface(self._share, np.where(self.land, elevation, 0), igbp, koppen)

    def meteo(self, days: ArrayLike, names: Iterable[str] = NAMES) -> dict[str, Floats]:
        """ta, sw_in, vpd, p `(day, row, col)` in the units of `upscale.variables`, NaN at sea.

        days: `(day,)` day numbers since 2000-01-01, in any order. names: a selection from
        `meteo.NAMES` and `meteo.MORE`; KeyError for any other name.
        """
        numbers, wanted = np.asarray(days, np.int64), tuple(names)
        result = {name: self._empty(numbers.size, self._shape) for name in wanted}
        for columns in _blocks(numbers):
            made = meteorology(self.seed, self._place, numbers[columns], wanted)
            for name, values in made.items():
                self._put(result[name], columns, values)
        return result

    def satellite(
        self, days: ArrayLike, names: Iterable[str] = reflectance.NAMES
    ) -> dict[str, tuple[Floats, Bools]]:
        """Values and `filled` flags `(day, row, col)` of each name; NaN over sea and ice.

        Raises KeyError for a name that is not in `reflectance.NAMES`.
        """
        numbers, wanted = np.asarray(days, np.int64), tuple(names)
        ice = self._plants.igbp == ICE_CLASS
        flags = np.zeros((numbers.size, *self._shape), bool)
        values = {name: self._empty(numbers.size, self._shape) for name in wanted}
        for columns in _blocks(numbers):
            made, filled = seen(self.seed, self._place, self._plants, numbers[columns], wanted)
            self._put(flags, columns, filled & ~ice[:, None])
            for name, series in made.items():
                self._put(values[name], columns, np.where(ice[:, None], np.nan, series))
        return {name: (series, flags) for name, series in values.items()}

    @staticmethod
    def _empty(days: int, shape: tuple[int, int]) -> Floats:
        return np.full((days, *shape), np.nan, np.float32)

    def _put(
        self, target: Floats | Bools, columns: NDArray[np.intp], values: Floats | Bools
    ) -> None:
        """Write `values` `(land pixel, day)` into `target` `(day, row, col)`."""
        flat = target.reshape(len(target), -1)
        flat[columns[:, None], np.flatnonzero(self.land)] = values.T

    @cached_property
    def _centres(self) -> tuple[Reals, Reals]:
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat.ravel(), lon.ravel()

    @cached_property
    def _place(self) -> Site:
        lat, lon = self._centres
        land = self.land.ravel()
        return site(self.seed, lat[land], lon[land])

    @cached_property
    def _plants(self) -> Cover:
        return cover(self.seed, self._place)

    @cached_property
    def _share(self) -> Floats:
        """Land fraction `(row, col)` in %, sampled at 25 points in cells near a coast."""
        lat, lon = self._centres
        height = height_above_coast(self.seed, lat, lon)
        share = np.where(height > 0, 100.0, 0.0).astype(np.float32)
        cell = self._cell()
        # Only cells whose height is this close to zero can contain a coast.
        coast = np.flatnonzero(np.abs(height) < 0.3 * cell**0.9)
        parts = [(y * cell, x * cell) for y in _PARTS for x in _PARTS]
        samples = [self._is_land(lat[coast] + y, lon[coast] + x) for y, x in parts]
        if cell > 0:
            share[coast] = 100.0 * np.mean(samples, axis=0)
        return share.reshape(self._shape)

    def _is_land(self, lat: Reals, lon: Reals) -> Bools:
        return height_above_coast(self.seed, np.clip(lat, -90.0, 90.0), lon) > 0.0

    def _cell(self) -> float:
        """Edge of a cell in degrees; 0 for a single point."""
        for axis in (self.lat, self.lon):
            if axis.size > 1:
                return round(abs(float(axis[1] - axis[0])), 6)
        return 0.0


def _blocks(days: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Indices of `days` that share a block of weather."""
    block = days // BLOCK
    return [np.flatnonzero(block == b) for b in np.unique(block)]
