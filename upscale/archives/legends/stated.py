"""The legend that a GeoTIFF states: flags, names of categories, a table of attributes, colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio

from upscale.archives.legends.known import PALETTES, Kind, Legend, class_in_words, legend_of_names
from upscale.remote.errors import ArchiveError

#: Largest sidecar that is read, bytes.
_LARGEST = 4 * 2**20

#: `1: Af` or `1 = Tropical (Af)` in a text.
_PAIR = re.compile(r"(?m)(?<![\d.])(\d{1,3})\s*[:=]\s*([A-Za-z][^;|,\n]*)")


@dataclass(frozen=True)
class Statements:
    """What a class map says of its codes.

    names: names of classes by code, by the place that they stand in. colours: `rrggbb` by code.
    """

    names: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    colours: Mapping[int, str] = field(default_factory=dict)


def statements_of(path: str | Path) -> Statements:
    """The statements in the tags, the colour table and the `.aux.xml` of a GeoTIFF."""
    with rasterio.open(path, driver="GTiff") as image:
        tags = {str(key): str(text) for key, text in (image.tags() | image.tags(1)).items()}
        colours = _colours(image)
    found = {"its tags": names_in_tags(tags)} | _in_sidecar(Path(f"{path}.aux.xml"))
    return Statements({place: names for place, names in found.items() if names}, colours)


def _colours(image: Any) -> dict[int, str]:
    try:
        table = image.colormap(1)
    except ValueError:  # there is none
        return {}
    return {code: "{:02x}{:02x}{:02x}".format(*rgba[:3]) for code, rgba in table.items()}


def names_in_tags(tags: Mapping[str, Any]) -> dict[int, str]:
    """Names by code of CF's flags, of `code: name` or `name: code` tags, or of a text that lists
    them; empty where nothing names a code."""
    values, meanings = tags.get("flag_values"), tags.get("flag_meanings")
    if values is not None and meanings is not None:
        codes = [int(float(text)) for text in re.findall(r"-?\d+(?:\.\d+)?", str(values))]
        words = str(meanings).replace(",", " ").split()
        return dict(zip(codes, words, strict=False)) if len(codes) == len(words) else {}
    by_code = {int(key): str(text) for key, text in tags.items() if re.fullmatch(r"\d{1,3}", key)}
    by_name = {
        int(text): key.replace("_", " ")
        for key, text in tags.items()
        if re.fullmatch(r"\d{1,3}", str(text)) and _names_a_class(key.replace("_", " "))
    }
    listed = max((dict(_pairs(str(text))) for text in tags.values()), key=len, default={})
    return max((by_code, by_name, listed if len(listed) > 2 else {}), key=len)


def _names_a_class(text: str) -> bool:
    return any(class_in_words(kind, text) is not None for kind in ("koppen", "igbp"))


def _pairs(text: str) -> list[tuple[int, str]]:
    return [(int(code), name.strip()) for code, name in _PAIR.findall(text)]


def names_in_text(text: str) -> dict[int, str]:
    """Names by code of lines such as `1:  Af   Tropical, rainforest`."""
    return dict(_pairs(text))


def _in_sidecar(path: Path) -> dict[str, dict[int, str]]:
    """Names of categories and the table of attributes in a `.aux.xml`; none where it is broken."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return {}
    text = path.read_text(errors="replace")
    if "<!" in text.replace("<!--", ""):  # no entities: they may grow without bounds
        return {}
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        return {}
    categories = [row.text or "" for row in root.iterfind(".//CategoryNames/Category")]
    names = {code: name.strip() for code, name in enumerate(categories) if name.strip()}
    return {"its names of categories": names, "its table of attributes": _in_table(root)}


def _in_table(root: ET.Element) -> dict[int, str]:
    """Names by code of a raster attribute table: the column of values and that of class names."""
    table = root.find(".//GDALRasterAttributeTable")
    if table is None:
        return {}
    columns = [(row.findtext("Name", ""), row.findtext("Usage", "")) for row in
               table.iterfind("FieldDefn")]  # fmt: skip
    rows = [[cell.text or "" for cell in row.iterfind("F")] for row in table.iterfind("Row")]
    code = _column(columns, "5", ("value", "code", "id", "class_id", "gridcode"))
    name = _column(columns, "2", ("class", "class_name", "name", "label", "climate", "category"))
    if code is None or name is None:
        return {}
    return {
        int(float(row[code])): row[name].strip()
        for row in rows
        if len(row) == len(columns) and re.fullmatch(r"\d{1,3}(\.0*)?", row[code].strip())
    }


def _column(columns: list[tuple[str, str]], usage: str, names: Collection[str]) -> int | None:
    """The column of a usage of GDAL (5 values, 2 names), else one of such a name."""
    for place, (_, said) in enumerate(columns):
        if said == usage:
            return place
    return next((n for n, (name, _) in enumerate(columns) if name.lower() in names), None)


def stated_legend(said: Statements, kind: Kind, held: Collection[int], path: str) -> Legend | None:
    """The legend that the statements of a map make for the codes that it holds, None without any.

    ArchiveError where a name is no class of that kind, or a code but 0 has no name.
    """
    for place, names in said.names.items():
        if not any(code in names for code in held):
            continue
        try:
            used = {code: text for code, text in names.items() if code in held}
            legend = legend_of_names(kind, used, f"in {place}", f"{len(names)} codes are named")
        except ValueError as error:
            raise ArchiveError(f"{path}: {error} in {place}; name another map") from None
        bare = sorted(set(held) - set(names) - {0})
        if bare:
            raise ArchiveError(
                f"{path}: expected a name for each code, found none for {bare[:5]} in {place}; "
                "mend the file, or take its names out and name its legend"
            )
        return legend
    return _by_colour(said.colours, held) if kind == "koppen" else None


def _by_colour(colours: Mapping[int, str], held: Collection[int]) -> Legend | None:
    """The legend of a colour table in which every code has the colour of a class."""
    for name, palette in PALETTES.items():
        shown = {code: colours.get(code, "") for code in held}
        if shown.get(0) not in palette:  # the sea
            shown.pop(0, None)
        if shown and all(colour in palette for colour in shown.values()):
            classes = {code: palette[colour] for code, colour in shown.items()}
            return Legend("in its colour table", classes, f"the colours are those of {name}")
    return None
