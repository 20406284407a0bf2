"""Interpolation from nodes to cells: exact where it can be, honest at coasts and gaps."""

import numpy as np
import pytest

from upscale.grid import Grid, load_grid
from upscale.grid.regrid import Floats, bilinear, interpolate, near_land

PRODUCT = load_grid("global-0p05")
NODES = load_grid("era5-land-0p1")
COARSE_NODES = load_grid("nodes-2p0")
COARSE = load_grid("global-1p0")


def read(field: Floats, source: Grid, target: Grid) -> Floats:
    """Interpolate the part of a field `(day, row, col)` that the target leans on."""
    return read_land(field, np.ones(source.shape, bool), source, target)


def read_land(field: Floats, land: np.ndarray, source: Grid, target: Grid) -> Floats:
    stencil = bilinear(source, target)
    at = np.ix_(stencil.rows.read, stencil.cols.read)
    return interpolate(field[:, at[0], at[1]], land[at], stencil)


def one_node(row: int, col: int, source: Grid) -> Floats:
    field = np.zeros((1, *source.shape), np.float32)
    field[0, row, col] = 1
    return field


def test_a_cell_takes_three_quarters_of_the_nearer_node_and_a_quarter_of_the_next() -> None:
    target = PRODUCT.crop(slice(800, 804), slice(3600, 3604))
    rows = bilinear(NODES, target).rows
    # 49.975 lies between the nodes 50.0 and 49.9, a quarter of the way down.
    np.testing.assert_array_equal(rows.weight, np.float32([0.25, 0.75, 0.25, 0.75]))
    np.testing.assert_array_equal(NODES.lat[rows.read[rows.low]], [50.0, 50.0, 49.9, 49.9])
    np.testing.assert_array_equal(NODES.lat[rows.read[rows.high]], [49.9, 49.9, 49.8, 49.8])


def test_the_weights_of_one_node_are_products_of_quarters() -> None:
    source = NODES.crop(slice(395, 405), slice(1895, 1905))
    target = PRODUCT.crop(slice(798, 802), slice(3798, 3802))
    spread = read(one_node(5, 5, source), source, target)[0]
    line = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(spread, np.outer(line, line).astype(np.float32))


def test_a_linear_field_is_recovered() -> None:
    source = NODES.crop(slice(380, 460), slice(1890, 1970))
    target = PRODUCT.crop(slice(780, 900), slice(3800, 3920))

    def plane(grid: Grid) -> Floats:
        value = 3 + 0.7 * grid.lat[:, None] - 1.3 * grid.lon[None, :]
        return value[None].astype(np.float32)

    np.testing.assert_allclose(read(plane(source), source, target), plane(target), atol=1e-5)


def test_a_constant_field_stays_what_it_is_everywhere_on_earth() -> None:
    field = np.full((2, *COARSE_NODES.shape), 7.25, np.float32)
    assert (read(field, COARSE_NODES, COARSE) == np.float32(7.25)).all()


def test_a_grid_interpolated_to_itself_is_untouched() -> None:
    rng = np.random.default_rng(1)
    field = rng.normal(size=(2, *COARSE.shape)).astype(np.float32)
    np.testing.assert_array_equal(read(field, COARSE, COARSE), field)


def test_values_cross_180_degrees() -> None:
    """179.975 E lies three quarters of the way from the node 179.9 E to the one at 180."""
    target = PRODUCT.crop(slice(1800, 1802), slice(7196, 7200))
    field = np.zeros((1, 4, NODES.cols), np.float32)
    source = NODES.crop(slice(898, 902), slice(0, NODES.cols))
    field[..., 0], field[..., -1] = 8.0, 4.0
    east = read(field, source, target)[0]
    np.testing.assert_array_equal(east[0], np.float32([1.0, 3.0, 5.0, 7.0]))
    west = read(field, source, PRODUCT.crop(slice(1800, 1802), slice(0, 2)))[0]
    np.testing.assert_array_equal(west[0], np.float32([6.0, 2.0]))


