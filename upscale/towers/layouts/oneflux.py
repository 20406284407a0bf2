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
from upscale.towers.tower import DRIVERS, good_days
from upscale.variables import FLUXES

#: Gap-filled weather of the tower itself, or the reanalysis downscaled to the tower.
Weather = Literal["tower", "era"]

#: Versions of the fluxes in order of preference; JapanFlux2024 calls its reference `vUT`.
VERSIONS = ("VUT_USTAR50", "VUT_REF", "VUT")

_NAME = re.compile(
    r"(?P<network>[A-Za-z]+)_(?P<site>[A-Z]{2}-[A-Z0-9]{2,5})_(?P<product>FLUXNET(?:2015)?|JapanFLUX\d+)"
    r"(?:_(?P<group>[A-Z]+5?))?_DD(?:_(?P<years>\d{4}-\d{4}))?(?:_(?P<version>.+))?\.csv",
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
    """A daily file and the parts of its name; years and version may be empty."""

    source: TextFile
    network: str
    site: str
    product: str
    group: str
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
    found: dict[tuple[str, ...], DailyFile] = {}
    for source in files:
        if match := _NAME.fullmatch(source.name):
            parts = {key: text or "" for key, text in match.groupdict().items()}
            parts["group"] = parts["group"].upper()
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
    table = _table(file)
    version = _version(table, versions, file) if file.has_fluxes else ""
    names = {name: f"{name.upper()}_{_SUFFIX[weather]}" for name in DRIVERS}
    if file.has_fluxes:
        names |= {"gpp": f"GPP_NT_{version}", "reco": f"RECO_NT_{version}"}
        names |= {"nee": f"NEE_{version}", "nee_qc": f"NEE_{version}_QC"}
    for needed in ("ta", "sw_in"):
        if names[needed] not in table:
            raise ValueError(_lacks(file, names[needed]))
    days = pd.DataFrame(index=_days(table, file))
    for name, column in names.items():
        days[name] = numbers(table[column], str(file.source)) if column in table else np.nan
    for name, least in _BELOW_ZERO.items():
        days[name] = days[name].mask(days[name].between(least, 0), 0.0)
    days["nee_qc"] = _quality(days.get("nee_qc", days["ta"] * np.nan), file)
    return Daily(file, version, days)


def merge(parts: Sequence[Daily]) -> tuple[pd.DataFrame, str]:
    """The days of one tower from all of its files, and a description of what was used.

    Files are ranked: the product with the most good flux days first, and within a product the
    preferred version of the fluxes. On each day the fluxes and their quality come from the first
    file that has all of them, otherwise from the first that has any; the drivers come from the
    first file with temperature and radiation, otherwise from the first with either.
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

    most: dict[tuple[str, ...], int] = {}
    for part in parts:
        most[product(part)] = max(most.get(product(part), 0), part.good)
    order = {version: number for number, version in enumerate((*VERSIONS, ""))}
    return sorted(
        parts, key=lambda p: (-most[product(p)], product(p), order[p.version], p.file.group)
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


def _table(file: DailyFile) -> pd.DataFrame:
    """The columns that may be needed, in upper case (JapanFlux2024 mixes cases)."""
    stems = [f"{name.upper()}_{suffix}" for name in DRIVERS for suffix in _SUFFIX.values()]
    for version in VERSIONS:
        stems += [f"GPP_NT_{version}", f"RECO_NT_{version}"]
        stems += [f"NEE_{version}", f"NEE_{version}_QC"]
    wanted = {"TIMESTAMP", *stems}
    table = file.source.table(
        usecols=lambda name: str(name).strip().upper() in wanted, encoding="utf-8-sig"
    )
    table.columns = [str(name).strip().upper() for name in table.columns]
    if "TIMESTAMP" not in table or table.empty:
        raise ValueError(_lacks(file, "TIMESTAMP and one row for each day"))
    return table


def _version(table: pd.DataFrame, versions: Sequence[str], file: DailyFile) -> str:
    """The first version with values of all fluxes and quality, otherwise the first with fluxes."""

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
    texts = table["TIMESTAMP"].astype(str)
    dates = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    if dates.isna().any():
        found = texts[dates.isna()].iloc[0]
        raise ValueError(f"{file.source}: expected TIMESTAMP as yyyymmdd, found {found!r}")
    if (twice := dates[dates.duplicated()]).size:
        what = f"found {twice.iloc[0]:%Y-%m-%d} repeated; keep one of the rows"
        raise ValueError(f"{file.source}: expected one row for each day, {what}")
    return pd.Index(day_numbers(dates.to_numpy()))


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
    header = file.source.table(nrows=0, encoding="utf-8-sig").columns.astype(str)
    near = [
        name for name in header if re.match("GPP_NT|RECO_NT|NEE_[VC]UT_[RU]|T(A|IME)|SW_IN", name)
    ]
    found = ", ".join((near or list(header))[:12])
    return f"{file.source}: expected {what}, found {found}; take another product of this tower"
