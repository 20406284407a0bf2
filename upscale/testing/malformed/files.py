"""Parsers of archives, catalogues and towers: what others have written."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import netCDF4
import numpy as np
import rasterio

from upscale.archives.formats.structure import geometry, parse_grids
from upscale.archives.inspect import inspect
from upscale.archives.satellite.published import published
from upscale.fetch.granules import granules_due
from upscale.fetch.ledger import LEDGER, FetchLedger
from upscale.fetch.stac import list_tiles
from upscale.fetch.tiles import layers_needed
from upscale.ingest.config import parse_ingest
from upscale.remote.catalogue import CatalogueFile
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import check_place
from upscale.remote.pace import Pace
from upscale.remote.retries import Patience
from upscale.stores.location import check_store_place
from upscale.testing.archives import BOX
from upscale.testing.granules import StoredGrid, struct_metadata, tile_corners, write_viirs
from upscale.testing.hourly import Layout, make_hourly, write_layout
from upscale.testing.malformed.mutations import (
    JUNK,
    change_any,
    change_bytes,
    change_json,
    change_lines,
    change_text,
    changed_text,
)
from upscale.testing.malformed.verdicts import FuzzedParser
from upscale.testing.scenes import SceneBounds, write_map, write_mod09ga
from upscale.testing.servers.stac import Answer, answering, make_item
from upscale.testing.tower_layouts import write_carbonfluxbench, write_oneflux
from upscale.testing.towers import write_towers
from upscale.towers.table import read_towers

_DAY = dt.date(2019, 3, 1)

#: Attributes that decide what stored numbers mean, put where a file has none of them.
_DECISIVE = (
    "units", "scale_factor", "add_offset", "valid_range", "calendar", "cell_methods", "_FillValue",
    "missing_value", "standard_name", "coordinates", "dtype", "GRIB_stepType", "expver",
)  # fmt: skip

#: Units of time that CF allows, or nearly.
_TIMES = (
    "days since 0000-00-00", "hours since 1-1-1", "seconds since 99999-01-01", "months since 2000",
    "fortnights since 2000-01-01", "days since", "since", "hours since 2000-13-45 99:99",
    "days since 2000-01-01 +99:99", "hours since 1900-01-01 noleap", "hours", "1",
)  # fmt: skip


def _wrong(random: Random) -> Any:
    """A value of an attribute that NetCDF and HDF can hold."""
    value = random.choice([*JUNK, *_TIMES, *_TIMES])
    if isinstance(value, str):
        return value.replace("\x00", "?") or "?"
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return str(value)
    with suppress(TypeError, ValueError, OverflowError):
        return np.array(value, np.float64)
    return str(value)[:1000]


def change_netcdf(path: Path, random: Random) -> None:
    """A NetCDF or HDF5 file with wrong attributes, or with wrong bytes."""
    if random.random() < 0.2:
        return change_bytes(path, random)
    with netCDF4.Dataset(path, "r+") as file:
        for _ in range(random.randint(1, 2)):
            place = random.choice([file, *_variables(file), *_variables(file)])
            there = [name for name in place.ncattrs() if name != "_FillValue"]
            name = random.choice([*there, *_DECISIVE])
            with suppress(AttributeError, RuntimeError, TypeError, ValueError, OSError):
                place.setncattr(name, _wrong(random))
            for text in file.groups.values() if random.random() < 0.4 else ():
                for variable in text.variables.values():
                    variable[...] = changed_text(str(variable[...]), random)
    return None


def _variables(group: Any) -> list[Any]:
    below = [found for each in group.groups.values() for found in _variables(each)]
    return [*group.variables.values(), *below]


def change_hdf4(path: Path, random: Random) -> None:
    """An HDF4 granule with wrong StructMetadata, or with wrong bytes."""
    if random.random() < 0.15:
        return change_bytes(path, random)
    content = path.read_bytes()
    start = content.index(b"GROUP=SwathStructure")  # stored as it is, padded to its length
    stop = content.index(b"\0", start)
    size = content.index(content[stop:].lstrip(b"\0")[:1], stop) - start
    text = changed_text(content[start:stop].decode(), random).encode()[:size].ljust(size, b"\0")
    path.write_bytes(content[:start] + text + content[start + size :])
    return None


def change_tiff(path: Path, random: Random) -> None:
    """A GeoTIFF in another place or with another fill, or with wrong bytes."""
    if random.random() < 0.4:
        return change_bytes(path, random)
    numbers = [0.0, -0.1, 0.1, 1e9, 1e308, -1e308, float("nan"), float("inf"), 180.0, 1e-9]
    with suppress(Exception), rasterio.open(path, "r+") as image:  # what GDAL refuses to write
        if random.random() < 0.7:
            image.transform = rasterio.Affine(*[
                random.choice(numbers) if random.random() < 0.3 else part
                for part in image.transform[:6]
            ])  # fmt: skip
        else:
            image.nodata = random.choice([*numbers, 1, 15, 255])
            image.scales = (random.choice(numbers),)
    return None


def _inspect(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        inspect(str(path)).to_dict()


def _make_modis(folder: Path) -> None:
    small = SceneBounds(south=49.99, north=50.02, west=15.5, east=15.53)
    write_mod09ga(folder, small, small.tiles[0], _DAY)


def _make_viirs(folder: Path) -> None:
    """A granule of 8 x 8 pixels of 1 km."""
    left, top, right, bottom = tile_corners(18, 4)
    wide, high = (right - left) / 1200 * 8, (top - bottom) / 1200 * 8
    corners = left, top, left + wide, top - high
    band = {"_FillValue": np.int16(-28672), "valid_range": np.array([-100, 16000], np.int16),
            "scale_factor": 0.0001, "add_offset": 0.0, "units": "none"}  # fmt: skip
    flags: dict[str, Any] = {
        f"SurfReflect_QF{n}_1": (np.ones((8, 8), np.uint8), {}) for n in (1, 2, 7)
    }
    bands: dict[str, Any] = {"SurfReflect_I2_1": (np.full((16, 16), 2500, np.int16), band)}
    write_viirs(
        folder / "VNP09GA.A2019060.h18v04.002.2023290123456.h5",
        StoredGrid("VIIRS_Grid_1km_2D", corners, flags),
        StoredGrid("VIIRS_Grid_500m_2D", corners, bands),
    )


def _make_structure(folder: Path) -> None:
    layers: dict[str, Any] = {"state_1km_1": (np.zeros((1200, 1200), np.uint8), {})}
    made = StoredGrid("MODIS_Grid_1km_2D", tile_corners(18, 4), layers)
    (folder / "structure.txt").write_text(struct_metadata([made]).rstrip("\0"))


def _read_structure(folder: Path) -> None:
    path = folder / "structure.txt"
    for grid in parse_grids(path.read_text(errors="replace")):
        assert geometry(grid, (18, 4), str(path)).words


def _make_hours(layout: Layout, name: str) -> Callable[[Path], object]:
    lat, lon = np.arange(4) / -10 + 50, np.arange(5) / 10 + 15
    first = dt.datetime(2019, 3, 1)

    def make(folder: Path) -> None:
        world = make_hourly(lat, lon, first, first + dt.timedelta(hours=50))
        write_layout(folder / name, world, layout, names=("t2m", "ssrd", "tp"))

    return make


def _make_map(folder: Path) -> None:
    write_map(folder / "cover.tif", BOX, 0.05,
              {"of": lambda lat, lon: (1 + (lat + lon) * 20 % 16).astype(np.uint8)})  # fmt: skip


def _make_page(folder: Path) -> None:
    """A page of two items of a catalogue."""
    assets = {
        layer.replace(" ", "_"): {"href": f"https://127.0.0.1/{number}.tif", "file:size": 1000,
                                  "file:checksum": "1220" + "ab" * 32}
        for number, layer in enumerate(layers_needed("MOD13Q1", ("ndvi",)))
    }  # fmt: skip
    items = [
        make_item(f"MOD13Q1.A2019{day:03d}.h18v04.061.2020290123456", "modis-13Q1-061",
                  ("2019-02-26", "2019-03-13"), (0.0, 40.0, 15.6, 50.0), assets)
        for day in (49, 65)
    ]  # fmt: skip
    page = {"type": "FeatureCollection", "features": items, "links": [], "numberReturned": 2}
    (folder / "page.json").write_text(json.dumps(page))


def _read_page(folder: Path) -> None:
    """As `fetch` does, of a catalogue on this machine that gives one page for every question."""
    try:
        page = json.loads((folder / "page.json").read_bytes())
    except (ValueError, RecursionError):
        page = "no page"  # the server answers JSON alone
    with answering(lambda asked: Answer(page)) as server:
        entry = {"files": str(folder / "tiles"), "variables": ["ndvi"], "fetch": {
            "from": "stac", "catalogue": server.url, "collection": "modis-13Q1-061",
            "hosts": ["127.0.0.1"]}}  # fmt: skip
        ingest = parse_ingest({
            "cube": "d.zarr", "period": {"start": "2019-02-20", "end": "2019-03-10"},
            "region": {"south": 47, "north": 48, "west": 7, "east": 8},
            "meteo": {"files": "x"}, "static": {"igbp": "x"}, "satellite": [entry]}, "made",
        )  # fmt: skip
        source: Any = ingest.satellite[0].fetch
        due = granules_due(ingest, ingest.satellite[0])
        list_tiles(due, source, Pace(1000), Patience(wait=0.01, longest=0.02, attempts=1))


def _make_fetched(folder: Path) -> None:
    row = {"name": "a.hdf", "size": 3, "sha256": "ab" * 32, "source": "x", "time": "2019-01-01"}
    (folder / LEDGER).write_text(json.dumps(row) + "\n" + json.dumps(row | {"name": "b"}) + "\n")
    (folder / "a.hdf").write_bytes(b"abc")


def _read_fetched(folder: Path) -> None:
    for record in FetchLedger(folder).read().values():
        record.fault_of(folder / "a.hdf", deep=True)


_PLACES = (
    "https://a.org/b.nc", "s3://bucket/era5.zarr", "file:///data/x.hdf", "gs://b/c", "../x",
    "simplecache::file:///x", "zip://a::https://b.org/c.zip", "MOD09GA.A2019060.h18v04.061.hdf",
    "/data/MOD09GA.A2019060.h18v04.061.2020290123456.hdf", "https://u:p@a.org:99/x?y=1",
)  # fmt: skip


def _make_places(folder: Path) -> None:
    (folder / "places.txt").write_text("\n".join(_PLACES))


def _read_places(folder: Path) -> None:
    for place in (folder / "places.txt").read_text(errors="replace").split("\n"):
        for check in (check_place, check_store_place, published, _listed):
            with suppress(ArchiveError, ValueError):
                check(place)


def _listed(place: str) -> None:
    assert CatalogueFile(place, ("a.org",), "TIFF").source is not None


def _make_towers(folder: Path) -> None:
    write_towers(folder, 2, satellite=True)


def _make_oneflux(folder: Path) -> None:
    write_oneflux(folder, "SUBSET", count=2)
    for path in folder.glob("*_DD_*.csv"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:200]))
    (folder / "FLX_AA-Flx_FLUXNET2015_BIF_DD_20200501.csv").write_text(
        "SITE_ID,GROUP_ID,VARIABLE_GROUP,VARIABLE,DATAVALUE\nXX-T00,1,GRP_LOCATION,LOCATION_LAT,47\n"
        "XX-T00,1,GRP_IGBP,IGBP,ENF\n"
    )


def change_name(path: Path, random: Random) -> None:
    """A file of a tower under a wrong name."""
    name = changed_text(path.name.replace("_", " "), random).replace(" ", "_").replace("/", "_")
    with suppress(OSError, ValueError):
        path.rename(path.with_name(name[:200].replace("\x00", "") or "x"))


def _read_towers(folder: Path) -> None:
    for tower in read_towers(folder):
        assert tower.days.size == len(tower.quality)


_TOWERS = (ValueError, FileNotFoundError)

FILES = (
    FuzzedParser("location strings", _make_places, (("places.txt", change_text),), _read_places,
                 (ArchiveError,)),
    FuzzedParser("StructMetadata", _make_structure, (("structure.txt", change_text),),
                 _read_structure, (ArchiveError,)),
    FuzzedParser("HDF4 granule", _make_modis, (("*.hdf", change_hdf4),), _inspect,
                 (ArchiveError,)),
    FuzzedParser("HDF5 granule", _make_viirs, (("*.h5", change_netcdf),), _inspect,
                 (ArchiveError,)),
    FuzzedParser("NetCDF of ERA5", _make_hours("netcdf", "2019-03.nc"), (("*.nc", change_netcdf),),
                 _inspect, (ArchiveError,)),
    FuzzedParser("NetCDF 3 of ERA5", _make_hours("legacy", "2019-03.nc"),
                 (("*.nc", change_netcdf),), _inspect, (ArchiveError,)),
    FuzzedParser("GRIB of ERA5", _make_hours("grib", "2019-03.grib"), (("*.grib", change_bytes),),
                 _inspect, (ArchiveError,)),
    FuzzedParser("ZIP of ERA5", _make_hours("zip", "2019-03.zip"), (("*.zip", change_bytes),),
                 _inspect, (ArchiveError,)),
    FuzzedParser("Zarr of ERA5", _make_hours("earthdatahub", "era5.zarr"),
                 (("era5.zarr/**/zarr.json", change_json), ("era5.zarr/**/.z*", change_json),
                  ("era5.zarr/*/c/**/0", change_bytes)), _inspect, (ArchiveError,)),
    FuzzedParser("GeoTIFF of classes", _make_map, (("*.tif", change_tiff),), _inspect,
                 (ArchiveError,)),
    FuzzedParser("STAC items", _make_page, (("page.json", change_json),), _read_page,
                 (ArchiveError,)),
    FuzzedParser("fetched files", _make_fetched, ((LEDGER, change_lines),), _read_fetched,
                 (ArchiveError,)),
    FuzzedParser("harmonised towers", _make_towers, (("*.parquet", change_bytes),), _read_towers,
                 _TOWERS),
    FuzzedParser("ONEFlux towers", _make_oneflux,
                 (("*_DD_2003*.csv", change_text), ("sites.csv", change_text),
                  ("*BIF*.csv", change_text), ("*.csv", change_name), ("*.csv", change_bytes)),
                 _read_towers, _TOWERS),
    FuzzedParser("packed ONEFlux towers", lambda folder: write_oneflux(folder, packing="zip",
                 count=1), (("*.zip", change_bytes),), _read_towers, _TOWERS),
    FuzzedParser("CarbonFluxBench towers", lambda folder: write_carbonfluxbench(folder, count=1),
                 (("*.json", change_any), ("*.parquet", change_bytes)), _read_towers, _TOWERS),
)  # fmt: skip
