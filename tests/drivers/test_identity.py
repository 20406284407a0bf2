"""An identity follows exactly the chunks that a read touches: compared with what was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from upscale.drivers import cube as cube_module
from upscale.drivers.cube import DriverCube, open_cube
from upscale.drivers.identity import identities_over, read_identities, surface_identities
from upscale.drivers.tiles import read_features, read_surface
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.grid import Grid
from upscale.stores.manifest import place_of
from upscale.stores.verified import VerifiedStore

#: The globe in cells of 5 degrees, nodes of 10 degrees around them, half a year.
PRODUCT, NODES = Grid("g5", 36, 72, 5.0), Grid("n10", 18, 36, 10.0)
FIRST, COUNT, LENGTH = 4380, 45, 15
FEATURES = ("ta", "lat", "vpd", "ndvi", "sw_pot", "evi", "lw_in")
COMPOSITES = {"evi": 8}

#: Two tiles at the edges of the map, one at a corner, some between, one with a ragged edge.
TILES = [
    (slice(0, 6), slice(0, 9)), (slice(12, 18), slice(63, 72)), (slice(12, 18), slice(0, 9)),
    (slice(20, 23), slice(47, 54)), (slice(30, 36), slice(9, 18)), (slice(5, 6), slice(17, 18)),
]  # fmt: skip

#: Reads within the record, over its beginning, over its end, beyond it.
PERIODS = [(FIRST + 15, 12), (FIRST - 9, 14), (FIRST + 40, 30), (FIRST + 60, 5)]


def write(url: str, meteo: Grid, count: int = COUNT) -> str:
    """Meteorology on `meteo`, two satellite series; every value differs from the others."""
    create_cube(url, title="made", source="test", day_definition="utc")
    share = np.full(PRODUCT.shape, 100.0)
    random = np.random.default_rng(7)
    classes = random.integers(1, 14, PRODUCT.shape)
    write_static(
        url, PRODUCT, igbp=classes, koppen=classes, sftlf=share, elevation=3 * share, chunk=10
    )
    land = random.random(NODES.shape) < 0.9 if meteo == NODES else None
    chunk = (LENGTH, 9, 12)
    spec = SeriesSpec("meteo", meteo, FIRST, count, ("ta", "vpd"), "float32", chunk, growing=True)
    create_series(url, spec, land)
    seen = SeriesSpec("satellite", PRODUCT, FIRST, count, ("ndvi", "evi"), "int16", chunk, True)
    create_series(url, seen)
    for group, grid, names in (
        ("meteo", meteo, ("ta", "vpd")),
        ("satellite", PRODUCT, ("ndvi", "evi")),
    ):
        for name in names:
            values = random.random((COUNT + 30, *grid.shape))[:count]
            flags = values > 0.3 if group == "satellite" else None
            write_series(url, group, name, (0, 0, 0), values, flags)
    seal(url)
    return url


@pytest.fixture(scope="module", params=["nodes", "cells"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cube whose meteorology is interpolated, and one that has it on the product grid."""
    place = tmp_path_factory.mktemp("identity") / "c.zarr"
    return write(str(place), NODES if request.param == "nodes" else PRODUCT)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of what sealed cubes are asked for from now on."""
    asked: list[str] = []

    class RecordingStore(VerifiedStore):  # type: ignore[misc]
        async def get(self, key: str, *rest: Any, **named: Any) -> Any:
            asked.append(key)
            return await super().get(key, *rest, **named)

    monkeypatch.setattr(cube_module, "VerifiedStore", RecordingStore)
    return asked


def with_other_chunk(cube: DriverCube, array: str, place: tuple[int, ...]) -> DriverCube:
    """The cube with another digest of one chunk."""
    assert cube.manifest is not None
    known = cube.manifest.arrays[array]
    digests = known.digests.copy()
    digests[place] ^= 1
    arrays = {**cube.manifest.arrays, array: replace(known, digests=digests)}
    return replace(cube, manifest=replace(cube.manifest, arrays=arrays))


def chunks(cube: DriverCube, groups: tuple[str, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every place for a chunk of the series or layers of some groups."""
    assert cube.manifest is not None
    for array, known in cube.manifest.arrays.items():
        group, name = array.split("/")
        if group in groups and name not in {"time", "lat", "lon", "land"}:
            yield from ((array, place) for place in np.ndindex(*known.digests.shape[:-1]))


@pytest.mark.parametrize("period", PERIODS)
def test_a_changed_chunk_changes_exactly_the_tiles_that_read_it(
    url: str, keys: list[str], period: tuple[int, int]
) -> None:
    cube = open_cube(url)
    read = []
    for rows, cols in TILES:
        surface = read_surface(cube, rows, cols)
        del keys[:]
        read_features(cube, surface, FEATURES, *period, COMPOSITES)
        read.append({place_of(key) for key in keys})
    before = read_identities(cube, PRODUCT, TILES, FEATURES, *period, COMPOSITES)
    reached = 0
    for array, place in chunks(cube, ("meteo", "satellite")):
        other = with_other_chunk(cube, array, place)
        after = read_identities(other, PRODUCT, TILES, FEATURES, *period, COMPOSITES)
        changed = (after != before).all(axis=1)
        expected = [(array, place) in touched for touched in read]
        assert changed.tolist() == expected, f"{array} {place}"
        assert ((after == before).all(axis=1) == ~changed).all()
        reached += any(expected)
    assert (reached > 10) == (period[0] <= FIRST + COUNT)


