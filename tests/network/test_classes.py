"""One-hots: the same as those that weights of the released code were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from upscale.network.classes import CARBONFLUXBENCH, Classes
from upscale.variables import IGBP, KOPPEN

#: Columns of the released code, read off its published source: IGBP, main group, class.
IGBP_COLUMNS = (
    "CRO", "CSH", "CVM", "DBF", "DNF", "EBF", "ENF", "GRA", "MF", "OSH", "SAV", "SNO", "URB", "WAT",
    "WET", "WSA",
)  # fmt: skip
KOPPEN_COLUMNS = (
    "Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Cfa", "Cwa", "Csa", "Csb", "Csc", "Cwb", "Cwc",
    "Cfb", "Cfc", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "Dfa", "Dfb", "Dfc",
    "Dfd", "ET", "EF",
)  # fmt: skip
COLUMNS = (*IGBP_COLUMNS, *"ABCDE", *KOPPEN_COLUMNS)


def codes(igbp: str, koppen: str) -> list[int]:
    """Codes of two names, 0 for a name that is no class."""
    return [("?", *IGBP).index(igbp), ("?", *KOPPEN).index(koppen)]


def test_every_place_has_the_one_hots_of_the_released_code() -> None:
    places = [(i, k) for i in ("?", *IGBP) for k in ("?", *KOPPEN)]
    found = CARBONFLUXBENCH.onehot(np.array([codes(*place) for place in places]))
    assert found.shape == (len(places), 51)
    for (igbp, koppen), row in zip(places, found, strict=True):
        expected = {igbp, koppen[0], koppen} & set(COLUMNS)
        assert {COLUMNS[i] for i in np.flatnonzero(row)} == expected, (igbp, koppen)
        assert set(np.unique(row)) <= {0.0, 1.0}


def test_barren_ground_and_unknown_classes_are_zeros_and_are_said_to_be_unseen() -> None:
    places = np.array([codes("BSV", "?"), codes("?", "?"), codes("BSV", "ET"), [255, -3]])
    found = CARBONFLUXBENCH.onehot(places)
    assert found.sum(axis=1).tolist() == [0, 0, 2, 0]
    assert CARBONFLUXBENCH.unknown(places).all()
    assert not CARBONFLUXBENCH.unknown(np.array([codes("URB", "EF")])).any()


def test_columns_for_the_unknown_stay_where_they_were() -> None:
    classes = Classes(("ENF", "GRA"), ("Cfb",))
    assert classes.width == 5
    found = classes.onehot(np.array([codes("GRA", "Cfb"), codes("BSV", "?")]))
    assert found.tolist() == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1]]


def test_a_group_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="each main group of koppen class once"):
        Classes((), (), main_groups=("F",))