def test_cells_beyond_the_last_node_row_take_its_value() -> None:
    cells = Grid("half", 360, 720, 0.5)
    nodes = Grid("centres", 180, 360, 1.0)
    field = np.broadcast_to(nodes.lat[None, :, None], (1, *nodes.shape)).astype(np.float32)
    there = read(field, nodes, cells)[0]
    assert (there[0] == 89.5).all()
    assert (there[-1] == -89.5).all()
    np.testing.assert_allclose(there[1:-1], np.repeat(cells.lat[1:-1, None], 720, 1), atol=1e-4)


def test_nodes_at_the_poles_are_used() -> None:
    field = np.broadcast_to(NODES.lat[None, :60, None], (1, 60, 40)).astype(np.float32)
    source = NODES.crop(slice(0, 60), slice(0, 40))
    there = read(field, source, PRODUCT.crop(slice(0, 4), slice(10, 20)))[0, :, 0]
    np.testing.assert_allclose(there, [89.975, 89.925, 89.875, 89.825], atol=1e-5)


def beyond(cells: Grid, nodes: Grid) -> np.ndarray:
    """Cells `(row, col)` more than one spacing beyond the outermost nodes, by distance."""
    far_lat = np.maximum(cells.lat - nodes.lat[0], nodes.lat[-1] - cells.lat)
    far_lon = np.maximum(cells.lon - nodes.lon[-1], nodes.lon[0] - cells.lon)
    reach = nodes.resolution + 1e-6
    return (far_lat > reach)[:, None] | (far_lon > reach)


def test_weather_is_not_stretched_beyond_the_nodes_that_there_are() -> None:
    """Four cells beyond the edge the outermost weather would be invented."""
    nodes = NODES.crop(slice(400, 410), slice(1900, 1910))
    cells = PRODUCT.crop(slice(780, 840), slice(3780, 3840))
    field = np.full((1, *nodes.shape), 7.25, np.float32)
    there = read(field, nodes, cells)[0]
    far = beyond(cells, nodes)
    assert far.any()
    assert not far.all()
    np.testing.assert_array_equal(np.isnan(there), far)
    assert (there[~far] == np.float32(7.25)).all()
    stencil = bilinear(nodes, cells)
    land = np.ones(nodes.shape, bool)[np.ix_(stencil.rows.read, stencil.cols.read)]
    np.testing.assert_array_equal(near_land(land, stencil), ~far)


def test_a_cell_exactly_one_spacing_beyond_the_last_node_takes_its_value() -> None:
    nodes = Grid("nodes", 3, 3, 1.0, north=1.5, west=-1.5)
    cells = Grid("cells", 7, 7, 1.0, north=3.5, west=-3.5)
    there = read(np.full((1, 3, 3), 4, np.float32), nodes, cells)[0]
    assert (there[1:-1, 1:-1] == 4).all()
    assert np.isfinite(there).sum() == 25


def test_a_part_of_the_globe_without_weather_has_none() -> None:
    nodes = NODES.crop(slice(400, 410), slice(1900, 1910))
    cells = PRODUCT.crop(slice(2000, 2003), slice(0, 4))
    assert np.isnan(read(np.ones((2, *nodes.shape), np.float32), nodes, cells)).all()


@pytest.mark.parametrize("size", [7, 16])
def test_at_the_edge_of_the_source_a_tile_is_the_crop_of_the_whole(size: int) -> None:
    nodes = NODES.crop(slice(400, 410), slice(1900, 1910))
    cells = PRODUCT.crop(slice(784, 832), slice(3784, 3832))
    rng = np.random.default_rng(5)
    field, land = rng.normal(size=(2, *nodes.shape)).astype(np.float32), rng.random((10, 10)) < 0.7
    whole = read_land(field, land, nodes, cells)
    for top in range(0, 48, size):
        for left in range(0, 48, size):
            rows, cols = slice(top, top + size), slice(left, left + size)
            part = read_land(field, land, nodes, cells.crop(rows, cols))
            np.testing.assert_array_equal(part, whole[:, rows, cols])


