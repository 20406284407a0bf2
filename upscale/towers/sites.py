"""The table of sites: coordinates, classes, clusters and other metadata of towers.

It is read from `sites.parquet` or `sites.csv` of a folder; missing values are taken from metadata
files of the archives. Only coordinates are required: an unknown class stays unknown, a missing
cluster is found by distance, and a tower is suspect only where the table says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from upscale.towers.clusters import cluster_names
from upscale.towers.layouts.badm import read_badm
from upscale.towers.layouts.parse import truth
from upscale.towers.layouts.tables import read_csv, read_parquet
from upscale.towers.layouts.text_files import TextFile
from upscale.towers.tower import TowerWarning
from upscale.variables import IGBP, KOPPEN, class_code

#: Columns that every completed table of sites has; further columns are kept.
SITE_COLUMNS = ("site", "lat", "lon", "igbp", "koppen", "cluster", "suspect")

FILES = ("sites.parquet", "sites.csv")


def known_sites(
    folder: Path, table: Path | None = None, files: Iterable[TextFile] = ()
) -> pd.DataFrame:
    """The known metadata of sites, one row each, sorted by name; may be incomplete.

    table: a Parquet or CSV file with a column `site`; by default `sites.parquet` or `sites.csv`
    of the folder, if either exists. files: BADM among them fills gaps of the table. ValueError
    where the table has no column `site`, or a site twice.
    """
    there = (folder / name for name in FILES if (folder / name).is_file())
    path = table or next(there, None)
    rows = _read(path) if path else pd.DataFrame({"site": pd.Series(dtype=str)})
    rows, more = rows.set_index("site"), read_badm(files)
    rows = rows.reindex(rows.index.union(more.index))
    for name in dict.fromkeys((*SITE_COLUMNS[1:], *(more.columns if len(more) else ()))):
        own = rows[name].astype(object) if name in rows else pd.Series(None, rows.index, object)
        other = more[name].reindex(rows.index) if name in more else own
        rows[name] = own.where(own.notna() & own.ne(""), other)
    return rows.rename_axis("site").reset_index()


def complete(known: pd.DataFrame, sites: Sequence[str], folder: Path) -> pd.DataFrame:
    """The rows of `sites`, every column of `SITE_COLUMNS` filled.

    known: from `known_sites`. A TowerWarning names class labels that are in no legend: they count
    as unknown. ValueError names the sites without coordinates and the file to add them to.
    """
    table = known.set_index("site").reindex(sorted(sites))
    for name in {"lat", "lon", "elevation"} & set(table.columns):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    placed = np.isfinite(table[["lat", "lon"]].to_numpy(float)).all(axis=1)
    if not placed.all():
        raise ValueError(_unplaced(table.index[~placed].tolist(), folder))
    labels = ["igbp", "koppen", "cluster"]
    table[labels] = table[labels].astype(object).where(table[labels].notna(), None)
    _spell_labels(table, folder)
    given = [None if name is None else str(name) for name in table["cluster"]]
    table["cluster"] = cluster_names(table.index.tolist(), table["lat"], table["lon"], given)
    table["suspect"] = truth(table["suspect"]).eq(1).fillna(False).astype(bool)
    return table.rename_axis("site").reset_index()


def _spell_labels(table: pd.DataFrame, folder: Path) -> None:
    """Spell class labels as the legends do, and warn of labels that are in no legend."""
    strange = []
    for name, legend in (("igbp", IGBP), ("koppen", KOPPEN)):
        labels = [(label, class_code(legend, label)) for label in table[name]]
        strange += [
            f"{name} {label!r} of {site}"
            for site, (label, code) in zip(table.index, labels, strict=True)
            if str(label or "").strip() and not code
        ]
        spelled = [legend[code - 1] if code else label for label, code in labels]
        table[name] = pd.Series(spelled, table.index, object)
    if strange:
        what = f"{folder}: not in the legend, taken as unknown: {', '.join(strange)}"
        warnings.warn(what, TowerWarning, stacklevel=3)


def listed(table: pd.DataFrame, sites: Sequence[str], what: str) -> pd.DataFrame:
    """The rows of `sites`; ValueError names those that are missing."""
    require(sites, table["site"], what)
    return table[table["site"].isin(list(sites))]


def require(wanted: Iterable[str], found: Iterable[str], what: str) -> None:
    """ValueError that names what is missing."""
    present = set(found)
    if missing := [name for name in wanted if name not in present]:
        raise ValueError(f"missing {what}: {', '.join(missing)}")


def _read(path: Path) -> pd.DataFrame:
    table = read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
    if "site" not in table:
        found = ", ".join(map(str, table.columns))
        raise ValueError(f"missing column of {path}: site; found {found}")
    table["site"] = table["site"].astype(str).str.strip()
    if twice := table["site"][table["site"].duplicated()].tolist():
        raise ValueError(f"{path}: expected one row for each site, found more of {twice}")
    return table


def _unplaced(sites: Sequence[str], folder: Path) -> str:
    there = [name for name in FILES if (folder / name).is_file()]
    books = [path.name for path in folder.rglob("*BIF*.xlsx")]
    what = f"add them to {folder / there[0]}" if there else (
        f"write {folder / FILES[1]} with the columns site, lat, lon and, if known, igbp, koppen, "
        "or name another table of sites"
    )  # fmt: skip
    more = f", or save {books[0]} as CSV" if books else ""
    return f"expected lat and lon of every tower, found none for {', '.join(sites)}; {what}{more}"
