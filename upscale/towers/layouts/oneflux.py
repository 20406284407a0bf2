"""Daily files of the ONEFlux pipeline from FLUXNET2015, AmeriFlux, ICOS and JapanFlux.

One file holds one tower: `TIMESTAMP` (yyyymmdd, local standard time), -9999 = missing, carbon in
g m-2 d-1. Fluxes are those with variable u* thresholds and night-time partitioning: the version
of the median threshold (`*_VUT_USTAR50`) where the file has it, otherwise the reference
(`*_VUT_REF`); `Tower.origin` says which. Pastorello et al. (2020), doi:10.1038/s41597-020-0534-3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers
from upscale.towers.layouts.parse import numbers
from upscale.towers.layouts.text_files import TextFile
from upscale.towers.tower import DRIVERS, good_days, require_days
from upscale.variables import FLUXES

#: Gap-filled weather of the tower itself, or the reanalysis downscaled to the tower.
Weather = Literal["tower", "era"]

#: Versions of the fluxes in order of preference; JapanFlux2024 calls its reference `vUT`.
VERSIONS = ("VUT_USTAR50", "VUT_REF", "VUT")

_NAME = re.compile(
    r"(?P<network>[A-Za-z]+)_(?P<site>[A-Z]{2}-[A-Z0-9]{2,5})_(?P<product>FLUXNET(?:2015)?|JapanFLUX\d+)"
    r"(?:_(?P<group>[A-Z]+5?))?_(?P<resolution>DD|HH|HR)(?:_(?P<years>\d{4}-\d{4}))?(?:_(?P<version>.+))?\.csv",
    re.IGNORECASE,
)

#: Groups of variables that include fluxes; ICOS names none. The last two occur in JapanFlux2024.
_FLUX_GROUPS = ("", "FULLSET", "SUBSET", "FLUXMET", "ALLVARS", "COREVARS")

#: Groups with the reanalysis only, but for more years.
_ERA_GROUPS = ("ERAI", "ERA5")

_SUFFIX: dict[Weather, str] = {"tower": "F", "era": "ERA"}

#: Regression on a reanalysis leaves small negative numbers where nothing below 0 exists.
_BELOW_ZERO = {"sw_in": -10.0, "vpd": -1.0, "p": -1.0}


@dataclass(frozen=True)
class DailyFile:
    """A daily file and the parts of its name; years and version may be empty.

    resolution: `DD`, or `HH` and `HR` for half-hours and hours that are to become days.
    """

    source: TextFile
    network: str
    site: str
    product: str
    group: str
    resolution: str
    years: str
    version: str

    @property
    def label(self) -> str:
        """The product in words."""
        parts = (self.network, self.product, self.group, self.years, self.version)
        return " ".join(part for part in parts if part)

    @property
    def has_fluxes(self) -> bool:
        """True where the file has fluxes, False where it has only the reanalysis."""
        return self.group in _FLUX_GROUPS


@dataclass(frozen=True)
class Daily:
    """The days of a file: columns as `make_tower` takes them, indexed by day number."""

    file: DailyFile
    version: str
    days: pd.DataFrame

    @property
    def good(self) -> int:
        """Number of good flux days."""
        fluxes = self.days.reindex(columns=list(FLUXES)).to_numpy(np.float32)
        quality = self.days["nee_qc"].to_numpy(np.float32)
        return int(good_days(fluxes, quality, np.zeros(len(quality), bool)).sum())

    @property
    def label(self) -> str:
        """The product and the variables taken from it, in words."""
        if not self.file.has_fluxes:
            return self.file.label
        quality = "" if self.days["nee_qc"].notna().any() else ", no quality"
        return f"{self.file.label}: {self.version}{quality}"


def daily_files(files: Iterable[TextFile]) -> tuple[DailyFile, ...]:
    """The daily ONEFlux files among `files`; of several copies (unpacked, packed) the first."""
    return tuple(file for file in _archive_files(files) if file.resolution == "DD")


def flux_files(files: Iterable[TextFile]) -> tuple[DailyFile, ...]:
    """The daily files with fluxes, and half-hourly or hourly ones of towers without any."""
    found = [file for file in _archive_files(files) if file.has_fluxes]
    daily = {file.site for file in found if file.resolution == "DD"}
    return tuple(f for f in found if f.resolution == "DD" or f.site not in daily)


def _archive_files(files: Iterable[TextFile]) -> tuple[DailyFile, ...]:
    found: dict[tuple[str, ...], DailyFile] = {}
    for source in files:
        if match := _NAME.fullmatch(source.name):
            parts = {key: text or "" for key, text in match.groupdict().items()}
            parts |= {key: parts[key].upper() for key in ("group", "resolution")}
            if parts["group"] in (*_FLUX_GROUPS, *_ERA_GROUPS):
                found.setdefault(tuple(parts.values()), DailyFile(source, **parts))
    return tuple(found.values())


def read_daily(
    file: DailyFile, weather: Weather = "tower", versions: Sequence[str] = VERSIONS
) -> Daily:
    """Read a daily file.

    weather: `tower` reads TA_F, SW_IN_F, VPD_F, P_F, `era` reads TA_ERA and so on. versions: of
    the fluxes, in order of preference. VPD and P may be missing. ValueError names the file and
    the column at fault.
    """
    table = table_of(file, "TIMESTAMP")
    version = version_of(table, file, versions) if file.has_fluxes else ""
    names = columns_of(file, version, weather)
    days = pd.DataFrame(index=_days(table, file))
    for needed in ("ta", "sw_in"):
        if names[needed] not in table:
            raise ValueError(_lacks(file, names[needed]))
    for name, column in names.items():
        days[name] = numbers(table[column], str(file.source)) if column in table else np.nan
    days = negative_as_zero(days)
    days["nee_qc"] = _quality(days.get("nee_qc", days["ta"] * np.nan), file)
    return Daily(file, version, days)


def columns_of(file: DailyFile, version: str, weather: Weather) -> dict[str, str]:
    """The column of a file for each driver and, with a version, each flux and its quality."""
    names = {name: f"{name.upper()}_{_SUFFIX[weather]}" for name in DRIVERS}
    if file.has_fluxes:
        names |= {"gpp": f"GPP_NT_{version}", "reco": f"RECO_NT_{version}"}
        names |= {"nee": f"NEE_{version}", "nee_qc": f"NEE_{version}_QC"}
    return names


def negative_as_zero(days: pd.DataFrame) -> pd.DataFrame:
    """Days on which what cannot be below zero is slightly below, with zero there."""
    for name, least in _BELOW_ZERO.items():
        days[name] = days[name].mask(days[name].between(least, 0), 0.0)
    return days


def merge(parts: Sequence[Daily]) -> tuple[pd.DataFrame, str]:
    """The days of one tower from all of its files, and a description of what was used.

    parts: the newest release first. Within a release, the preferred version of the fluxes goes
    first. On each day the fluxes and their quality come from the first file that has all of them,
    otherwise from the first that has any; the drivers come from the first file with temperature
    and radiation, otherwise from the first with either.
    """
    parts = _ranked(parts)
    days = parts[0].days.index
    for part in parts[1:]:
        days = days.union(part.days.index)
    merged = pd.DataFrame(index=days)
    used = [False] * len(parts)
    for names, telling in (((*FLUXES, "nee_qc"), FLUXES), (DRIVERS, ("ta", "sw_in"))):
        block, owner = _first(parts, days, list(names), list(telling))
        merged[list(names)] = block
        used = [was or number in owner for number, was in enumerate(used)]
    return merged, " + ".join(p.label for p, was in zip(parts, used, strict=True) if was)


def _ranked(parts: Sequence[Daily]) -> list[Daily]:
    def product(part: Daily) -> tuple[str, ...]:
        return part.file.network, part.file.product, part.file.years, part.file.version

    release = {key: number for number, key in reversed(list(enumerate(map(product, parts))))}
    order = {version: number for number, version in enumerate((*VERSIONS, ""))}
    return sorted(
        parts,
        key=lambda p: (release[product(p)], order.get(p.version.split(" ")[0], 0), p.file.group),
    )


def _first(
    parts: Sequence[Daily], days: pd.Index, names: list[str], telling: list[str]
) -> tuple[NDArray[np.float64], set[int]]:
    """`(day, name)` of the first part with all of `telling`, else any, and the parts used."""
    block = np.full((len(days), len(names)), np.nan)
    taken = np.full(len(days), -1)
    tables = [part.days.reindex(index=days, columns=names) for part in parts]
    there = [table[telling].notna().to_numpy() for table in tables]
    for serves in (np.all, np.any):
        for number, table in enumerate(tables):
            free = (taken < 0) & serves(there[number], axis=1)
            block[free], taken[free] = table.to_numpy(float)[free], number
    return block, set(taken[taken >= 0].tolist())


def table_of(file: DailyFile, stamp: str) -> pd.DataFrame:
    """The columns that may be needed, in upper case (JapanFlux2024 mixes cases).

    stamp: the column of stamps. ValueError where it is missing, or there are no rows.
    """
    stems = [f"{name.upper()}_{suffix}" for name in DRIVERS for suffix in _SUFFIX.values()]
    for version in VERSIONS:
        stems += [f"GPP_NT_{version}", f"RECO_NT_{version}"]
        stems += [f"NEE_{version}", f"NEE_{version}_QC"]
    wanted = {stamp, *stems}
    table = file.source.table(
        usecols=lambda name: str(name).strip().upper() in wanted, encoding="utf-8-sig"
    )
    table.columns = [str(name).strip().upper() for name in table.columns]
    if stamp not in table or table.empty:
        rows = "one row for each day" if stamp == "TIMESTAMP" else "one row for each half-hour"
        raise ValueError(_lacks(file, f"{stamp} and {rows}"))
    return table


def version_of(table: pd.DataFrame, file: DailyFile, versions: Sequence[str] = VERSIONS) -> str:
    """The first version with values of all fluxes and quality, otherwise the first with fluxes.

    ValueError where there is none, as in a file with constant u* thresholds (CUT) alone.
    """

    def filled(version: str, *stems: str) -> bool:
        names = [stem.format(version) for stem in stems]
        return all(name in table and bool((table[name] != -9999).any()) for name in names)

    fluxes = ("GPP_NT_{}", "RECO_NT_{}", "NEE_{}")
    for stems in ((*fluxes, "NEE_{}_QC"), fluxes):
        for version in versions:
            if filled(version, *stems):
                return version
    wanted = " or ".join(f"GPP_NT_{v}, RECO_NT_{v}, NEE_{v}" for v in versions[:2])
    raise ValueError(_lacks(file, f"values of {wanted}"))


def _days(table: pd.DataFrame, file: DailyFile) -> pd.Index:
    """Day numbers; ValueError where the rows are not days, or a day is there twice."""
    texts = table["TIMESTAMP"].astype(str)
    dates = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    if dates.isna().any():
        found = texts[dates.isna()].iloc[0]
        hours = ": a stamp of hours? take the daily (DD) file" if len(found) == 12 else ""
        raise ValueError(f"{file.source}: expected TIMESTAMP as yyyymmdd, found {found!r}{hours}")
    if (twice := dates[dates.duplicated()]).size:
        what = f"found {twice.iloc[0]:%Y-%m-%d} repeated; keep one of the rows"
        raise ValueError(f"{file.source}: expected one row for each day, {what}")
    days = day_numbers(dates.to_numpy())
    require_days(days, str(file.source))
    return pd.Index(days)


def _quality(values: pd.Series, file: DailyFile) -> pd.Series:
    """Share 0..1 of half-hours measured or filled well.

    JapanFlux2024 fills gaps with REddyProc and gives the daily mean of a class from 0 (measured)
    to 3 (poor); this is assumed from the benchmark of arXiv:2603.09868, which inverts it, too. A
    mean of up to 1 becomes quality 1 and a mean of 3 becomes quality 0.
    """
    highest = 1.0
    if file.product.upper().startswith("JAPANFLUX"):
        highest, shares = 3.0, ((3 - values) / 2).clip(0, 1)
    else:
        shares = values
    if ((values < 0) | (values > highest + 1e-6)).any():
        found = f"{values.min():.4g} to {values.max():.4g}"
        raise ValueError(
            f"{file.source}: expected NEE quality from 0 to {highest:g}, found {found}"
        )
    return shares


def _lacks(file: DailyFile, what: str) -> str:
    """What was expected, what the header holds instead, and what to take."""
    header = file.source.table(nrows=0, encoding="utf-8-sig").columns.astype(str)
    near = [
        name for name in header if re.match("GPP_NT|RECO_NT|NEE_[VC]UT_[RU]|T(A|IME)|SW_IN", name)
    ]
    found = ", ".join((near or list(header))[:12])
    way = "take another product of this tower"
    if len(header) == 1 and ";" in header[0]:
        way = "save it with commas between columns and points in numbers"
    elif any("_CUT_" in name for name in header) and not any("_VUT_" in name for name in header):
        way = "it has constant u* thresholds (CUT) alone: take a FULLSET, or a SUBSET with VUT_REF"
    elif "TIMESTAMP_START" in header and file.resolution == "DD":
        way = "its stamps are those of half-hours: take the daily (DD) file, or name it HH"
    return f"{file.source}: expected {what}, found {found}; {way}"
