"""INGEST.yaml: the whole of an ingest in one checked model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from upscale.archives.legends.known import CoverLegend, Kind, KoppenLegend, legend_of_names
from upscale.archives.reanalysis.statistic import Stated
from upscale.drivers.gaps import GapRule
from upscale.grid import Grid, load_grid
from upscale.ingest.sources import CdsSource, GranuleSource, check_folder
from upscale.jobs.sections import Cluster, Period, Region
from upscale.jobs.settings import ConfigError, Strict, digest_of, expand_user, parse, read_yaml
from upscale.remote.redaction import redact
from upscale.stores.location import check_store_place
from upscale.variables import of_kind


def _places(given: Any) -> Any:
    """One place or a list of places, `~` expanded."""
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list | tuple):
        return given
    for place in several:
        if str(place).startswith(("http://", "https://")) and "?" in str(place):
            raise ValueError(
                f"{redact(place)}: expected a URL without a query, which may hold a signature; "
                "credentials come from the environment or from netrc"
            )
    return tuple(expand_user(place) if isinstance(place, str) else place for place in several)


#: A variable that drivers are made of, by its short name.
FieldName = Literal["t2m", "d2m", "sp", "u10", "v10", "ssrd", "strd", "tp", "avg_sdswrf",
                    "avg_sdlwrf", "avg_tprate"]  # fmt: skip

#: At least one path or URL; a single one need not be a list.
Places = Annotated[tuple[str, ...], BeforeValidator(_places), Field(min_length=1)]


def _known(names: Sequence[str], kind: Literal["meteo", "satellite"]) -> None:
    unknown = [name for name in names if name not in of_kind(kind)]
    if unknown:
        raise ValueError(
            f"expected {kind} variables ({', '.join(of_kind(kind))}), found {', '.join(unknown)}"
        )


class Meteo(Strict):
    """Hourly or daily files of ERA5-Land or ERA5."""

    files: Places
    """Paths or URLs of reanalysis files, folders and globs among them, of one area. A Zarr store is
    read in place."""
    product: Literal["ERA5-Land", "ERA5"] | None = None
    """`ERA5-Land` or `ERA5`; left out: told by names, or by the spacing of the nodes. It decides
    how accumulations are undone where files do not say it; values that contradict it are
    refused."""
    statistic: Mapping[FieldName, Stated] = Field(default_factory=dict)
    """What the numbers of a variable stand for where its files do not prove it, such as
    `{t2m: daily-mean}`: `instant`, `hourly-mean`, `hourly-amount` (of the hour that ends at the
    stamp), `running-total` (since 00 UTC), `daily-mean` or `daily-total` (of the UTC day of the
    stamp). It stands in the cube. What files contradict is refused."""
    variables: tuple[str, ...] | None = None
    """Drivers to make, of `ta sw_in vpd p lw_in ws pa`; left out: all that the files allow."""
    fetch: CdsSource | None = None
    """Where `upscale fetch` gets what is missing; an ingest ignores it."""

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
    """Granules that give some variables."""

    files: Places
    """Granules of one entry: paths or URLs, folders and globs among them."""
    products: tuple[str, ...] | None = None
    """Products in order of preference, such as `[MOD09GA, MYD09GA, VNP09GA]`: the first that has a
    value for a cell and day is taken. Left out: all that are there, by name."""
    variables: tuple[str, ...] | None = None
    """Variables to make. Left out: NDVI, EVI and NIRv of reflectances and MOD13, fAPAR of MCD15,
    temperatures of MOD11."""
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A cell with a smaller share of good pixels is a gap."""
    fetch: GranuleSource | None = None
    """Where `upscale fetch` gets what is missing; an ingest ignores it."""

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
    """A GeoTIFF that says where land is."""
    water: tuple[int, ...] = (0,)
    """Codes of water in it."""


