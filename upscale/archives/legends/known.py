"""Numberings of Koeppen-Geiger and IGBP classes that circulate, and names of classes in words.

A class has one code here (`upscale.variables.KOPPEN`, `IGBP`) and many in files. Sources: Beck et
al. (2018, 2023) and Cui et al. (2021) count from Af to EF by dryness; Rubel et al. (2017) in the
order of the alphabet; the table of Kottek et al. (2006) has cold deserts before hot ones; the maps
of Kottek et al. and Rubel and Kottek (2010) have numbers of two digits. MCD12Q1 of collection 6
counts water as 17; MCD12C1, and MCD12Q1 of collection 5, as 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from upscale.variables import IGBP, KOPPEN, WATER_CLASS, class_code

#: Numberings of Koeppen-Geiger classes that can be named.
KoppenLegend = Literal["Beck", "Rubel", "Kottek", "Kottek-codes"]

#: Numberings of IGBP classes that can be named: water is 17 in MCD12Q1 and 0 in MCD12C1.
CoverLegend = Literal["MCD12Q1", "MCD12C1"]

#: Kinds of class maps.
Kind = Literal["koppen", "igbp"]


@dataclass(frozen=True)
class Legend:
    """What the codes of a map mean.

    classes: by code of the map, the code of `upscale.variables`; 0: no class (sea, fill).
    reason: why it is believed.
    """

    name: str
    classes: Mapping[int, int]
    reason: str = ""

    @property
    def words(self) -> str:
        """The legend and why it is believed, in one line."""
        return f"legend {self.name}: {self.reason}" if self.reason else f"legend {self.name}"

    def means(self, code: int) -> int:
        """The class of a code, 0 for a code that has none."""
        return self.classes.get(code, 0)


_CD = "Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc Dfa Dfb Dfc Dfd Dsa Dsb Dsc Dsd Dwa Dwb Dwc Dwd"


def _counted(names: str, first: int = 1) -> dict[int, int]:
    return {code: koppen_class(name) or 0 for code, name in enumerate(names.split(), first)}


def koppen_class(text: str) -> int | None:
    """The class that a text names, such as `Cfb` or `Temperate (Cfb)`; 0: none; None: unknown.

    A savanna with a dry summer (As) is one of `Aw`, as in the maps of Beck et al.
    """
    found = _SYMBOL.search(text)
    if found:
        return class_code(KOPPEN, "Aw" if found[0] == "As" else found[0])
    return 0 if _NOTHING.search(text) or _SEA.search(text) else None


def igbp_class(text: str) -> int | None:
    """The class that a text names, such as `ENF` or `Croplands`; 0: no class; None: unknown."""
    if text.strip() in IGBP:
        return class_code(IGBP, text.strip())
    plain = " ".join(re.findall(r"[a-z]+", text.lower()))
    for pattern, name in _COVERS:
        if re.search(pattern, plain):
            return class_code(IGBP, name)
    return 0 if _NOTHING.search(text) else None


_SYMBOL = re.compile(r"(?<![A-Za-z])(A[fmsw]|B[SW][hk]|C[fsw][abc]|D[fsw][abcd]|E[FT])(?![A-Za-z])")
_NOTHING = re.compile(r"(?i)unclassified|unknown|no.?data|\bfill|background|\bnone\b|missing|undef")
_SEA = re.compile(r"(?i)ocean|\bsea\b|water")

#: Words of land cover, the more special ones first.
_COVERS = (
    (r"evergreen needle\w* forest", "ENF"), (r"evergreen broad\w* forest", "EBF"),
    (r"deciduous needle\w* forest", "DNF"), (r"deciduous broad\w* forest", "DBF"),
    (r"^mixed forests?\b", "MF"), (r"closed shrub", "CSH"), (r"open shrub", "OSH"),
    (r"woody savanna", "WSA"), (r"^savanna", "SAV"), (r"^grasslands?\b", "GRA"),
    (r"wetland", "WET"), (r"cropland\w* (and )?natural|vegetation mosaic", "CVM"),
    (r"^croplands?\b", "CRO"), (r"^urban", "URB"), (r"\bsnow\b", "SNO"), (r"^barren", "BSV"),
    (r"^water", "WAT"),
)  # fmt: skip

_GRID_CODES = dict(
    zip(
        (*range(11, 15), 21, 22, 26, 27, *range(31, 40), *range(41, 53), 61, 62),
        f"Af Am As Aw BWk BWh BSk BSh {_CD} EF ET".split(),
        strict=True,
    )
)

#: Numberings of Koeppen-Geiger classes by name.
KOPPEN_LEGENDS: Mapping[str, Legend] = {
    "Beck": Legend("Beck", {0: 0} | {code: code for code in range(1, len(KOPPEN) + 1)}),
    "Rubel": Legend(
        "Rubel", {0: 0} | _counted(f"Af Am As Aw BSh BSk BWh BWk {_CD} EF ET") | {32: 0}
    ),
    "Kottek": Legend("Kottek", {0: 0} | _counted(f"Af Am As Aw BWk BWh BSk BSh {_CD} EF ET")),
    "Kottek-codes": Legend(
        "Kottek-codes", {0: 0} | {code: koppen_class(n) or 0 for code, n in _GRID_CODES.items()}
    ),
}

#: Numberings of IGBP classes by name.
COVER_LEGENDS: Mapping[str, Legend] = {
    "MCD12Q1": Legend("MCD12Q1", {0: 0} | {code: code for code in range(1, len(IGBP) + 1)}),
    "MCD12C1": Legend(
        "MCD12C1", {0: WATER_CLASS, 254: 0} | {code: code for code in range(1, WATER_CLASS)}
    ),
}

#: Colours of Koeppen-Geiger classes, `#rrggbb`, as the maps of Beck et al. and of Rubel et al.
#: (2017) have them, in the order of their numberings.
BECK_COLOURS = (
    "0000ff", "0078ff", "46aafa", "ff0000", "ff9696", "f5a500", "ffdc64", "ffff00", "c8c800",
    "969600", "96ff96", "64c864", "329632", "c8ff50", "64ff50", "32c800", "ff00ff", "c800c8",
    "963296", "966496", "aaafff", "5a78dc", "4b50b4", "320087", "00ffff", "37c8ff", "007d7d",
    "00465f", "b2b2b2", "666666",
)  # fmt: skip
RUBEL_COLOURS = (
    "960000", "ff0000", "ff6e6e", "ffcccc", "cc8d14", "ccaa54", "ffcc00", "ffff64", "007800",
    "005000", "003200", "96ff00", "00d700", "00aa00", "bebe00", "8c8c00", "5a5a00", "550055",
    "820082", "c800c8", "ff6eff", "646464", "8c8c8c", "bebebe", "e6e6e6", "6e28b4", "b464fa",
    "c89bfa", "c8c8ff", "6496ff", "64ffff",
)  # fmt: skip


def _coloured(legend: KoppenLegend, colours: tuple[str, ...]) -> dict[str, int]:
    """The class of each colour."""
    return {colour: KOPPEN_LEGENDS[legend].means(code) for code, colour in enumerate(colours, 1)}


#: By name of the palette, the class of each colour.
PALETTES: Mapping[str, Mapping[str, int]] = {
    "Beck et al.": _coloured("Beck", BECK_COLOURS),
    "Rubel et al.": _coloured("Rubel", RUBEL_COLOURS),
}


def class_in_words(kind: Kind, text: str) -> int | None:
    """The class of a map of that kind that a text names; 0: no class; None: unknown."""
    return koppen_class(text) if kind == "koppen" else igbp_class(text)


def names_of(kind: Kind) -> tuple[str, ...]:
    """Names of the classes of a kind, from code 1 on."""
    return KOPPEN if kind == "koppen" else IGBP


def legend_of_names(kind: Kind, named: Mapping[int, str], name: str, reason: str) -> Legend:
    """A legend from names of classes by code; ValueError for a name that is no class."""
    classes = {code: class_in_words(kind, text) for code, text in named.items()}
    strange = [f"{code}: {named[code]}" for code, found in classes.items() if found is None]
    if strange:
        raise ValueError(
            f"expected classes of {_KINDS[kind]} such as {', '.join(names_of(kind)[:4])}, found "
            f"{'; '.join(strange[:4])}"
        )
    return Legend(name, {code: found or 0 for code, found in classes.items()}, reason)


_KINDS: Mapping[Kind, str] = {"koppen": "Koeppen-Geiger", "igbp": "IGBP"}