def coast() -> tuple[Floats, np.ndarray]:
    """Two days of weather on coarse nodes with continents, lakes and islands."""
    rng = np.random.default_rng(7)
    land = rng.uniform(size=COARSE_NODES.shape) < 0.25
    land[20:50, 30:90] = True
    field = rng.normal(10, 5, size=(3, *COARSE_NODES.shape)).astype(np.float32)
    return np.where(land, field, np.float32(np.nan)), land


def test_sea_nodes_near_land_lend_what_land_gives_them_and_no_more() -> None:
    land = np.zeros((9, 9), bool)
    land[:, :3] = True
    field = np.where(land, np.float32(5), np.float32(np.nan))[None]
    source = Grid("nodes", 9, 9, 1.0, north=4.5, west=-4.5)
    there = read_land(field, land, source, source)[0]
    assert (there[:, :5] == 5).all()  # two rings of sea were filled
    assert np.isnan(there[:, 5:]).all()
    stencil = bilinear(source, source)
    np.testing.assert_array_equal(near_land(land, stencil), land)


def test_a_coastal_cell_leans_on_land_nodes_alone() -> None:
    """The sea node takes the mean of its land neighbours, never the zero of no data."""
    land = np.array([[True, False], [True, True]])
    field = np.where(land, np.float32([[2, 0], [4, 6]]), np.float32(np.nan))[None]
    source = Grid("nodes", 2, 2, 1.0, north=1.0, west=-1.0)
    centre = Grid("cell", 1, 1, 1.0, north=0.5, west=-0.5)
    assert read_land(field, land, source, centre)[0, 0, 0] == np.mean([2, 4, 6, 4])


def test_a_gap_in_time_stays_a_gap_while_the_coast_is_filled() -> None:
    land = np.ones((9, 9), bool)
    land[:, 6:] = False
    field = np.where(land, np.float32(5), np.float32(np.nan))[None].repeat(2, 0)
    field[1, 4, 4] = np.nan
    source = Grid("nodes", 9, 9, 1.0, north=4.5, west=-4.5)
    target = Grid("cells", 16, 16, 0.5, north=4.0, west=-4.0)
    whole, gappy = read_land(field, land, source, target)
    assert (whole == 5).all()
    gap = np.isnan(gappy)
    # The node (0 N, 0 E) is missing: the 4 x 4 cells within one node of it, nothing else.
    expected = np.zeros((16, 16), bool)
    expected[6:10, 6:10] = True
    np.testing.assert_array_equal(gap, expected)


def test_a_missing_coastal_node_is_not_hidden_by_the_sea_that_it_fills() -> None:
    land = np.zeros((5, 5), bool)
    land[:, :2] = True
    field = np.where(land, np.float32(5), np.float32(np.nan))[None]
    field[0, 2, 1] = np.nan
    source = Grid("nodes", 5, 5, 1.0, north=2.5, west=-2.5)
    there = read_land(field, land, source, source)[0]
    assert np.isnan(there[2, 1])
    assert np.isnan(there[1:4, 2]).all()  # its sea neighbours lean on it


@pytest.mark.parametrize("size", [17, 60])
def test_a_tile_read_alone_is_the_crop_of_the_whole_bit_for_bit(size: int) -> None:
    field, land = coast()
    whole = read_land(field, land, COARSE_NODES, COARSE)
    for top in range(0, 180, size):
        for left in range(0, 360, size):
            rows, cols = slice(top, top + size), slice(left, left + size)
            part = read_land(field, land, COARSE_NODES, COARSE.crop(rows, cols))
            np.testing.assert_array_equal(part, whole[:, rows, cols])


def test_where_there_is_no_land_there_is_no_value() -> None:
    field = np.full((1, *COARSE_NODES.shape), np.nan, np.float32)
    assert np.isnan(read_land(field, np.isfinite(field[0]), COARSE_NODES, COARSE)).all()