class Static(Strict):
    """Maps that do not change."""

    igbp: Places
    """Land cover: one GeoTIFF, or granules of MCD12Q1 or MCD12C1 (of each tile the latest year)."""
    legend: CoverLegend | dict[int, str] | None = None
    """What the codes of a GeoTIFF of land cover mean: `MCD12Q1` (water 17, 0 fill), `MCD12C1`
    (water 0), or names by code. Left out: what the file states, else what its codes prove."""
    koppen: str = "derive"
    """A GeoTIFF of Koeppen-Geiger classes, or `derive`: from the monthly temperature and rain of
    the cube."""
    koppen_legend: KoppenLegend | dict[int, str] | None = None
    """What its codes mean: `Beck` (1 Af, 2 Am, 3 Aw, 4 BWh ... 30 EF), `Rubel` (1 Af, 2 Am, 3 As,
    4 Aw, 5 BSh ... 31 ET), `Kottek` (5 BWk, 6 BWh, 7 BSk, 8 BSh, else as Rubel), `Kottek-codes`
    (11 Af ... 62 ET), or names by code such as `{10: Cfb}`. Left out: what the file states, else
    what its codes prove by the places where they stand."""
    sftlf: LandShare | None = None
    """Where the land is. Left out: the land cover says it."""
    elevation: str | None = None
    """A GeoTIFF of heights in m; left out: unknown."""

    @field_validator("legend", "koppen_legend")
    @classmethod
    def _classes(cls, legend: Any, info: ValidationInfo) -> Any:
        kind: Kind = "igbp" if info.field_name == "legend" else "koppen"
        if isinstance(legend, dict):
            legend_of_names(kind, legend, "by code", "")
        return legend

    @field_validator("koppen", "elevation")
    @classmethod
    def _expand_user(cls, place: str | None) -> str | None:
        return None if place is None else expand_user(place)


class Gaps(Strict):
    """How gaps of satellite series are filled; see `upscale.drivers.gaps`."""

    linear: int = Field(default=16, ge=0)
    """Longest gap, in days, that a straight line bridges (causal: over which the last value is
    held)."""
    limit: int = Field(default=90, ge=0)
    """Longest gap that is filled at all. 0: nothing is filled."""
    causal: bool = False
    """Near-real time: a day knows nothing of later days."""

    @model_validator(mode="after")
    def _in_order(self) -> Gaps:
        if self.linear > self.limit:
            raise ValueError(f"linear {self.linear} lies above limit {self.limit}: lower it")
        return self

    @property
    def rule(self) -> GapRule:
        return GapRule(self.linear, self.limit, self.causal)


class CacheSettings(Strict):
    """The folder for copies of remote files that are in use, and how large it may grow."""

    folder: str | None = None
    """Where copies of remote files are kept while they are needed; left out: a folder of the system
    for temporary files. All workers of a machine share it. It must be this user's own: of a mounted
    volume that all may write to, name a folder inside."""
    gigabytes: float = Field(default=20, gt=0)
    """Largest size of the cache in GB."""

    @field_validator("folder")
    @classmethod
    def _expand_user(cls, place: str | None) -> str | None:
        return None if place is None else expand_user(place)


class Ingest(Strict):
    """INGEST.yaml."""

    cube: str = Field(min_length=1)
    """The driver cube to write or to go on with: a path or a URL."""
    period: Period
    """The days of the cube. A cube grows at its end alone."""
    meteo: Meteo
    """Weather: hourly or daily files of ERA5-Land or ERA5."""
    static: Static
    """Maps that do not change: land cover, climate, land share, height."""
    satellite: tuple[Satellite, ...] = ()
    """A list of entries, each of granules that give some variables. No variable stands in two."""
    grid: str = "global-0p05"
    """Grid of maps and satellite series: a name of `grids/`, or a file."""
    region: Region | None = None
    """Keep the cells whose centres lie inside it. Left out: the whole grid."""
    day: Literal["local-standard", "utc"] = "local-standard"
    """Days of local standard time, as towers count them, or `utc`. Daily products are `utc`."""
    title: str = "Daily drivers from satellite and reanalysis archives"
    """Title of the cube."""
    gaps: Gaps = Gaps()
    """How gaps of satellite series are filled."""
    tile: Annotated[int, Field(ge=1, le=1000)] = 100
    """Edge of a tile, which is stored as one chunk, in cells."""
    block: Annotated[int, Field(ge=1, le=366)] = 30
    """Days of a block, which is stored as one chunk."""
    cache: CacheSettings = CacheSettings()
    """Copies of remote files."""
    cluster: Cluster = Cluster()
    """Where the work is done, as in RUN.yaml."""
    memory: float = Field(default=2.5, gt=0)
    """GiB that one work item may take: bands are cut so that it suffices."""
    retries: int = Field(default=2, ge=0)
    """More attempts at a work item that failed."""
    interval: float = Field(default=30, gt=0)
    """Seconds between log lines where there is no terminal."""

    @field_validator("cube")
    @classmethod
    def _expand_user(cls, place: str) -> str:
        return expand_user(check_store_place(place.rstrip("/")))

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