def test_a_changed_layer_changes_exactly_the_tiles_that_lie_on_it(
    url: str, keys: list[str]
) -> None:
    cube = open_cube(url)
    region = PRODUCT.crop(slice(5, 36), slice(9, 72))
    tiles = [
        (slice(0, 7), slice(0, 3)),
        (slice(7, 12), slice(20, 29)),
        (slice(30, 31), slice(62, 63)),
    ]
    read = []
    for rows, cols in tiles:
        del keys[:]
        read_surface(
            cube, slice(rows.start + 5, rows.stop + 5), slice(cols.start + 9, cols.stop + 9)
        )
        read.append({place_of(key) for key in keys})
    before = surface_identities(cube, region, tiles)
    for array, place in chunks(cube, ("static",)):
        after = surface_identities(with_other_chunk(cube, array, place), region, tiles)
        expected = [(array, place) in touched for touched in read]
        assert (after != before).all(axis=1).tolist() == expected, f"{array} {place}"


def test_a_region_and_the_globe_tell_the_same_of_a_place(url: str) -> None:
    cube = open_cube(url)
    region = PRODUCT.crop(slice(10, 30), slice(20, 60))
    here = read_identities(cube, region, [(slice(2, 8), slice(0, 9))], FEATURES, FIRST, 20)
    there = read_identities(cube, PRODUCT, [(slice(12, 18), slice(20, 29))], FEATURES, FIRST, 20)
    np.testing.assert_array_equal(here, there)


def test_more_days_leave_the_identity_of_earlier_reads(tmp_path: Path) -> None:
    short, long = (write(str(tmp_path / f"{n}.zarr"), NODES, n) for n in (COUNT, COUNT + 30))
    for first, count, same in [
        (FIRST - 5, 40, True),
        (FIRST + 7, 20, True),
        (FIRST + 7, 40, False),
    ]:
        found = [
            read_identities(open_cube(url), PRODUCT, TILES, FEATURES, first, count)
            for url in (short, long)
        ]
        assert (found[0] == found[1]).all() == same
        assert same or (found[0] != found[1]).all()


def test_a_node_that_becomes_land_concerns_the_tiles_around_it(tmp_path: Path) -> None:
    url = write(str(tmp_path / "c.zarr"), NODES)
    before = read_identities(open_cube(url), PRODUCT, TILES, ("ta",), FIRST, 9)
    mask: Any = zarr.open_group(url, mode="r+")["meteo/land"]
    mask[0, 0] = 1 - mask[0, 0]
    seal(url)
    after = read_identities(open_cube(url), PRODUCT, TILES, ("ta",), FIRST, 9)
    changed = (after != before).any(axis=1)
    assert changed[0]
    assert changed[1]  # through 180 degrees
    assert not changed[3]


def test_days_features_and_their_order_are_part_of_an_identity(url: str) -> None:
    cube = open_cube(url)

    def found(features: tuple[str, ...] = FEATURES, first: int = FIRST, count: int = 20) -> Any:
        return tuple(map(tuple, read_identities(cube, PRODUCT, TILES, features, first, count)))

    others = [found(), found(FEATURES[::-1]), found(("ta",)), found(("vpd",)), found(count=21),
              found(first=FIRST - 1)]  # fmt: skip
    assert len(set(others)) == len(others)
    assert found(("ta", "sw_pot", "lw_in")) == found(("ta",))


def test_a_cube_that_is_not_sealed_has_one_identity(tmp_path: Path) -> None:
    url = write(str(tmp_path / "c.zarr"), NODES)
    old = replace(open_cube(url), manifest=None)
    found = read_identities(old, PRODUCT, TILES, FEATURES, FIRST, 20)
    assert (found == found[0]).all()
    np.testing.assert_array_equal(found, surface_identities(old, PRODUCT, TILES))
    other = replace(old, attributes={**old.attributes, "digest": "another"})
    assert (read_identities(other, PRODUCT, TILES, FEATURES, FIRST, 20) != found).all()


def test_the_identities_of_several_periods_are_those_of_each(url: str) -> None:
    cube = open_cube(url)
    found = identities_over(cube, PRODUCT, TILES, FEATURES, PERIODS, COMPOSITES)
    assert len(found) == len(PERIODS)
    for period, identities in zip(PERIODS, found, strict=True):
        alone = read_identities(open_cube(url), PRODUCT, TILES, FEATURES, *period, COMPOSITES)
        np.testing.assert_array_equal(identities, alone)
