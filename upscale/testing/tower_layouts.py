"""Synthetic towers in the layouts of archives: ONEFlux daily files, CarbonFluxBench tables."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pandas as pd

from upscale.testing.towers import write_towers

Packing = Literal["csv", "gz", "zip"]

#: Columns of the synthetic table by those of a daily file; `{}` is the version of the fluxes.
_FLUXES = {
    "GPP_NT_{}": "GPP",
    "RECO_NT_{}": "RECO",
    "NEE_{}": "NEE",
    "NEE_{}_QC": "NEE_QC",
}
_WEATHER = {"TA_F": "TA", "SW_IN_F": "SW_IN", "VPD_F": "VPD", "P_F": "P"}

#: Versions of the fluxes in each group of variables.
_VERSIONS = {
    "FULLSET": ("VUT_USTAR50", "VUT_REF"),
    "FLUXMET": ("VUT_USTAR50", "VUT_REF"),
    "SUBSET": ("VUT_REF",),
}


def write_oneflux(
    folder: str | Path,
    group: str = "FULLSET",
    packing: Packing = "csv",
    count: int = 4,
    seed: int = 0,
) -> Path:
    """Write synthetic towers as ONEFlux daily files and a `sites.csv`; returns the folder.

    group: FULLSET, SUBSET or FLUXMET, which decides the columns. The fluxes, weather and
    coordinates are those of `write_towers` with the same count and seed; the reference
    version of a FULLSET is its u* median version plus 0.5 g m-2 d-1.
    """
    folder = Path(folder)
    rows, sites = _made(folder, count, seed)
    for site, part in rows.groupby("site"):
        name = f"FLX_{site}_FLUXNET2015_{group}_DD_2003-2006_1-4.csv"
        _pack(folder / name, daily_csv(part, _VERSIONS[group]), packing)
    sites[["site", "lat", "lon", "igbp", "koppen"]].to_csv(folder / "sites.csv", index=False)
    return folder


def daily_csv(rows: pd.DataFrame, versions: tuple[str, ...] = ("VUT_USTAR50", "VUT_REF")) -> str:
    """The text of a daily file with the days of one synthetic tower; rows as in `towers.parquet`.

    versions: of the fluxes; all but the first are larger by 0.5 g m-2 d-1.
    """
    table = pd.DataFrame({"TIMESTAMP": rows["date"].dt.strftime("%Y%m%d")})
    for name, column in _WEATHER.items():
        table[name] = rows[column]
    for version in versions:
        for name, column in _FLUXES.items():
            moved = column != "NEE_QC" and version != versions[0]
            table[name.format(version)] = rows[column] + (0.5 if moved else 0.0)
    return table.to_csv(index=False, na_rep="-9999", float_format="%.9g")


def write_carbonfluxbench(folder: str | Path, count: int = 4, seed: int = 0) -> Path:
    """Write synthetic towers in the layout of CarbonFluxBench; returns the folder.

    Site names carry a network prefix (`FLX_XX-T00`); weather is in the units of ERA5-Land, with
    the dew point that fits VPD; three bands and the solar angle stand for MODIS.
    """
    folder = Path(folder)
    rows, sites = _made(folder, count, seed)
    sites = sites.set_index("site")
    key = "FLX_" + rows["site"]
    _targets(rows, sites).assign(site=key).to_parquet(folder / "target_fluxes.parquet")
    weather = _era5(rows).assign(site=key, date=rows["date"].dt.date)
    weather.to_parquet(folder / "ERA5.parquet")
    _modis(rows, seed).assign(site=key).to_parquet(folder / "MOD09GA.parquet")
    koppen = {f"FLX_{site}": label for site, label in sites["koppen"].items()}
    (folder / "koppen_sites_short.json").write_text(json.dumps(koppen))
    main = {name: label[0] for name, label in koppen.items()}
    (folder / "koppen_sites.json").write_text(json.dumps(main))
    return folder


def _made(folder: Path, count: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days and sites of `write_towers`; creates the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place:
        made = write_towers(place, count, seed)
        return pd.read_parquet(made / "towers.parquet"), pd.read_parquet(made / "sites.parquet")


def _targets(rows: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"TIMESTAMP": rows["date"].dt.strftime("%Y%m%d").astype(int)})
    for name, column in _FLUXES.items():
        table[name.format("VUT_USTAR50")] = rows[column].astype(float).fillna(-9999.0)
    for name in ("lat", "lon", "igbp"):
        table["IGBP" if name == "igbp" else name] = rows["site"].map(sites[name])
    return table[rows["NEE"].notna().to_numpy()]


def _era5(rows: pd.DataFrame) -> pd.DataFrame:
    """Weather of a tower in the columns and units of ERA5-Land; the dew point follows from VPD."""
    ta, vpd = rows["TA"].astype(float), rows["VPD"].astype(float)
    pressure = 6.1094 * np.exp(17.625 * ta / (ta + 243.04)) - vpd
    log = np.log(pressure / 6.1094)
    return pd.DataFrame(
        {
            "temperature_2m": ta + 273.15,
            "dewpoint_temperature_2m": 243.04 * log / (17.625 - log) + 273.15,
            "surface_solar_radiation_downwards_sum": rows["SW_IN"].astype(float) * 86_400,
            "total_precipitation_sum": rows["P"].astype(float) / 1000,
        }
    )


def _modis(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"date": rows["date"].dt.date})
    for band in (1, 2, 3):
        table[f"sur_refl_b{band:02d}"] = rng.uniform(0.02, 0.5, len(rows))
    table["SolarZenith"] = rng.uniform(20, 70, len(rows))
    table["clouds"] = rng.uniform(0, 1, len(rows))
    return table


def _pack(path: Path, text: str, packing: Packing) -> None:
    if packing == "csv":
        path.write_text(text)
    elif packing == "gz":
        Path(f"{path}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.name, text)
            archive.writestr(path.name.replace("_DD_", "_YY_"), "TIMESTAMP,TA_F\n2003,8.0\n")
