"""Tiles of drivers: what a worker reads is what was written, wherever the tile begins."""

from typing import Any

import numpy as np
import pytest
import zarr

from upscale.drivers.composites import all_of_period, composite
from upscale.drivers.cube import DriverCube, DriverError, open_cube
from upscale.drivers.packing import packing_of
from upscale.drivers.tiles import (
    DERIVED,
    Surface,
    TileDrivers,
    missing_features,
    read_features,
    read_surface,
)
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.grid import Grid, load_grid
from upscale.grid.astronomy import day_length, potential_radiation

FEATURES = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length", "ndvi")
FIRST, DAYS = 4380, 50


def read(cube: DriverCube, rows: slice, cols: slice, **kwargs: Any) -> tuple[Surface, TileDrivers]:
    surface = read_surface(cube, rows, cols)
    period = {"first": FIRST, "count": DAYS} | kwargs
    return surface, read_features(cube, surface, FEATURES, **period)


def on_map(surface: Surface, values: np.ndarray) -> np.ndarray:
    """Values `(cell, ...)` back at their place `(row, col, ...)`, NaN elsewhere."""
    field = np.full((*surface.grid.shape, *values.shape[1:]), np.nan)
    field[surface.land] = values
    return field


def test_land_is_neither_water_nor_ice_nor_outside(packed: Any) -> None:
    surface = read_surface(open_cube(packed.url), slice(0, 40), slice(0, 60))
    assert surface.outside[:5].all()
    assert not surface.outside[5:].any()
    assert surface.water[5:, 40:].all()
    assert surface.ice.sum() == 1
    kinds = sum(k.astype(int) for k in (surface.outside, surface.water, surface.ice, surface.land))
    assert (kinds == 1).all()


@pytest.mark.parametrize(
    ("layer", "value", "bounds"),
    [
        ("igbp", 18, "0..17"),
        ("igbp", 255, "0..17"),
        ("koppen", 31, "0..30"),
        ("sftlf", 100.5, "0..100"),
        ("sftlf", -1, "0..100"),
    ],
)
def test_a_static_value_that_means_nothing_is_refused_with_its_place(
    scratch: Any, layer: str, value: float, bounds: str
) -> None:
    array: Any = zarr.open_group(scratch.url, mode="r+")[f"static/{layer}"]
    array[10, 12] = value
    array[11, 12:14] = value
    seal(scratch.url)
    cube = open_cube(scratch.url)
    message = (
        rf"static/{layer}: expected values in {bounds}, found 3 outside in this tile, "
        rf"the first {value} at 48.475 N 10.625 E; write the"
    )
    with pytest.raises(DriverError, match=message):
        read_surface(cube, slice(5, 25), slice(0, 20))
    elsewhere = read_surface(cube, slice(20, 40), slice(0, 20))
    assert elsewhere.land.any()


def test_features_come_by_cell_day_and_feature(packed: Any) -> None:
    surface, drivers = read(open_cube(packed.url), slice(0, 40), slice(0, 60))
    assert drivers.values.shape == (surface.land.sum(), DAYS, len(FEATURES))
    assert drivers.values.dtype == np.float32
    assert np.isfinite(drivers.values).all()


def test_interpolated_meteorology_has_the_weights_of_its_four_nodes(unpacked: Any) -> None:
    surface, drivers = read(open_cube(unpacked.url), slice(0, 40), slice(0, 60))
    there = on_map(surface, drivers.values[:, :, 0])[10, 12]
    # Cell 48.475 N, 10.625 E among the nodes 48.5 and 48.4, 10.6 and 10.7.
    assert (surface.grid.lat[10], surface.grid.lon[12]) == (48.475, 10.625)
    ta = unpacked.meteo["ta"].astype(float)
    row, col = 415 - 408, 1906 - 1898
    upper = 0.75 * ta[:, row, col] + 0.25 * ta[:, row, col + 1]
    lower = 0.75 * ta[:, row + 1, col] + 0.25 * ta[:, row + 1, col + 1]
    np.testing.assert_allclose(there, 0.75 * upper + 0.25 * lower, atol=1e-4)


