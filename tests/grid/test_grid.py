"""Grids, tiles and areas: what everything else counts on."""

import numpy as np
import pytest
from rasterio.transform import from_origin, xy

from upscale import shipped
from upscale.grid import (
    EARTH_RADIUS,
    Grid,
    Tile,
    cell_areas,
    load_grid,
    tile_counts,
    tile_from_id,
    tiles_of,
)

SHIPPED = sorted(file.stem for file in shipped.folder("grids").glob("*.yaml"))
PRODUCT = load_grid("global-0p05")


def test_centres_of_the_product_grid_are_exact_decimals() -> None:
    assert PRODUCT.shape == (3600, 7200)
    assert PRODUCT.lat.tolist() == [round(89.975 - 0.05 * i, 3) for i in range(3600)]
    assert PRODUCT.lon.tolist() == [round(-179.975 + 0.05 * i, 3) for i in range(7200)]


def test_era5_land_nodes_lie_on_multiples_of_a_tenth_of_a_degree() -> None:
    nodes = load_grid("era5-land-0p1")
    assert nodes.lat[0] == 90
    assert nodes.lat[-1] == -90
    assert nodes.lon[0] == -180
    assert nodes.lon[-1] == 179.9
    assert nodes.wraps


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_grid_covers_the_whole_sphere(name: str) -> None:
    grid = load_grid(name)
    sphere = 4 * np.pi * EARTH_RADIUS**2
    assert cell_areas(grid).sum() * grid.cols == pytest.approx(sphere, rel=1e-12)


def test_areas_are_those_of_the_stated_sphere() -> None:
    quarter = cell_areas(Grid("quarter", 1, 4, 90.0))
    assert quarter[0] == pytest.approx(np.pi / 2 * EARTH_RADIUS**2, rel=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_rows_run_south_columns_east_and_bounds_enclose_centres(name: str) -> None:
    grid = load_grid(name)
    assert (np.diff(grid.lat) < 0).all()
    assert (np.diff(grid.lon) > 0).all()
    assert (grid.lat_bounds[:, 0] >= grid.lat).all()
    assert (grid.lat_bounds[:, 1] <= grid.lat).all()
    assert np.abs(grid.lat_bounds).max() <= 90
    assert (grid.lon_bounds[:-1, 1] == grid.lon_bounds[1:, 0]).all()


def test_a_crop_keeps_the_coordinates_of_the_whole() -> None:
    crop = PRODUCT.crop(slice(700, 800), slice(3400, 3550))
    assert crop.lat.tolist() == PRODUCT.lat[700:800].tolist()
    assert crop.lon.tolist() == PRODUCT.lon[3400:3550].tolist()
    assert PRODUCT.offset_of(crop) == (700, 3400)
    assert not crop.wraps


def test_crops_of_crops_do_not_drift() -> None:
    twice = PRODUCT.crop(slice(700, 800), slice(3400, 3550)).crop(slice(33, 44), slice(55, 66))
    assert twice == PRODUCT.crop(slice(733, 744), slice(3455, 3466))


def test_a_grid_between_the_lattice_points_is_no_part_of_it() -> None:
    shifted = Grid("shifted", 10, 10, 0.05, north=50.02, west=10.0)
    with pytest.raises(ValueError, match="is not part of"):
        PRODUCT.offset_of(shifted)


def test_a_grid_that_reaches_outside_is_no_part() -> None:
    crop = PRODUCT.crop(slice(0, 10), slice(0, 10))
    with pytest.raises(ValueError, match="is not part of"):
        crop.offset_of(PRODUCT)


@pytest.mark.parametrize(
    ("point", "cell"),
    [
        ((89.99, -179.99), (0, 0)),
        ((47.1163, 11.3202), (857, 3826)),
        ((-12.545, 131.307), (2050, 6226)),
        ((90.0, -180.0), (0, 0)),
        ((-90.0, 179.99), (3599, 7199)),
        ((0.0, 180.0), (1800, 0)),
        ((0.0, 190.0), (1800, 200)),
        ((0.05, 0.05), (1799, 3601)),
    ],
)
def test_a_point_lies_in_its_cell(point: tuple[float, float], cell: tuple[int, int]) -> None:
    assert PRODUCT.cell_of(*point) == cell


def test_every_centre_lies_in_its_own_cell() -> None:
    rows, cols = np.arange(0, 3600, 37), np.arange(0, 7200, 41)
    assert [PRODUCT.cell_of(lat, 10)[0] for lat in PRODUCT.lat[rows]] == rows.tolist()
    assert [PRODUCT.cell_of(10, lon)[1] for lon in PRODUCT.lon[cols]] == cols.tolist()


def test_a_point_west_of_the_date_line_by_a_rounding_error_lies_in_a_cell() -> None:
    assert PRODUCT.cell_of(0.025, np.nextafter(-180, -np.inf))[1] in {0, 7199}


def test_a_point_outside_is_refused() -> None:
    crop = PRODUCT.crop(slice(700, 800), slice(3400, 3550))
    with pytest.raises(ValueError, match="lies outside grid global-0p05"):
        crop.cell_of(-12.5, 131.3)


def test_the_centres_are_those_of_gdal() -> None:
    crop = PRODUCT.crop(slice(700, 800), slice(3400, 3550))
    place = from_origin(crop.west, crop.north, crop.resolution, crop.resolution)
    lon, _ = xy(place, np.zeros(crop.cols), np.arange(crop.cols))
    _, lat = xy(place, np.arange(crop.rows), np.zeros(crop.rows))
    np.testing.assert_allclose(lat, crop.lat, atol=1e-9)
    np.testing.assert_allclose(lon, crop.lon, atol=1e-9)


def test_a_grid_survives_the_attributes_of_a_store() -> None:
    crop = PRODUCT.crop(slice(700, 800), slice(3400, 3550))
    assert Grid(**crop.to_dict()) == crop


def test_an_unknown_grid_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no grid 'moon'.*global-0p05"):
        load_grid("moon")


def test_a_grid_of_no_cells_or_more_than_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 1 to 1,000,000 rows and columns"):
        Grid("empty", 0, 10, 1.0)
    with pytest.raises(ValueError, match="360 degrees"):
        Grid("long", 10, 361, 1.0)


@pytest.mark.parametrize("size", [7, 10, 100, 4000])
def test_tiles_cover_every_cell_once(size: int) -> None:
    grid = PRODUCT.crop(slice(0, 230), slice(0, 410))
    seen = np.zeros(grid.shape, int)
    tiles = list(tiles_of(grid, size))
    for tile in tiles:
        seen[tile.slices(grid, size)] += 1
    assert (seen == 1).all()
    assert len(tiles) == np.prod(tile_counts(grid, size))


def test_the_id_of_a_tile_leads_back_to_it() -> None:
    assert Tile(12, 34).id == "r012c034"
    assert tile_from_id("r012c034") == Tile(12, 34)
    assert tile_from_id(Tile(1234, 5).id) == Tile(1234, 5)
    with pytest.raises(ValueError, match="a tile id like r012c034"):
        tile_from_id("r12-c34")
