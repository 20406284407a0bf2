"""The published layout of CarbonFluxBench (arXiv:2603.09868).

| file | what is read |
| --- | --- |
| `target_fluxes.parquet` | `TIMESTAMP, site, lat, lon, IGBP`, GPP, RECO, NEE and its quality |
| `ERA5.parquet` | ERA5-Land: `date, site` and the columns of `_WEATHER` |
| `MOD09GA.parquet` (optional) | `date, site` and satellite variables of `upscale.variables` |
| `koppen_sites*.json` (optional) | Koeppen-Geiger class by site |

Units are those of the daily aggregates of ERA5-Land: K, J m-2, m. Weather has UTC days and fluxes
have days of local standard time; nothing is shifted. VPD is not among the columns: it is computed
from the daily means of temperature and dew point, which is assumed to be close to the daily mean
and is slightly low. Reflectances and angles are already scaled. For Japanese towers the authors
converted the quality from classes to 0..1; it is used unchanged.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from upscale.humidity import saturation_pressure
from upscale.stores.broken import refusing
from upscale.towers.layouts.parse import days, numbers
from upscale.towers.layouts.tables import columns_of, read_parquet
from upscale.towers.satellite import Series
from upscale.towers.sites import complete, known_sites, listed, require
from upscale.towers.tower import DRIVERS, Tower, TowerWarning, good_days, make_tower, unbroken
from upscale.variables import FLUXES, KOPPEN, class_code, of_kind

FILE = "target_fluxes.parquet"
ERA, MODIS = "ERA5.parquet", "MOD09GA.parquet"
KOPPEN_FILES = ("koppen_sites.json", "koppen_sites_short.json")

#: Every file that is read.
FILES = (FILE, ERA, MODIS, *KOPPEN_FILES)

_WHAT = "VUT_USTAR50; weather of ERA5-Land, UTC days"

_TARGETS = {
    "gpp": "GPP_NT_VUT_USTAR50",
    "reco": "RECO_NT_VUT_USTAR50",
    "nee": "NEE_VUT_USTAR50",
    "nee_qc": "NEE_VUT_USTAR50_QC",
}
_PLACE = {"lat": "lat", "lon": "lon", "IGBP": "igbp"}

#: ERA5-Land columns; the last two may be missing.
_WEATHER = (
    "temperature_2m",
    "surface_solar_radiation_downwards_sum",
    "dewpoint_temperature_2m",
    "total_precipitation_sum",
)
_SECONDS = 86_400.0
_KELVIN = 273.15


#: MOD09GA columns with another name in `upscale.variables`; the others have the same.
_ANGLES = {
    "SensorZenith": "sensor_zenith",
    "SensorAzimuth": "sensor_azimuth",
    "SolarZenith": "solar_zenith",
    "SolarAzimuth": "solar_azimuth",
}


def read_sites(folder: Path, table: Path | None = None) -> pd.DataFrame:
    """The sites that have fluxes; values in the table of sites take precedence."""
    return _sites(folder, _targets(folder), table)


def read(
    folder: Path, sites: Sequence[str] | None = None, table: Path | None = None
) -> tuple[Tower, ...]:
    """The towers of a folder, sorted by site; sites: only these, if given.

    A site is named without its network (`FLX_AR-SLu` is `AR-SLu`); of several networks, the one
    with the most good flux days is taken. Sites without weather are left out and named in a
    TowerWarning. ValueError names the file, column or site at fault.
    """
    targets = _targets(folder)
    meta = _sites(folder, targets, table)
    if sites is not None:
        meta = listed(meta, sites, f"site in {folder / FILE}")
    targets = targets[targets["site"].isin(meta["site"])]
    keys = targets["key"].unique().tolist()
    fluxes, weather, seen = map(_by_key, (targets, _era5(folder, keys), _modis(folder, keys)))
    if lost := sorted(set(keys) - set(weather)):
        what = f"{folder}: left out, because they are not in {ERA}: {', '.join(lost)}"
        warnings.warn(what, TowerWarning, stacklevel=3)
    key_of = dict(zip(targets["site"], targets["key"], strict=True))
    rows = ((row, key_of[str(row["site"])]) for _, row in meta.iterrows())
    rows = ((row, key) for row, key in rows if key in weather)
    towers = (_tower(row, key, fluxes[key], weather[key], folder) for row, key in rows)
    return tuple(
        replace(tower, satellite=_series(seen.get(key_of[tower.site]), tower)) for tower in towers
    )


def _tower(
    site: pd.Series, key: str, fluxes: pd.DataFrame, weather: pd.DataFrame, folder: Path
) -> Tower:
    for name, part in ((FILE, fluxes), (ERA, weather)):
        unbroken(part, f"{folder / name}: {key}")
    record = pd.concat([fluxes[list(_TARGETS)], weather[list(DRIVERS)]], axis="columns")
    return make_tower(site, record, f"CarbonFluxBench {key}: {_WHAT}", str(folder))


def _sites(folder: Path, targets: pd.DataFrame, table: Path | None) -> pd.DataFrame:
    first = targets.drop_duplicates("site").set_index("site")
    known = known_sites(folder, table).set_index("site").reindex(first.index)
    found = first[["lat", "lon", "igbp"]].assign(koppen=_koppen(folder, first["key"]))
    for name in found:
        known[name] = known[name].where(known[name].notna(), found[name])
    return complete(known.reset_index(), first.index.tolist(), folder)


def _koppen(folder: Path, keys: pd.Series) -> pd.Series:
    """The three-letter class of each site where a file gives it; some give only main groups."""
    labels: dict[str, str] = {}
    for path in (folder / name for name in KOPPEN_FILES):
        with refusing(str(path), "a JSON object of classes by site", ValueError):
            content = json.loads(path.read_text()) if path.is_file() else {}
            labels |= {site: label for site, label in content.items() if class_code(KOPPEN, label)}
    return keys.map(lambda key: labels.get(key, labels.get(_site_of(key))))


def _targets(folder: Path) -> pd.DataFrame:
    """Fluxes of every site from the network with the most good days, indexed by day number."""
    path = folder / FILE
    rows = _read(path, ("TIMESTAMP", "site", *_PLACE, *_TARGETS.values()), ())
    table = pd.DataFrame(
        {name: numbers(rows[column], str(path)) for name, column in _TARGETS.items()}
    )
    table["key"] = rows["site"].astype(str).to_numpy()
    table["site"] = [_site_of(key) for key in table["key"]]
    for column, name in _PLACE.items():
        table[name] = rows[column].to_numpy()
    table = table.set_index(days(rows["TIMESTAMP"], str(path)))
    return table[table["key"].isin(_best_keys(table))]


def _best_keys(table: pd.DataFrame) -> list[str]:
    """For each site, the name (network and site) with the most good flux days."""
    quality = table["nee_qc"].to_numpy(np.float32)
    fluxes = table[list(FLUXES)].to_numpy(np.float32)
    good = table.assign(good=good_days(fluxes, quality, np.zeros(len(table), bool)))
    counts = good.groupby(["site", "key"])["good"].sum().reset_index()
    counts = counts.sort_values(["site", "good", "key"], ascending=[True, False, True])
    return counts.drop_duplicates("site")["key"].astype(str).tolist()


def _era5(folder: Path, keys: Sequence[str]) -> pd.DataFrame:
    """Drivers in the units of `upscale.variables`, indexed by day number."""
    path = folder / ERA
    rows = _read(path, ("date", "site", *_WEATHER[:2]), _WEATHER[2:], keys)
    raw = {name: numbers(rows[name], str(path)) for name in _WEATHER if name in rows}
    none = np.full(len(rows), np.nan)
    ta = raw[_WEATHER[0]] - _KELVIN
    dew = raw.get(_WEATHER[2], none) - _KELVIN
    columns = {
        "ta": ta,
        "sw_in": np.maximum(raw[_WEATHER[1]] / _SECONDS, 0),
        "vpd": np.maximum(saturation_pressure(ta) - saturation_pressure(dew), 0),
        "p": np.maximum(raw.get(_WEATHER[3], none) * 1000, 0),
        "key": rows["site"].astype(str).to_numpy(),
    }
    return pd.DataFrame(columns, index=days(rows["date"], str(path)))


def _modis(folder: Path, keys: Sequence[str]) -> pd.DataFrame:
    """Satellite variables by the names of `upscale.variables`, indexed by day number."""
    path = folder / MODIS
    if not path.is_file():
        return pd.DataFrame({"key": []}, dtype=str)
    names = {name: name for name in of_kind("satellite")} | _ANGLES
    rows = _read(path, ("date", "site"), tuple(names), keys)
    columns = {names[c]: numbers(rows[c], str(path)) for c in names if c in rows}
    key = rows["site"].astype(str).to_numpy()
    return pd.DataFrame(columns | {"key": key}, index=days(rows["date"], str(path)))


def _series(rows: pd.DataFrame | None, tower: Tower) -> Series:
    """Satellite variables on the days of a tower; those without a value are left out."""
    if rows is None:
        return {}
    there = unbroken(rows.drop(columns="key"), f"{MODIS}: {tower.site}").reindex(tower.days)
    series = {str(name): there[name].to_numpy(np.float32) for name in there}
    return {name: values for name, values in series.items() if np.isfinite(values).any()}


def _read(
    path: Path, needed: Sequence[str], more: Sequence[str] = (), keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """Columns of a file, limited to the sites `keys` if given; duplicate rows count once."""
    if not path.is_file():
        raise FileNotFoundError(f"expected {path}, found no such file; {FILE} needs it beside it")
    there = columns_of(path)
    require(needed, there, f"column of {path}")
    names = [name for name in (*needed, *more) if name in there]
    only = None if keys is None else [("site", "in", list(keys))]
    return read_parquet(path, names, only).drop_duplicates(ignore_index=True)


def _by_key(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(key): part for key, part in table.groupby("key")}


def _site_of(key: str) -> str:
    return key.rsplit("_", 1)[-1]
