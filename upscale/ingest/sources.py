"""Where the files of an archive come from: the key `fetch` of an entry of INGEST.yaml.

An ingest reads what is there and ignores the key; `upscale fetch` follows it.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from upscale.jobs.settings import Strict
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import check_place, scheme_of


def _plain_url(url: str | None) -> str | None:
    """A URL without user and query: those hold credentials, which no file of keys may."""
    if url is None:
        return None
    if scheme_of(url) not in ("http", "https") or urlsplit(url).query:
        raise ValueError("expected an https URL without a query; credentials go elsewhere")
    try:
        check_place(url)
    except ArchiveError as error:
        raise ValueError(str(error)) from None
    return url.rstrip("/")


class CdsSource(Strict):
    """Hourly reanalysis from the Climate Data Store of Copernicus."""

    source: Literal["cds"] = Field(alias="from")
    """The Climate Data Store."""
    dataset: Literal["reanalysis-era5-land", "reanalysis-era5-single-levels"]
    """Hourly ERA5-Land, or ERA5."""
    by: Literal["month", "variable"] = "month"
    """What one request holds: all variables of a month, or one of them."""
    form: Literal["netcdf", "grib"] = "netcdf"
    """Form of the answer."""
    hosts: tuple[str, ...] = ()
    """Further hosts that a result may lie at, each with all below it; the store's own are known."""


class EarthdataSource(Strict):
    """Granules from NASA Earthdata. `products` of the entry must be named."""

    source: Literal["earthdata"] = Field(alias="from")
    """NASA Earthdata."""
    collection: str = Field(pattern=r"^\d{3}$")
    """The version, such as `"061"` (VIIRS: `"002"`)."""
    catalogue: str = "https://cmr.earthdata.nasa.gov/search"
    """Where the Common Metadata Repository is asked."""
    hosts: tuple[str, ...] = ()
    """Further hosts that files may lie at, each with all below it; NASA's own are known."""

    @field_validator("catalogue")
    @classmethod
    def _plain(cls, url: str) -> str | None:
        return _plain_url(url)


class StacSource(Strict):
    """Tiles as GeoTIFFs from a STAC catalogue, written as granules."""

    source: Literal["stac"] = Field(alias="from")
    """A STAC catalogue."""
    catalogue: str
    """Address of the catalogue."""
    collection: str = Field(pattern=r"^[\w.-]+$")
    """Its id; the product is read from it unless `products` names some."""
    hosts: tuple[str, ...] = ()
    """Where files may lie, each with all below it; the catalogue's own host is known."""
    sign: str | None = None
    """An end point that gives a token for a collection, as that of the Planetary Computer."""

    @field_validator("catalogue", "sign")
    @classmethod
    def _plain(cls, url: str | None) -> str | None:
        return _plain_url(url)


GranuleSource = Annotated[EarthdataSource | StacSource, Field(discriminator="source")]


def check_folder(files: tuple[str, ...]) -> None:
    """ValueError unless `files` of an entry with `fetch` is one folder of this machine."""
    if len(files) != 1 or scheme_of(files[0]) or any(mark in files[0] for mark in "*?["):
        raise ValueError(
            f"files: expected one local folder where fetch is given, found {', '.join(files)}; "
            "name the folder that files go to"
        )
