"""Coordinates and classes of towers from the BADM metadata files of the archives.

A BADM file (`FLX_AA-Flx_BIF_DD_20200501.csv`, `AMF_US-Ha1_FLUXNET_BIF_1991-2025_v1.3_r1.csv`,
`ICOSETC_BE-Bra_SITEINFO_L2.csv`) is a long table: `SITE_ID, ..., VARIABLE, DATAVALUE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from upscale.towers.layouts.text_files import TextFile

#: The BADM variable of each column of the table of sites that BADM can fill.
_VARIABLES = {
    "LOCATION_LAT": "lat",
    "LOCATION_LONG": "lon",
    "LOCATION_ELEV": "elevation",
    "IGBP": "igbp",
    "CLIMATE_KOEPPEN": "koppen",
    "SITE_NAME": "name",
}
_NUMBERS = ("lat", "lon", "elevation")
_NAME = re.compile(r"(^|_)(BIF|SITEINFO)(_|\.)", re.IGNORECASE)
_NEEDED = ("SITE_ID", "VARIABLE", "DATAVALUE")


def is_badm(name: str) -> bool:
    """Whether a file of this name holds metadata of sites (not of variables)."""
    return _NAME.search(name) is not None


def read_badm(files: Iterable[TextFile]) -> pd.DataFrame:
    """Metadata of sites, indexed by site: lat, lon, elevation, igbp, koppen, name.

    files: files without metadata are ignored. Where a value is given more than once (a tower that
    moved) the last one counts. ValueError names a file without the columns of BADM.
    """
    tables = [_rows(file) for file in files if is_badm(file.name)]
    empty = pd.DataFrame({"site": [], "column": [], "value": []}, dtype=str)
    rows = pd.concat([empty, *tables]).drop_duplicates(["site", "column"], keep="last")
    wide = rows.pivot(index="site", columns="column", values="value")
    wide = wide.reindex(columns=list(_VARIABLES.values()))
    for name in _NUMBERS:
        wide[name] = pd.to_numeric(wide[name], errors="coerce")
    for name in ("igbp", "koppen"):  # some write `ENF - Evergreen Needleleaf Forests`
        wide[name] = wide[name].astype(object).str.extract(r"^\s*([A-Za-z]+)", expand=False)
    return wide


def _rows(file: TextFile) -> pd.DataFrame:
    """The rows of a BADM file that fill a column of the table of sites, with its column names."""
    table = file.table(dtype=str, encoding_errors="replace", on_bad_lines="skip")
    table.columns = [str(name).strip().upper() for name in table.columns]
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise ValueError(
            f"{file}: expected the columns {', '.join(_NEEDED)} of BADM, found no "
            f"{', '.join(missing)}; correct the file or remove it"
        )
    table = table[table["VARIABLE"].isin(list(_VARIABLES))].dropna(subset=list(_NEEDED))
    return pd.DataFrame(
        {
            "site": table["SITE_ID"].str.strip(),
            "column": table["VARIABLE"].map(_VARIABLES),
            "value": table["DATAVALUE"].str.strip(),
        }
    )
