"""Clusters of towers that are not independent of each other, by single linkage.

Two towers less than 50 km apart share their weather and often the stand, and so do chains of such
towers. A tower is therefore no independent test of a model trained on another of its cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.grid.grid import EARTH_RADIUS

#: Towers closer than this are linked, km along the great circle.
REACH_KM = 50.0


def great_circle_km(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Distances `(place, place)` in km between places `(place,)` given in degrees (haversine)."""
    phi, lam = np.radians(np.asarray(lat, float)), np.radians(np.asarray(lon, float))
    half_lat = np.sin((phi[:, None] - phi) / 2) ** 2
    half_lon = np.sin((lam[:, None] - lam) / 2) ** 2
    chord = half_lat + np.cos(phi[:, None]) * np.cos(phi) * half_lon
    angle: NDArray[np.float64] = 2 * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return EARTH_RADIUS / 1000 * angle


def linked(lat: ArrayLike, lon: ArrayLike, reach_km: float = REACH_KM) -> NDArray[np.int64]:
    """Group `(place,)` of each place: the index of the first place of its group.

    lat, lon: `(place,)` degrees. Two places are in one group if a chain of places connects them
    in steps of at most `reach_km` (single linkage).
    """
    near = great_circle_km(lat, lon) <= reach_km
    group = np.arange(len(near))
    while True:  # each pass moves a label one step along a chain
        least = np.where(near, group, len(near)).min(axis=1, initial=len(near))
        if np.array_equal(least, group):
            return group
        group = least


def cluster_names(
    sites: Sequence[str], lat: ArrayLike, lon: ArrayLike, given: Sequence[str | None]
) -> list[str]:
    """The cluster of every site: the given one, otherwise by distance.

    given: name of the cluster, or None. A site without a name joins the nearest named site of its
    group; a group without any name is called `C_` and the name of its first site.
    """
    distance, group = great_circle_km(lat, lon), linked(lat, lon)
    known = np.array([name is not None for name in given], bool)
    names = []
    for i, name in enumerate(given):
        mates = np.flatnonzero(group == group[i])
        named = mates[known[mates]]
        nearest = given[int(named[np.argmin(distance[i, named])])] if named.size else None
        names.append(name or nearest or f"C_{min(sites[int(mate)] for mate in mates)}")
    return names
