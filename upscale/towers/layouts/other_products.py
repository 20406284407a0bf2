"""Files of flux archives that hold no days of fluxes: what they are, and what is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from upscale.towers.layouts.text_files import TextFile

_SITE = r"[A-Za-z]+_(?P<site>[A-Z]{2}-[A-Z0-9]{2,5})_"

#: What a file is by its name, and what to take instead; the first that fits counts.
_KINDS: tuple[tuple[str, str], ...] = (
    (r"BASE(-BADM)?_.*", "AmeriFlux BASE, measured half-hours that are neither gap-filled nor "
     "partitioned into GPP and RECO: take the AmeriFlux FLUXNET product of this tower"),
    (r"(FLUXES|METEO|METEOSENS|ARCHIVE)_L2.*", "half-hours of ICOS that are neither gap-filled nor "
     "partitioned into GPP and RECO: take its FLUXNET product (FLUXNET_DD_L2)"),
    (r"FLUXNET-CH4_.*", "fluxes of methane: take a FLUXNET product of this tower"),
    (r".*_AUX(METEO|NEE)_.*", "auxiliary numbers of the processing: take FULLSET or SUBSET, DD"),
    (r".*_ERA(I|5)_.*", "reanalysis without fluxes: take FULLSET or SUBSET, DD"),
    (r".*_?WW_.*", "weekly (WW) means: take the daily (DD) file of this tower"),
    (r".*_?MM_.*", "monthly (MM) means: take the daily (DD) file of this tower"),
    (r".*_?YY_.*", "annual (YY) sums: take the daily (DD) file of this tower"),
)  # fmt: skip


def other_products(files: Iterable[TextFile]) -> dict[str, str]:
    """By site, a sentence on one of its files that holds no days of fluxes."""
    found: dict[str, str] = {}
    for file in files:
        for pattern, words in _KINDS:
            if match := re.fullmatch(f"{_SITE}{pattern}\\.csv", file.name, re.IGNORECASE):
                found.setdefault(match["site"], f"{file.name} holds {words}")
                break
    return found
