"""INGEST.yaml: the whole of an ingest in one checked model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from upscale.archives.cells.maps import CoverLegend
from upscale.drivers.gaps import GapRule
from upscale.grid import Grid, load_grid
from upscale.ingest.sources import CdsSource, GranuleSource, check_folder
from upscale.jobs.sections import Cluster, Period, Region
from upscale.jobs.settings import ConfigError, Strict, digest_of, expand_user, parse, read_yaml
from upscale.remote.redaction import redact
from upscale.variables import of_kind


def _places(given: Any) -> Any:
    """One place or a list of places, `~` expanded."""
    several = [given] if isinstance(given, str) else given
    for place in several:
        if str(place).startswith(("http://", "https://")) and "?" in place:
            raise ValueError(
                f"{redact(place)}: expected a URL without a query, which may hold a signature; "
                "credentials come from the environment or from netrc"
            )
    return tuple(expand_user(place) if isinstance(place, str) else place for place in several)


#: At least one path or URL; a single one need not be a list.
Places = Annotated[tuple[str, ...], BeforeValidator(_places), Field(min_length=1)]


def _known(names: Sequence[str], kind: Literal["meteo", "satellite"]) -> None:
    unknown = [name for name in names if name not in of_kind(kind)]
    if unknown:
        raise ValueError(
            f"expected {kind} variables ({', '.join(of_kind(kind))}), found {', '.join(unknown)}"
        )


class Meteo(Strict):
    """Hourly or daily files of ERA5-Land or ERA5.

    files: paths or URLs, globs and folders among them, of one area; a Zarr store is read in
    place. product: told by the spacing of the nodes where it is left out. variables: drivers to
    make, by default all that the files allow. fetch: where `upscale fetch` gets what is missing.
    """

    files: Places
    product: Literal["ERA5-Land", "ERA5"] | None = None
    variables: tuple[str, ...] | None = None
    fetch: CdsSource | None = None

    @field_validator("variables")
    @classmethod
    def _meteo(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _known(names or (), "meteo")
        return names

    @model_validator(mode="after")
    def _to_a_folder(self) -> Meteo:
        if self.fetch is not None:
            check_folder(self.files)
        return self


class Satellite(Strict):
    """Granules that give some variables.

    products: in order of preference; the first that has a value for a cell and day is taken.
    By default those that are found, in the order of their names. variables: by default the usual
    ones of the products. least_share: cells with a smaller share of good pixels are gaps.
    fetch: where `upscale fetch` gets what is missing.
    """

    files: Places
    products: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    fetch: GranuleSource | None = None

    @field_validator("variables")
    @classmethod
    def _satellite(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _known(names or (), "satellite")
        return names

    @model_validator(mode="after")
    def _to_a_folder(self) -> Satellite:
        if self.fetch is not None:
            check_folder(self.files)
        if self.fetch is not None and self.fetch.source == "earthdata" and not self.products:
            raise ValueError("products: expected the products to fetch, found none; name them")
        return self


class LandShare(Strict):
    """A map of classes, or a mask, and its codes of water."""

    files: Places
    water: tuple[int, ...] = (0,)


class Static(Strict):
    """Maps that do not change.

    igbp: a GeoTIFF of classes, or granules of MCD12Q1 or MCD12C1. legend: of a GeoTIFF that has
    both codes of water. koppen: a GeoTIFF, or `derive` it from the meteorology of the cube.
    sftlf: where the land is, by default from igbp. elevation: a GeoTIFF in m; unknown without.
    """

    igbp: Places
    legend: CoverLegend | None = None
    koppen: str = "derive"
    sftlf: LandShare | None = None
    elevation: str | None = None

    @field_validator("koppen", "elevation")
    @classmethod
    def _at_home(cls, place: str | None) -> str | None:
        return None if place is None else expand_user(place)


class Gaps(Strict):
    """How gaps of satellite series are filled; see `upscale.drivers.gaps`.

    linear: longest gap, days, bridged by a line (causal: by the last value); limit: longest gap
    that is filled at all; causal: a day knows nothing of later days. 0 days: nothing is filled.
    """

    linear: int = Field(default=16, ge=0)
    limit: int = Field(default=90, ge=0)
    causal: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Gaps:
        if self.linear > self.limit:
            raise ValueError(f"linear {self.linear} lies above limit {self.limit}: lower it")
        return self

    @property
    def rule(self) -> GapRule:
        return GapRule(self.linear, self.limit, self.causal)


class CacheSettings(Strict):
    """Where copies of remote files are kept while they are needed, and how large it may be."""

    folder: str | None = None
    gigabytes: float = Field(default=20, gt=0)

    @field_validator("folder")
    @classmethod
    def _at_home(cls, place: str | None) -> str | None:
        return None if place is None else expand_user(place)


class Ingest(Strict):
    """INGEST.yaml."""

    cube: str = Field(min_length=1)
    period: Period
    meteo: Meteo
    static: Static
    satellite: tuple[Satellite, ...] = ()
    grid: str = "global-0p05"
    region: Region | None = None
    day: Literal["local-standard", "utc"] = "local-standard"
    title: str = "Daily drivers from satellite and reanalysis archives"
    gaps: Gaps = Gaps()
    tile: Annotated[int, Field(ge=1, le=1000)] = 100
    block: Annotated[int, Field(ge=1, le=366)] = 30
    cache: CacheSettings = CacheSettings()
    cluster: Cluster = Cluster()
    memory: float = Field(default=2.5, gt=0, description="GiB that one task may take")
    retries: int = Field(default=2, ge=0, description="more attempts at a work item that failed")
    interval: float = Field(default=30, gt=0, description="seconds between log lines")

    @field_validator("cube")
    @classmethod
    def _at_home(cls, place: str) -> str:
        return expand_user(place.rstrip("/"))

    @model_validator(mode="after")
    def _each_variable_once(self) -> Ingest:
        named = [name for source in self.satellite for name in source.variables or ()]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(
                f"satellite: {', '.join(twice)} in two entries; put their files into one, with "
                "products in order of preference"
            )
        return self

    @property
    def product_grid(self) -> Grid:
        """The grid of static maps and satellite series, cut to the region."""
        whole = load_grid(self.grid)
        return whole if self.region is None else self.region.of(whole)

    def layout(self) -> dict[str, Any]:
        """What may not change while a cube grows."""
        kept = self.model_dump(mode="json", include={"grid", "region", "day", "tile", "block"})
        return kept | {"start": self.period.start.isoformat()}

    @property
    def digest(self) -> str:
        """Names the layout of a cube."""
        return digest_of(self.layout())


def load_ingest(path: Path, overrides: Sequence[str] = ()) -> Ingest:
    """Read INGEST.yaml and apply `key=value` overrides; ConfigError names every fault."""
    return parse_ingest(read_yaml(path, overrides, "an INGEST.yaml"), str(path))


def parse_ingest(content: dict[str, Any], where: str) -> Ingest:
    """A checked ingest from plain values; errors show no user or query of a URL."""
    try:
        return parse(Ingest, content, f"{where} cannot be ingested")
    except ConfigError as error:
        raise ConfigError(redact(str(error))) from None
