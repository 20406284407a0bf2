"""Synthetic flux towers: a folder in the harmonised layout, for tests and examples.

Weather depends on latitude and season, and fluxes on the weather through a light-use and a
temperature response, so that a model can learn from them; nothing here is measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers
from upscale.grid.astronomy import potential_radiation

Floats = NDArray[np.float64]

_CLASSES = (("ENF", "Dfb"), ("GRA", "Cfb"), ("DBF", "Dfb"), ("OSH", "BSk"), ("CRO", "Csa"))
_VIGOUR = {"ENF": 1.4, "GRA": 1.2, "DBF": 1.6, "OSH": 0.5, "CRO": 1.5}
_START, _END = "2003-01-01", "2006-12-31"


def write_towers(
    folder: str | Path, count: int = 10, seed: int = 0, satellite: bool = False
) -> Path:
    """Write `towers.parquet` and `sites.parquet` of `count` synthetic towers; returns the folder.

    Towers 0 and 1 share a cluster and a 0.05 degree cell; tower 2 has no precipitation; tower 3
    has a data product with a mask instead of a quality number; the last tower is suspect.
    satellite: also write `satellite.parquet`: 8-day composites of three indices at every second
    tower, and 4-day composites of fAPAR, with gaps, at every third.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    sites = pd.DataFrame([_site(i, count, rng) for i in range(count)])
    rows = pd.concat([_rows(site, rng) for _, site in sites.iterrows()], ignore_index=True)
    sites.drop(columns=["number"]).to_parquet(folder / "sites.parquet")
    rows.to_parquet(folder / "towers.parquet")
    if satellite:
        _composites(sites, np.random.default_rng([seed, 1])).to_parquet(
            folder / "satellite.parquet"
        )
    return folder


def _site(number: int, count: int, rng: np.random.Generator) -> dict[str, object]:
    """The row of one synthetic site; the first two are twins, the last is suspect."""
    igbp, koppen = _CLASSES[max(number, 1) % len(_CLASSES)]
    twin = number < 2
    lat = 47.012 if twin else float(rng.uniform(30, 62)) * (-1 if number % 7 == 6 else 1)
    lon = 11.012 + 0.001 * number if twin else float(rng.uniform(-120, 120))
    return {
        "number": number,
        "site": f"XX-T{number:02d}",
        "name": f"Made tower {number}",
        "lat": lat,
        "lon": lon,
        "elevation": np.float32(rng.uniform(0, 900)),
        "igbp": igbp,
        "koppen": koppen,
        "cluster": "C_twins" if twin else f"C_XX-T{number:02d}",
        "source": "MADE",
        "suspect": number == count - 1,
        "flag": "made",
        "licence": "CC0-1.0",
        "citation": "Made towers of the package's own test data",
    }


def _rows(site: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """The days of one synthetic tower: weather, fluxes that follow from it, and their quality."""
    dates = pd.date_range(_START, _END)
    days = day_numbers(dates.to_numpy())
    sw_pot = potential_radiation(np.array([site["lat"]]), days)[0].astype(float)
    weather = _weather(sw_pot, rng)
    fluxes = _fluxes(weather, _VIGOUR[site["igbp"]], rng)
    quality = np.clip(rng.normal(0.95, 0.12, len(days)), 0, 1)
    fluxes.loc[rng.uniform(size=len(days)) < 0.1] = np.nan
    table = pd.concat([weather, fluxes], axis=1)
    if site["number"] == 2:
        table["P"] = np.nan
    masked = site["number"] == 3
    table["NEE_QC"] = np.nan if masked else np.where(fluxes["NEE"].notna(), quality, np.nan)
    table["qc_masked"] = masked & fluxes["NEE"].notna()
    table = table.astype({name: np.float32 for name in table.columns if name != "qc_masked"})
    return table.assign(site=site["site"], date=dates, source="MADE")


def _weather(sw_pot: Floats, rng: np.random.Generator) -> pd.DataFrame:
    noise = _red_noise(len(sw_pot), rng)
    cloud = 1 / (1 + np.exp(-1.5 * _red_noise(len(sw_pot), rng)))
    sw_in = sw_pot * (0.25 + 0.45 * (1 - cloud))
    ta = -8 + 0.075 * np.roll(sw_pot, 25) + 4 * noise
    humidity = np.clip(0.45 + 0.45 * cloud, 0, 1)
    vpd = (1 - humidity) * 6.11 * np.exp(17.3 * ta / (ta + 237.3))
    rain = np.where(cloud > 0.6, rng.gamma(0.8, 6.0, len(sw_pot)), 0.0)
    return pd.DataFrame({"TA": ta, "SW_IN": sw_in, "VPD": vpd, "P": rain})


def _fluxes(weather: pd.DataFrame, vigour: float, rng: np.random.Generator) -> pd.DataFrame:
    warm = 1 / (1 + np.exp(-(weather["TA"] - 8) / 4))
    dry = np.exp(-weather["VPD"] / 25)
    gpp = vigour * 0.035 * weather["SW_IN"] * warm * dry + rng.normal(0, 0.3, len(warm))
    reco = vigour * 1.1 * 2 ** ((weather["TA"] - 10) / 10) + rng.normal(0, 0.2, len(warm))
    reco = reco.clip(lower=0)
    return pd.DataFrame({"GPP": gpp, "RECO": reco, "NEE": reco - gpp})


def _composites(sites: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The long table of satellite composites, which follow the season of each place."""
    parts = []
    for _, site in sites.iterrows():
        if site["number"] % 2 == 0:
            parts += [_index(site, name, 8, rng) for name in ("NDVI", "EVI", "NIRv")]
        if site["number"] % 3 == 0:
            parts.append(_index(site, "FPAR_filtered", 4, rng).sample(frac=0.7, random_state=1))
    return pd.concat(parts, ignore_index=True)


def _index(site: pd.Series, name: str, length: int, rng: np.random.Generator) -> pd.DataFrame:
    """One variable at one site, a row for each period of `length` days of the year."""
    dates = pd.date_range(_START, _END)
    opens = dates[(dates.day_of_year - 1) % length == 0]
    days = day_numbers(opens.to_numpy())
    season = potential_radiation(np.array([site["lat"]]), days - 25)[0] / 500
    green = 0.15 + 0.4 * _VIGOUR[site["igbp"]] * season + rng.normal(0, 0.03, len(days))
    share = {"EVI": 0.6, "NIRv": 0.35}.get(name, 1.0)
    return pd.DataFrame(
        {
            "site": site["site"],
            "date": opens,
            "product": f"made, {length}-day",
            "variable": name,
            "value": (share * green.clip(0, 0.95)).astype(np.float32),
            "units": "1",
            "period_days": np.int8(length),
        }
    )


def _red_noise(length: int, rng: np.random.Generator, memory: float = 0.8) -> Floats:
    """First-order autoregressive noise `(length,)` of unit variance."""
    shocks = rng.normal(0, np.sqrt(1 - memory**2), length)
    series = np.empty(length)
    level = 0.0
    for i, shock in enumerate(shocks):
        level = memory * level + shock
        series[i] = level
    return series
