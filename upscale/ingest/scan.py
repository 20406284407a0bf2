"""The scan of an ingest: what is there, what is missing, and what cannot be used; no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from upscale.archives.cells.cellwise import window_of
from upscale.archives.satellite.published import has_published_name, published
from upscale.calendar import months_of
from upscale.ingest.archive import Fault, Holdings, TileName, survey, tiles_of
from upscale.ingest.config import Ingest
from upscale.ingest.entry import IngestLedger
from upscale.ingest.files import GroundFiles, Local
from upscale.ingest.hourly import (
    HourlyHeader,
    WeatherFiles,
    is_growing,
    read_header,
    survey_weather,
)
from upscale.ingest.plan import IngestJob, make_job
from upscale.ingest.worker import local_of
from upscale.jobs.settings import digest_of
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile, expand
from upscale.remote.locations import name_of

#: Where headers are kept, so that a second scan opens new files alone.
HEADERS = "headers.json"


@dataclass(frozen=True)
class Scan:
    """What was found for an ingest, and the job that follows from it.

    headers: of files of reanalysis, to be kept beside the cube.
    """

    ingest: Ingest
    weather: WeatherFiles
    holdings: tuple[Holdings, ...]
    job: IngestJob
    headers: dict[str, Any]

    @property
    def uncovered(self) -> tuple[tuple[int, int], ...]:
        """Sinusoidal tiles of the grid that land cover in granules does not have."""
        held = {
            published(found.url).tile
            for found in self.job.ground.igbp
            if has_published_name(found.url, "MCD12Q1")
        }
        return tuple(sorted(tiles_of(self.job.grid) - held)) if held else ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Files that are left out from the start, and why."""
        left_out = [*self.weather.faults]
        for held in self.holdings:
            left_out += held.faults
            left_out += [_twice(file.found.url) for file in held.twice]
        return tuple(left_out)


def _twice(url: str) -> Fault:
    return Fault(
        url,
        f"expected one granule of each product, day and tile, found {name_of(url)} beside another "
        "one of the same production time, which is used; remove one",
    )


def scan(ingest: Ingest) -> Scan:
    """List the archive and read headers; ArchiveError where no cube can be made of it."""
    if ingest.satellite:
        window_of(ingest.product_grid)
    weather, headers = _weather(ingest)
    days = ingest.period.start, ingest.period.end
    holdings = tuple(
        survey(expand(source.files), ingest.product_grid, days, source.products, source.variables)
        for source in ingest.satellite
    )
    _each_variable_once(holdings)
    ground = _ground(ingest)
    if ground.koppen is None:
        _check_climate(ingest, weather)
    return Scan(ingest, weather, holdings, make_job(ingest, weather, holdings, ground), headers)


def _check_climate(ingest: Ingest, weather: WeatherFiles) -> None:
    """ArchiveError where no climate can be derived from the weather."""
    if not {"ta", "p"} <= set(weather.drivers):
        raise ArchiveError(
            f"static.koppen: expected ta and p to derive the climate from, found "
            f"{', '.join(weather.drivers)}; name a map"
        )
    days = np.arange(ingest.period.first, ingest.period.first + ingest.period.count)
    months = np.unique(months_of(days))
    if months.size < 12:
        raise ArchiveError(
            f"static.koppen: expected days of all months to derive the climate from, found "
            f"{months.size} months; name a map, or ingest a whole year"
        )


def _each_variable_once(holdings: Sequence[Holdings]) -> None:
    names = [name for held in holdings for name in held.variables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArchiveError(
            f"satellite: expected each variable from one entry, found {', '.join(twice)} in two; "
            "name the variables of each, or put their files into one entry"
        )


def _weather(ingest: Ingest) -> tuple[WeatherFiles, dict[str, Any]]:
    """The files of reanalysis, and the headers to be kept for the next scan."""
    kept = IngestLedger(ingest.cube).read_object(HEADERS) or {}
    listed = expand(ingest.meteo.files)
    local = local_of(ingest.cache.folder, int(ingest.cache.gigabytes * 1e9))
    headers = {_key(found): _header(local, found, kept.get(_key(found))) for found in listed}
    lasting = {_key(found) for found in listed if not is_growing(found)}
    known = {
        k: h.to_dict() for k, h in headers.items() if isinstance(h, HourlyHeader) and k in lasting
    }
    days = ingest.period.start, ingest.period.end
    stated = {str(name): said for name, said in ingest.meteo.statistic.items()}
    weather = survey_weather(
        [(found, headers[_key(found)]) for found in listed], ingest.product_grid, days,
        ingest.day, ingest.meteo.product, ingest.meteo.variables, stated,
    )  # fmt: skip
    return weather, known


def _key(found: ListedFile) -> str:
    return digest_of([found.url, found.size, found.stamp])[:32]


def _header(local: Local, found: ListedFile, kept: dict[str, Any] | None) -> HourlyHeader | Fault:
    if kept is not None and "evidence" in kept:  # an older version kept less
        return HourlyHeader.of(kept)
    try:
        with local(found) as path:
            return read_header(path)
    except ArchiveError as error:
        return Fault(found.url, str(error))


def _ground(ingest: Ingest) -> GroundFiles:
    """The files of the maps that INGEST.yaml names."""
    static = ingest.static
    derived = static.koppen == "derive"
    share = static.sftlf
    return GroundFiles(
        igbp=_cover_files(ingest),
        legend=static.legend,
        koppen=None if derived else _one(static.koppen),
        sftlf=() if share is None else tuple(expand(share.files)),
        water=() if share is None else share.water,
        elevation=None if static.elevation is None else _one(static.elevation),
        koppen_legend=static.koppen_legend,
    )


def _cover_files(ingest: Ingest) -> tuple[ListedFile, ...]:
    """One GeoTIFF, or of each tile that the grid touches the granule of the latest year."""
    listed = expand(ingest.static.igbp)
    granules = [found for found in listed if has_published_name(found.url, "MCD12(Q1|C1)")]
    maps = [found for found in listed if found.url.lower().endswith((".tif", ".tiff"))]
    if not granules and not maps:
        there = ", ".join(name_of(found.url) for found in listed[:3]) or "no file"
        raise ArchiveError(
            f"static.igbp: expected a GeoTIFF, or granules of MCD12Q1 or MCD12C1, found {there} "
            f"in {', '.join(ingest.static.igbp)}; unpack a ZIP, convert a NetCDF map to GeoTIFF "
            "(gdal_translate), or correct the path"
        )
    if not granules:
        return tuple(maps)
    tiles = tiles_of(ingest.product_grid)
    latest: dict[TileName, tuple[tuple[Any, ...], ListedFile]] = {}
    for found in granules:
        named = published(found.url)
        if named.tile is None or named.tile in tiles:
            order = named.date, named.collection, named.produced
            latest[named.tile] = max(
                latest.get(named.tile, (order, found)), (order, found), key=lambda row: row[0]
            )
    return tuple(found for _, found in sorted(latest.values(), key=lambda row: row[1].url))


def _one(place: str) -> ListedFile:
    found = expand([place])
    if len(found) != 1:
        raise ArchiveError(f"{place}: expected one file, found {len(found)}; name the file")
    return found[0]