def test_packing_costs_at_most_half_a_step(packed: Any, unpacked: Any) -> None:
    _, rough = read(open_cube(packed.url), slice(0, 40), slice(0, 60))
    _, exact = read(open_cube(unpacked.url), slice(0, 40), slice(0, 60))
    for i, name in enumerate(FEATURES):
        step = 0 if name in {"sw_pot", "day_length"} else packing_of(name).scale
        error = np.abs(rough.values[..., i] - exact.values[..., i]).max()
        assert error <= step / 2 + 2e-4


def test_astronomy_follows_latitude_and_day(packed: Any) -> None:
    surface, drivers = read(open_cube(packed.url), slice(10, 12), slice(3, 5))
    lat, days = np.repeat(surface.grid.lat, 2), np.arange(FIRST, FIRST + DAYS)
    np.testing.assert_array_equal(drivers.values[..., 4], potential_radiation(lat, days))
    np.testing.assert_array_equal(drivers.values[..., 5], day_length(lat, days))


def test_latitude_and_longitude_are_those_of_the_cell_on_every_day(packed: Any) -> None:
    cube = open_cube(packed.url)
    surface = read_surface(cube, slice(5, 15), slice(0, 30))
    read = read_features(cube, surface, ("lat", "lon"), FIRST, 3)
    row, col = np.nonzero(surface.land)
    for day in range(3):
        np.testing.assert_allclose(read.values[:, day, 0], surface.grid.lat[row], rtol=1e-6)
        np.testing.assert_allclose(read.values[:, day, 1], surface.grid.lon[col], rtol=1e-6)
    assert missing_features(cube, ("lat", "lon")) == ()


def test_longitude_is_refused_where_the_place_has_none() -> None:
    with pytest.raises(ValueError, match="expected longitudes"):
        DERIVED["lon"](np.zeros(2), np.arange(3))


def test_satellite_values_and_flags_are_those_of_the_cell(unpacked: Any) -> None:
    surface, drivers = read(open_cube(unpacked.url), slice(5, 25), slice(3, 23))
    land = surface.land
    ndvi = unpacked.ndvi[:, 5:25, 3:23][:, land].T
    np.testing.assert_array_equal(drivers.values[..., 6], ndvi)
    np.testing.assert_array_equal(drivers.filled, unpacked.filled[:, 5:25, 3:23][:, land].T)


def test_a_coastal_cell_without_a_land_node_is_marked_as_filled(unpacked: Any) -> None:
    """Land nodes end at 11.8 E; the cells from 11.9 E on borrow from the coast."""
    cube = open_cube(unpacked.url)
    surface = read_surface(cube, slice(5, 25), slice(20, 40))
    drivers = read_features(cube, surface, ("ta", "p"), FIRST, 5)
    edge = np.broadcast_to(surface.grid.lon > 11.9, surface.land.shape)
    assert np.isfinite(drivers.values).all()
    np.testing.assert_array_equal(drivers.borrowed, edge[surface.land])
    assert drivers.borrowed.any()
    assert not drivers.filled.any()


@pytest.mark.parametrize("size", [7, 10, 20])
@pytest.mark.parametrize("kind", ["packed", "unpacked"])
def test_a_tile_is_the_crop_of_the_whole_bit_for_bit(
    request: pytest.FixtureRequest, kind: str, size: int
) -> None:
    cube = open_cube(request.getfixturevalue(kind).url)
    surface, drivers = read(cube, slice(0, 40), slice(0, 60))
    values = on_map(surface, drivers.values)
    filled, borrowed = (on_map(surface, flags) for flags in (drivers.filled, drivers.borrowed))
    for top in range(0, 40, size):
        for left in range(0, 60, size):
            rows, cols = slice(top, min(top + size, 40)), slice(left, min(left + size, 60))
            part, there = read(cube, rows, cols)
            np.testing.assert_array_equal(on_map(part, there.values), values[rows, cols])
            np.testing.assert_array_equal(on_map(part, there.filled), filled[rows, cols])
            np.testing.assert_array_equal(on_map(part, there.borrowed), borrowed[rows, cols])


