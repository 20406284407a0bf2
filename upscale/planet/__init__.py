"""A synthetic planet for demonstrations, tests and benchmarks.

    planet = Planet(seed=0)
    planet.surface(lat, lon).igbp
    planet.meteo(lat, lon, days)["ta"]
    planet.satellite(lat, lon, days, ["ndvi"])["ndvi"]
    write_planet("drivers.zarr", product_grid, meteo_grid, (first, last))

Continents, climate, weather and vegetation are invented; results computed from them say nothing
about the Earth.
"""

from upscale.planet.cube import write_planet
from upscale.planet.world import Planet, PlanetGrid, PlanetSurface

__all__ = ["Planet", "PlanetGrid", "PlanetSurface", "write_planet"]
