"""The table of variables speaks CF: standard names that exist, units that UDUNITS converts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from cf_units import Unit

from upscale.product.quality import DTYPE, RESERVED, Quality, flag_attributes
from upscale.variables import (
    FLUXES,
    ICE_CLASS,
    IGBP,
    KOPPEN,
    VARIABLES,
    WATER_CLASS,
    Variable,
    class_code,
    variable,
)

NAMED = [row for row in VARIABLES.values() if row.standard_name]


@pytest.fixture(scope="module")
def canonical_units() -> dict[str, str]:
    """Canonical unit of every CF standard name, from the table of the compliance checker."""
    table = files("compliance_checker") / "data" / "cf-standard-name-table.xml"
    entries = ElementTree.fromstring(table.read_bytes()).findall("entry")
    return {str(entry.get("id")): entry.findtext("canonical_units") or "1" for entry in entries}


@pytest.mark.parametrize("row", VARIABLES.values(), ids=lambda row: row.name)
def test_units_are_known_to_udunits(row: Variable) -> None:
    assert not Unit(row.units).is_unknown()


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row.name)
def test_a_standard_name_exists_and_its_unit_fits(
    row: Variable, canonical_units: dict[str, str]
) -> None:
    assert row.standard_name in canonical_units
    assert Unit(row.units).is_convertible(Unit(canonical_units[row.standard_name]))


def test_standard_names_written_in_the_code_exist(
    root: Path, canonical_units: dict[str, str]
) -> None:
    sources = (path.read_text() for path in (root / "upscale").rglob("*.py"))
    written = {name for text in sources for name in re.findall(r'"standard_name": "(\w+)"', text)}
    assert written
    assert written <= set(canonical_units)


def test_a_flux_of_carbon_converts_to_the_unit_of_the_models() -> None:
    flux = Unit(variable("gpp").units)
    assert flux.convert(86400.0 * 1000, Unit("kg m-2 s-1")) == pytest.approx(1.0)


def test_fluxes_and_their_spread_share_a_unit() -> None:
    units = {variable(name).units for flux in FLUXES for name in (flux, f"{flux}_sd")}
    assert units == {"g m-2 d-1"}


def test_valid_ranges_are_ranges() -> None:
    assert [row.name for row in VARIABLES.values() if not row.valid_min < row.valid_max] == []


def test_classes_are_counted_from_one_and_the_unknown_is_zero() -> None:
    assert (len(IGBP), len(KOPPEN)) == (17, 30)
    assert (class_code(IGBP, "ENF"), class_code(IGBP, "WAT")) == (1, 17)
    assert (class_code(KOPPEN, "Af"), class_code(KOPPEN, "EF")) == (1, 30)
    assert class_code(IGBP, "XYZ") == class_code(KOPPEN, None) == 0
    assert (class_code(IGBP, "WAT"), class_code(IGBP, "SNO")) == (WATER_CLASS, ICE_CLASS)


def test_an_unknown_variable_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="unknown variable 'tair'; known: ta, sw_in"):
        variable("tair")


def test_flags_of_the_quality_layer_are_distinct_bits_of_its_type() -> None:
    masks = [int(flag) for flag in Quality]
    assert all(mask.bit_count() == 1 for mask in masks)
    assert len(set(masks)) == len(masks)
    assert max(masks) <= np.iinfo(DTYPE).max


def test_bits_that_nothing_sets_are_not_listed() -> None:
    masks = flag_attributes()["flag_masks"]
    assert masks == [int(flag) for flag in Quality if not flag & RESERVED]
    assert flag_attributes(RESERVED)["flag_masks"] == masks