def test_days_read_alone_are_the_days_of_the_whole(packed: Any) -> None:
    cube = open_cube(packed.url)
    _, whole = read(cube, slice(5, 20), slice(0, 20))
    _, part = read(cube, slice(5, 20), slice(0, 20), first=FIRST + 13, count=9)
    np.testing.assert_array_equal(part.values, whole.values[:, 13:22])
    np.testing.assert_array_equal(part.filled, whole.filled[:, 13:22])


def test_days_outside_the_record_are_missing_and_not_invented(packed: Any) -> None:
    cube = open_cube(packed.url)
    _, drivers = read(cube, slice(5, 20), slice(0, 20), first=FIRST - 10, count=DAYS + 20)
    inside = np.zeros(DAYS + 20, bool)
    inside[10:-10] = True
    measured = drivers.values[..., [0, 1, 2, 3, 6]]
    assert np.isfinite(measured[:, inside]).all()
    assert np.isnan(measured[:, ~inside]).all()
    assert np.isfinite(drivers.values[..., 4:6]).all()
    assert not drivers.filled[:, ~inside].any()
    _, before = read(cube, slice(5, 20), slice(0, 20), first=FIRST - 100, count=10)
    assert np.isnan(before.values[..., 0]).all()


def test_a_driver_that_the_cube_lacks_is_missing(packed: Any) -> None:
    cube = open_cube(packed.url)
    surface = read_surface(cube, slice(5, 20), slice(0, 20))
    drivers = read_features(cube, surface, ("ta", "lw_in"), FIRST, 10)
    assert np.isfinite(drivers.values[..., 0]).all()
    assert np.isnan(drivers.values[..., 1]).all()


def test_a_gap_day_stays_missing_while_the_coast_is_filled(scratch: Any) -> None:
    ta = scratch.meteo["ta"].copy()
    ta[7] = np.nan
    write_series(scratch.url, "meteo", "ta", (0, 0, 0), ta)
    seal(scratch.url)
    surface, drivers = read(open_cube(scratch.url), slice(5, 40), slice(20, 40))
    gap = np.isnan(drivers.values[..., 0])
    assert gap[:, 7].all()
    assert gap.sum() == surface.land.sum()
    assert np.isfinite(drivers.values[..., 1:4]).all()


def test_a_tile_of_water_has_no_cells(packed: Any) -> None:
    surface, drivers = read(open_cube(packed.url), slice(20, 40), slice(40, 60))
    assert not surface.land.any()
    assert drivers.values.shape == (0, DAYS, len(FEATURES))


def test_an_interpolated_group_needs_to_know_its_land(tmp_path: Any) -> None:
    grid = Grid("small", 4, 4, 0.05, north=48.1, west=10.1)
    nodes = load_grid("era5-land-0p1").crop(slice(415, 425), slice(1895, 1910))
    cube = one_driver(str(tmp_path / "cube.zarr"), grid, nodes, None)
    surface = read_surface(cube, slice(0, 4), slice(0, 4))
    with pytest.raises(DriverError, match="group meteo is interpolated and needs its array 'land'"):
        read_features(cube, surface, ("ta",), 0, 2)


def test_a_group_on_another_lattice_is_no_part_of_the_product_grid(tmp_path: Any) -> None:
    grid = Grid("small", 4, 4, 0.05, north=48.1, west=10.1)
    shifted = Grid("shifted", 8, 8, 0.05, north=48.22, west=10.03)
    cube = one_driver(str(tmp_path / "cube.zarr"), grid, shifted, None)
    surface = read_surface(cube, slice(0, 4), slice(0, 4))
    with pytest.raises(DriverError, match=r"is not part of .*shifted"):
        read_features(cube, surface, ("ta",), 0, 2)


