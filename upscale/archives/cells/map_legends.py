"""Which legend a class map has: the user names it, the file states it, or its codes prove it.

What the user names is held against what the file states and against the places where its codes
stand. Where nothing decides, the map is refused: a class that is taken for another one makes a
plausible map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from upscale.archives.cells.geomap import GeoMap, open_map
from upscale.archives.legends.known import (
    COVER_LEGENDS,
    KOPPEN_LEGENDS,
    Kind,
    Legend,
    legend_of_names,
    names_of,
)
from upscale.archives.legends.proven import FITS, STRANGE, fits, in_place, proven_legend
from upscale.archives.legends.stated import stated_legend, statements_of
from upscale.archives.satellite.published import is_collection_5
from upscale.remote.errors import ArchiveError
from upscale.variables import WATER_CLASS

#: A legend as a user names it: by its name, or names of classes by code.
NamedLegend = str | Mapping[int, str]

#: A map whose name is that of a published land cover granule.
_PUBLISHED = re.compile(r"(MCD12Q1|MCD12C1)\.A\d{7}\.(?:h\d\dv\d\d\.)?(\d{3})\b")

#: Code that is fill in class maps of bytes, whatever their legend.
_FILL = 255


def climate_legend(source: GeoMap, named: NamedLegend | None = None) -> Legend:
    """The legend of a map of Koeppen-Geiger classes; ArchiveError where it is not certain."""
    held = source.held - {0, _FILL}
    stated = _stated(source, "koppen")
    if named is not None:
        legend = _named(source, "koppen", named)
        _refuse_contradiction(source, "koppen", legend, stated)
        _refuse_other_places(source, legend)
        return legend
    if stated is not None:
        return stated
    if not held:
        return Legend("Beck", KOPPEN_LEGENDS["Beck"].classes, "the map holds no class")
    proven = proven_legend(source.sample, held)
    if proven is None:
        raise ArchiveError(_no_climate_legend(source, held))
    return proven


def cover_legend(source: GeoMap, named: NamedLegend | None = None) -> Legend:
    """The legend of a map of IGBP classes; ArchiveError where it is not certain.

    0 is water in MCD12C1, and fill in what is warped from MCD12Q1: where a map holds 0 and no 17
    neither is certain.
    """
    stated = _stated(source, "igbp")
    if named is not None:
        legend = _named(source, "igbp", named)
        _refuse_contradiction(source, "igbp", legend, stated)
        return legend
    published = _PUBLISHED.match(source.path.name)
    if stated is not None:
        return stated
    held = source.held - {_FILL}
    if published:
        old = published[1] == "MCD12Q1" and is_collection_5(published[2])
        name = "MCD12C1" if old or published[1] == "MCD12C1" else "MCD12Q1"
        _check_codes(source, "igbp", held, COVER_LEGENDS[name])
        return _because(name, f"the file has the name of {published[1]}")
    return _cover_by_codes(source, held)


def _cover_by_codes(source: GeoMap, held: set[int]) -> Legend:
    """The legend that the codes of a map of land cover prove; ArchiveError where none is."""
    if WATER_CLASS in held or 0 not in held:
        _check_codes(source, "igbp", held - {0}, COVER_LEGENDS["MCD12Q1"])
        if WATER_CLASS in held:
            return _because("MCD12Q1", "it holds 17, which is water in it alone; 0 is fill")
        return _because("MCD12Q1", "codes 1 to 16 mean the same in MCD12C1")
    _check_codes(source, "igbp", held, COVER_LEGENDS["MCD12C1"])
    raise ArchiveError(
        f"{source.path}: expected water as 17 (MCD12Q1) or as 0 (MCD12C1), found 0 and no 17: 0 is "
        "water in MCD12C1, and fill in a map that was warped from MCD12Q1; say which legend the "
        "map has (static.legend), or give the file its fill value (nodata)"
    )


def _because(name: str, reason: str) -> Legend:
    return Legend(name, COVER_LEGENDS[name].classes, reason)


def _named(source: GeoMap, kind: Kind, named: NamedLegend) -> Legend:
    """The legend that a user names; ArchiveError where it lacks codes of the map."""
    known: Mapping[str, Legend] = {"koppen": KOPPEN_LEGENDS, "igbp": COVER_LEGENDS}[kind]
    if isinstance(named, str):
        if named not in known:
            raise ArchiveError(
                f"{source.path}: expected a legend of {', '.join(known)}, found {named}"
            )
        legend = Legend(named, known[named].classes, "it is named by the user")
    else:
        try:
            legend = legend_of_names(kind, named, "by code", "it is named by the user")
        except ValueError as error:
            raise ArchiveError(f"{source.path}: {error}; correct the legend") from None
    _check_codes(source, kind, source.held - {0, _FILL}, legend)
    return legend


def _check_codes(source: GeoMap, kind: Kind, held: set[int], legend: Legend) -> None:
    other = sorted(held - set(legend.classes) - {_FILL})
    if other:
        codes = sorted(code for code, found in legend.classes.items() if found)
        raise ArchiveError(
            f"{source.path}: expected codes {codes[0]} to {codes[-1]} of {legend.name}, found "
            f"{other[:5]}; this map has another legend"
        )


def _stated(source: GeoMap, kind: Kind) -> Legend | None:
    statements = statements_of(source.path)
    return stated_legend(statements, kind, source.held - {_FILL}, str(source.path))


def _refuse_contradiction(
    source: GeoMap, kind: Kind, legend: Legend, stated: Legend | None
) -> None:
    """ArchiveError where a file names a code otherwise than the user."""
    if stated is None:
        return
    names = ("none", *names_of(kind))
    for code in sorted(stated.classes.keys() & source.held):
        if stated.means(code) != legend.means(code):
            raise ArchiveError(
                f"{source.path}: expected the classes of the legend {legend.name} that is named, "
                f"found code {code} as {names[stated.means(code)]} {stated.name} where "
                f"{legend.name} has {names[legend.means(code)]}; correct the legend or leave it out"
            )


def _refuse_other_places(source: GeoMap, legend: Legend) -> None:
    """ArchiveError where another known legend fits the places of codes, and the named one not."""
    share = in_place(source.sample, legend)
    better = {
        name: other
        for name, other in fits(source.sample, source.held - {0, _FILL}).items()
        if other >= FITS and share < STRANGE
    }
    if better:
        name = max(better, key=lambda key: better[key])
        raise ArchiveError(
            f"{source.path}: expected classes of the legend {legend.name} where such climates are, "
            f"found {100 * share:.0f} % of them there, and {100 * better[name]:.0f} % as {name}; "
            "name the legend that the map has"
        )


def _no_climate_legend(source: GeoMap, held: set[int]) -> str:
    """What is said of a map of climates whose legend nobody knows."""
    shares = fits(source.sample, held)
    turned = fits(source.sample.turned, held)
    if max(shares.values(), default=0) < STRANGE and max(turned.values(), default=0) >= FITS:
        return (
            f"{source.path}: expected climates where they are, found them in the other hemisphere; "
            "the map is upside down: flip it"
        )
    listed = ", ".join(map(str, sorted(held)[:8])) + (" ..." if len(held) > 8 else "")
    tried = "; ".join(f"as {name}: {100 * share:.0f} % in place" for name, share in shares.items())
    return (
        f"{source.path}: expected a legend of Koeppen-Geiger classes, found codes {listed} without "
        f"names or colours, whose places prove none ({tried or 'no known legend has them all'}); "
        f"name the legend (static.koppen_legend: {', '.join(KOPPEN_LEGENDS)}, or names by code)"
    )


def legend_in_words(path: str, kind: Kind, named: NamedLegend | None) -> str:
    """The legend of a map and why it is believed; errors as `climate_legend`."""
    decide = climate_legend if kind == "koppen" else cover_legend
    return decide(open_map(path), named).words


def legends_in_words(path: str) -> tuple[str, ...]:
    """What is believed of a map of small whole numbers as a map of classes, or why nothing is.

    Nothing is said of other maps. The name of the file tells which classes are meant; without such
    a name, what the file states does.
    """
    try:
        source = open_map(path)
        if source.data.dtype.kind not in "iu" or source.data.dtype.itemsize > 1:
            return ()
    except ArchiveError:
        return ()
    said = []
    for kind in _kinds(source):
        decide = climate_legend if kind == "koppen" else cover_legend
        try:
            said.append(f"static.{kind}: {decide(source).words}")
        except ArchiveError as error:
            said.append(f"static.{kind}: no legend: {error}")
    return tuple(said)


def _kinds(source: GeoMap) -> tuple[Kind, ...]:
    """What a map may be, by its name, else by what it states."""
    name = source.path.name.lower()
    if re.search(r"k(o|oe|ö)pp|(^|_)kg(_|\.)", name):
        return ("koppen",)
    if re.search(r"mcd12|igbp|land_?cover|lc_type", name):
        return ("igbp",)
    kinds: list[Kind] = []
    for kind in ("koppen", "igbp"):
        try:
            if _stated(source, kind) is not None:
                kinds.append(kind)
        except ArchiveError:  # names of other things than such classes
            continue
    return tuple(kinds)
