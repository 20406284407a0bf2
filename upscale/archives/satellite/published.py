"""Published file names of MODIS and VIIRS granules: product, day, tile, collection."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import PurePath

from upscale.calendar import date_in_year
from upscale.remote.errors import ArchiveError

_NAME = re.compile(
    r"(?P<product>[A-Z0-9]{3}[0-9]{2}[A-Z0-9_]+)\.A(?P<year>\d{4})(?P<day>\d{3})"
    r"(?:\.h(?P<h>\d{2})v(?P<v>\d{2}))?\.(?P<collection>\d{3})(?:\.(?P<produced>\d{13}))?\b.*"
)


@dataclass(frozen=True)
class Published:
    """The parts of a file name.

    `tile`: (h, v), None for a global granule; `produced`: year, day and time of production, ""
    where the name has none.
    """

    product: str
    date: dt.date
    tile: tuple[int, int] | None
    collection: str
    produced: str = ""


def published(path: str) -> Published:
    """Parse the name of a granule; ArchiveError where it does not have the published form."""
    name = PurePath(path).name
    found = _NAME.fullmatch(name)
    if found is None:
        raise ArchiveError(
            f"{path}: expected a name like MOD09GA.A2019001.h18v04.061.2020290123456.hdf, found "
            f"{name}; give the granule its published name"
        )
    year = int(found["year"])
    try:
        date = date_in_year(year, int(found["day"]))
    except ValueError:
        raise ArchiveError(
            f"{path}: expected a day of {year}, found {found['day']}; correct the name"
        ) from None
    tile = None if found["h"] is None else (int(found["h"]), int(found["v"]))
    if tile is not None and not (tile[0] < 36 and tile[1] < 18):
        raise ArchiveError(f"{path}: expected a tile from h00v00 to h35v17, found {tile}")
    return Published(found["product"], date, tile, found["collection"], found["produced"] or "")


def has_published_name(path: str, products: str) -> bool:
    """True where the file name starts with one of the `products` (a pattern) and a date."""
    return re.match(rf"(?:{products})\w*\.A\d{{7}}\.", PurePath(path).name) is not None
