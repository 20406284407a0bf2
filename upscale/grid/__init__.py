"""Regular grids, tiles, cell areas and regridding. No I/O except grid files, no torch."""

from upscale.grid.grid import EARTH_RADIUS, Grid, cell_areas, load_grid
from upscale.grid.tiles import Tile, tile_counts, tile_from_id, tiles_of

__all__ = [
    "EARTH_RADIUS",
    "Grid",
    "Tile",
    "cell_areas",
    "load_grid",
    "tile_counts",
    "tile_from_id",
    "tiles_of",
]
