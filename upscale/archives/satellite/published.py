"""Published file names of MODIS and VIIRS granules: product, day, tile, collection."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from upscale.calendar import date_in_year
from upscale.remote.errors import ArchiveError

_NAME = re.compile(
    r"(?P<product>[A-Z0-9]{3}[0-9]{2}[A-Z0-9_]+)\.A(?P<year>\d{4})(?P<day>\d{3})"
    r"(?:\.h(?P<h>\d{2})v(?P<v>\d{2}))?\.(?P<collection>\d{3})(?:\.(?P<produced>\d{13}))?\b.*"
)

#: A scene of a few minutes along the orbit: its name has a time of day where tiles have hXXvYY.
_SWATH = re.compile(r"(?P<product>[A-Z0-9]{3}\w*)\.A\d{7}\.\d{4}\.\d{3}\..*")


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

    @property
    def of_collection_5(self) -> bool:
        """Of collection 5 (005, 051) or one before it."""
        return is_collection_5(self.collection)


def is_collection_5(collection: str) -> bool:
    """True for the three digits of collection 5 (005, 051) or one before it."""
    return collection < "006" or collection.startswith(("04", "05"))


def published(path: str) -> Published:
    """Parse the name of a granule; ArchiveError where it does not have the published form."""
    name = PurePath(path).name
    if swath := _SWATH.fullmatch(name):
        raise ArchiveError(f"{path}: {swath_words(swath['product'])}")
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


def swath_words(product: str) -> str:
    """What is said of a scene whose pixels lie along the orbit of the satellite."""
    return (
        f"expected a product on a grid, found {product}, a swath product (level 2), whose pixels "
        "lie along the orbit; take the gridded product of the same series, such as MOD09GA for "
        "MOD09 or MOD11A1 for MOD11_L2"
    )


def has_published_name(path: str, products: str) -> bool:
    """True where the file name starts with one of the `products` (a pattern) and a date."""
    return re.match(rf"(?:{products})\w*\.A\d{{7}}\.", PurePath(path).name) is not None


def held_in_words(names: Sequence[str]) -> str:
    """What the members of a ZIP are that is no archive of weather, and what to do with it."""
    granules = [name for name in names if has_published_name(name, "M[OYC]D|VNP|VJ[12]")]
    if granules:
        first = PurePath(granules[0]).name
        return (
            f"{len(granules)} granules such as {first}; unpack the ZIP and name its folder under "
            "satellite or static.igbp"
        )
    if any(name.lower().endswith((".tif", ".tiff")) for name in names):
        return "GeoTIFFs; unpack the ZIP and name the map that is meant"
    if not names:
        return "none; fetch it again"
    return f"{', '.join(sorted(names)[:3])}, which no reader knows; name another file"