def test_meteorology_crosses_180_degrees(tmp_path: Any) -> None:
    """179.975 E lies between the nodes 179.9 E and 180 W of the same circle."""
    grid = load_grid("global-0p05").crop(slice(1800, 1804), slice(7190, 7200))
    nodes = load_grid("era5-land-0p1").crop(slice(895, 907), slice(0, 3600))
    field = np.broadcast_to(np.abs(nodes.lon).astype(np.float32), (2, *nodes.shape))
    cube = one_driver(
        str(tmp_path / "cube.zarr"), grid, nodes, field / 10, np.ones(nodes.shape, bool)
    )
    surface = read_surface(cube, slice(0, 4), slice(0, 10))
    drivers = read_features(cube, surface, ("ta",), 0, 2)
    there = on_map(surface, drivers.values[:, 0, 0])
    np.testing.assert_allclose(there[2], grid.lon / 10, atol=1e-5)


def one_driver(
    url: str,
    grid: Grid,
    nodes: Grid,
    values: np.ndarray | None,
    land: np.ndarray | None = None,
) -> DriverCube:
    """A cube of land alone with two days of air temperature on `nodes`."""
    create_cube(url, title="one driver", source="test", day_definition="utc")
    codes, full = np.ones(grid.shape, np.uint8), np.full(grid.shape, 100.0)
    write_static(url, grid, igbp=codes, koppen=codes, sftlf=full, elevation=full)
    create_series(url, SeriesSpec("meteo", nodes, 0, 2, ("ta",), "float32"), land)
    block = np.zeros((2, *nodes.shape), np.float32) if values is None else values
    write_series(url, "meteo", "ta", (0, 0, 0), block)
    seal(url)
    return open_cube(url)


def test_a_composite_is_the_maximum_of_its_period_whatever_days_are_asked_for(packed: Any) -> None:
    cube = open_cube(packed.url)
    surface = read_surface(cube, slice(5, 15), slice(0, 30))
    whole = read_features(cube, surface, ("ndvi",), FIRST - 20, DAYS + 40, {"ndvi": 8})
    daily = read_features(cube, surface, ("ndvi",), FIRST - 20, DAYS + 40)
    days = FIRST - 20 + np.arange(DAYS + 40)
    expected = composite(daily.values[:, :, 0], days, 8)
    np.testing.assert_array_equal(whole.values[:, :, 0], expected)
    part = read_features(cube, surface, ("ndvi",), FIRST + 7, 3, {"ndvi": 8})
    np.testing.assert_array_equal(part.values, whole.values[:, 27:30])
    np.testing.assert_array_equal(part.filled, whole.filled[:, 27:30])


def test_a_composite_counts_as_filled_where_none_of_its_days_was_observed(packed: Any) -> None:
    cube = open_cube(packed.url)
    surface = read_surface(cube, slice(5, 15), slice(0, 30))
    days = FIRST + np.arange(DAYS)
    read = read_features(cube, surface, ("ndvi",), FIRST, DAYS, {"ndvi": 2})
    cells = surface.land
    flags = packed.filled[:, 5:15, :30][:, cells].T
    assert 0 < read.filled.mean() < flags.mean()
    np.testing.assert_array_equal(read.filled, all_of_period(flags, days, 2))


def test_a_composite_of_the_past_knows_nothing_of_what_follows(packed: Any) -> None:
    cube = open_cube(packed.url)
    surface = read_surface(cube, slice(5, 15), slice(0, 30))
    days = FIRST + np.arange(DAYS)
    daily = read_features(cube, surface, ("ndvi",), FIRST, DAYS).values[:, :, 0].copy()
    before = FIRST + 21
    daily[:, 21:] = np.nan
    past = read_features(cube, surface, ("ndvi",), FIRST, 21, {"ndvi": 8}, before)
    np.testing.assert_array_equal(past.values[:, :, 0], composite(daily, days, 8)[:, :21])
    whole = read_features(cube, surface, ("ndvi",), FIRST, 21, {"ndvi": 8})
    assert (past.values != whole.values).any()
