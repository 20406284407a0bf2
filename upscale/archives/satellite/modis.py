"""MODIS granules (HDF4-EOS): sinusoidal tiles and climate-modelling grids.

Fill, valid range, scale and units come from the file; QA rules, and attributes that a file lacks,
come from the table in `products`. Datasets other than rows x columns (the additional observations
of MOD09GA, the class shares of MCD12C1) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.formats import hdf4, structure
from upscale.archives.formats.bits import STATE, bits, passes, released_clouds, widened
from upscale.archives.formats.scaling import Numbers, as_numbers, numbers_of, physical, units_of
from upscale.archives.formats.structure import Geometry
from upscale.archives.granule import Description, Layer
from upscale.archives.satellite.coded import is_coded
from upscale.archives.satellite.products import Product, QualityTest, Rule, product_row
from upscale.archives.satellite.published import (
    Published,
    has_published_name,
    published,
    swath_words,
)
from upscale.remote.errors import ArchiveError
from upscale.variables import WATER_CLASS

#: The product of a granule according to its metadata.
_SHORT_NAME = re.compile(r"OBJECT\s*=\s*SHORTNAME\b.*?VALUE\s*=\s*\"(\w+)\"", re.S)

#: Layers derived from QA bits or class codes, by the layer that they are derived from.
_STATE_LAYER = "state_1km_1"
_BURN_LAYER = "Burn Date"
_MADE_OF = {"clouds": _STATE_LAYER, "cloud_state": _STATE_LAYER, "burned": _BURN_LAYER}

#: Layers of IGBP classes and their code of water: MCD12Q1 of collections 6 and 6.1, MCD12C1, and
#: MCD12Q1 of collection 5.
IGBP_LAYERS = {"LC_Type1": WATER_CLASS, "Majority_Land_Cover_Type_1": 0, "Land_Cover_Type_1": 0}


@dataclass(frozen=True)
class ModisGranule:
    """One granule: its name and header, and its layers read on demand.

    QA layers, and the pixels that passed the last test of each, stay in memory as long as the
    granule does, because several bands need them.
    `rows`: (start, stop) of the rows to read of a granule with one grid; None reads all.
    """

    path: str
    named: Published
    header: hdf4.Hdf4Header
    rows: tuple[int, int] | None = None

    @cached_property
    def row(self) -> Product:
        return product_row(self.named.product)

    @cached_property
    def geometries(self) -> tuple[Geometry, ...]:
        """The grids of the file, checked against the file name."""
        said = structure.struct_text(self.header.attributes)
        texts = structure.parse_grids(said)
        if not texts and structure.has_swath(said):
            raise ArchiveError(f"{self.path}: {swath_words(self.named.product)}")
        if not texts:
            raise ArchiveError(
                f"{self.path}: expected a grid in StructMetadata.0, found none; fetch it again"
            )
        whole = tuple(structure.geometry(text, self.named.tile, self.path) for text in texts)
        return whole if self.rows is None else tuple(g.cut(*self.rows) for g in whole)

    @cached_property
    def datasets(self) -> Mapping[str, hdf4.ScientificDataset]:
        """The two-dimensional datasets by name, in the order of the file."""
        found = {d.name: d for d in self.header.datasets if len(d.shape) == 2}
        if self.rows is None:
            return found
        high = self.rows[1] - self.rows[0]
        return {name: replace(d, shape=(high, d.shape[1])) for name, d in found.items()}

    def between(self, north: float, south: float) -> ModisGranule:
        """A global granule limited to the rows between two latitudes; a tile is returned whole."""
        first = self.geometries[0]
        if first.sinusoidal or len(self.geometries) != 1:
            return self
        low = max(0, int(np.floor((first.top - north) / first.pixel + 1e-6)))
        high = min(first.rows, int(np.ceil((first.top - south) / first.pixel - 1e-6)))
        return replace(self, rows=(low, max(high, low + 1)))

    def geometry_of(self, layer: str) -> Geometry:
        """The grid of a layer; ArchiveError where no grid of the file has its shape."""
        dataset = self._dataset(_MADE_OF.get(layer, layer))
        name = dataset.dimensions[0].partition(":")[2]
        shapes = [g for g in self.geometries if (g.rows, g.cols) == dataset.shape]
        for found in (*(g for g in shapes if g.name == name), *shapes):
            return found
        grids = "; ".join(g.words for g in self.geometries)
        raise ArchiveError(
            f"{self.path}: expected layer {layer} on one of its grids ({grids}), "
            f"found {dataset.shape}; fetch it again"
        )

    def _dataset(self, layer: str) -> hdf4.ScientificDataset:
        if layer not in self.datasets:
            raise ArchiveError(
                f"{self.path}: expected layer {layer}, found {', '.join(self.datasets)}"
            )
        return self.datasets[layer]

    def stored(self, layer: str) -> NDArray[Any]:
        """The stored numbers of a layer (row, col); ArchiveError where there is no such layer."""
        self._dataset(layer)
        return hdf4.read_dataset(self.path, layer, self.rows)

    def codes(self, layer: str) -> NDArray[np.unsignedinteger]:
        """A QA layer as unsigned codes (row, col)."""
        kept: dict[str, NDArray[np.unsignedinteger]] = self.__dict__.setdefault("_codes", {})
        if layer not in kept:
            stored = self.stored(layer)
            kept[layer] = stored.view(f"u{stored.dtype.itemsize}")
        return kept[layer]

    def layer(self, name: str) -> Layer:
        """One layer by its name in the file, or one of `derived_layers`."""
        if name not in self.datasets:
            for made in derived_layers(self):
                if made.name == name:
                    return made
        self.geometry_of(name)
        attributes = self._attributes(name)
        values = physical(name, self.stored(name), attributes, self.row.adds)
        coded = is_coded(name, attributes)
        return Layer(name, units_of(attributes), values, self.usable(name), coded)

    def numbers(self, name: str) -> Numbers:
        """One layer of the file as stored numbers, or one of `derived_layers`."""
        if name not in self.datasets:
            return as_numbers(self.layer(name))
        self.geometry_of(name)
        stored, attributes = self.stored(name), self._attributes(name)
        return numbers_of(name, stored, attributes, self.row.adds, self.usable(name))

    def _attributes(self, name: str) -> Mapping[str, Any]:
        return {**self.row.attributes(name), **self.datasets[name].attributes}

    def usable(self, name: str) -> NDArray[np.bool_] | None:
        """Where the default QA accepts a layer (row, col); None for a layer without QA."""
        rule = self.rule_of(name)
        return None if rule is None else self._accepted(rule, self.datasets[name].shape)

    def rule_of(self, name: str) -> Rule | None:
        """The first rule of a layer whose QA layers the file has."""
        for rule in self.row.rules.get(name, ()):
            if all(check.layer in self.datasets for check in rule):
                return rule
        return None

    def _accepted(self, rule: Rule, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        good = np.ones(shape, dtype=bool)
        for check in rule:
            good &= self._verdict(check, shape)
        return good

    def _verdict(self, check: QualityTest, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """`_spread`, with the last result for each QA layer kept: bands share the state layer."""
        kept: dict[str, tuple[Any, NDArray[np.bool_]]] = self.__dict__.setdefault("_verdicts", {})
        asked = check.conditions, shape
        if check.layer not in kept or kept[check.layer][0] != asked:
            kept[check.layer] = asked, self._spread(check, shape)
        return kept[check.layer][1]

    def _spread(self, check: QualityTest, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """A QA test on the pixels of a layer: a QA pixel of 1 km covers 2 x 2 pixels of 500 m."""
        good = passes(self.codes(check.layer), check.conditions)
        down, across = shape[0] // good.shape[0], shape[1] // good.shape[1]
        if (good.shape[0] * down, good.shape[1] * across) != shape:
            raise ArchiveError(
                f"{self.path}: expected QA {check.layer} to divide {shape}, found {good.shape}"
            )
        return good if down == across == 1 else widened(good, down, across)


def open_granule(path: str) -> ModisGranule:
    """Open a granule; ArchiveError where it is damaged, misnamed, or on a wrong grid."""
    granule = ModisGranule(path, published(path), hdf4.read_header(path))
    said = _SHORT_NAME.search(str(granule.header.attributes.get("CoreMetadata.0", "")))
    if said and said[1] != granule.named.product:
        raise ArchiveError(
            f"{path}: expected product {granule.named.product} as in the file name, found "
            f"{said[1]} in its metadata; give the file its published name"
        )
    if not granule.geometries or not granule.datasets:
        raise ArchiveError(f"{path}: expected layers of rows and columns, found none")
    return granule


def derived_layers(granule: ModisGranule) -> Iterator[Layer]:
    """Layers derived from codes: `clouds` and `cloud_state` of MOD09GA, `igbp`, `burned`.

    `clouds`: 1 where bit 0, 1 or 2 of state_1km is set, as in the released code;
    `cloud_state`: the documented field, 0 clear, 1 cloudy, 2 mixed, 3 not set, assumed clear.
    `igbp`: classes 1..17 with water 17 and 0 for unknown. `burned` of MCD64: 1 where a date of
    burning is given, 0 where land did not burn, NaN for water and where nothing was mapped.
    """
    if _STATE_LAYER in granule.datasets:
        state = granule.codes(_STATE_LAYER)
        missing = np.isnan(granule.layer(_STATE_LAYER).values)
        for name, codes in (
            ("clouds", released_clouds(state)),
            ("cloud_state", bits(state, STATE["cloud"])),
        ):
            values = np.where(missing, np.nan, codes).astype(np.float32)
            yield Layer(name, "1", values, codes=name == "cloud_state")
    for name in igbp_layers(granule):
        yield Layer("igbp", "1", igbp_classes(granule.stored(name), name), codes=True)
    if _BURN_LAYER in granule.datasets:
        day = granule.layer(_BURN_LAYER)
        burned = np.where(np.isnan(day.values), np.nan, day.values > 0).astype(np.float32)
        yield Layer("burned", "1", burned, day.usable)


def derived_names(granule: ModisGranule) -> tuple[str, ...]:
    """Names of `derived_layers`, without reading them."""
    clouds = ("clouds", "cloud_state") if _STATE_LAYER in granule.datasets else ()
    classes = ("igbp",) if igbp_layers(granule) else ()
    return clouds + classes + (("burned",) if _BURN_LAYER in granule.datasets else ())


def igbp_layers(granule: ModisGranule) -> tuple[str, ...]:
    """The layer of IGBP classes of a land cover granule; none in other products."""
    if granule.named.product[3:] not in ("12Q1", "12C1"):
        return ()
    return tuple(name for name in IGBP_LAYERS if name in granule.datasets)[:1]


def igbp_classes(stored: NDArray[Any], layer: str) -> NDArray[np.float32]:
    """IGBP classes 1..17 (row, col) from the stored codes of a layer of `IGBP_LAYERS`.

    0 where a code is no class: fill (255), unclassified (254), and whatever the legend lacks.
    """
    water = IGBP_LAYERS[layer]
    classes = np.where((stored >= 1) & (stored < WATER_CLASS), stored, 0)
    return np.where(stored == water, WATER_CLASS, classes).astype(np.float32)


def _believes(granule: ModisGranule) -> tuple[str, ...]:
    """What is believed about the codes of a granule, and why."""
    said = []
    for name in igbp_layers(granule):
        water = IGBP_LAYERS[name]
        said.append(
            f"igbp: classes of IGBP with water {water}, because {granule.named.product} of "
            f"collection {granule.named.collection} has them in {name}"
        )
    if _BURN_LAYER in granule.datasets:
        said.append("burned: a flag made of the date of burning; dates are no quantities")
    bare = [name for name in granule.datasets if name in granule.row.rules
            and granule.rule_of(name) is None]  # fmt: skip
    if bare:
        said.append(f"no quality control of {', '.join(bare[:3])}: the file lacks its QA layers")
    return tuple(said)


class _Modis:
    """MODIS granules as a registered source."""

    name = "modis"

    def matches(self, path: str) -> bool:
        """True for HDF4 signatures, and for damaged files with the name of a MODIS granule."""
        named = has_published_name(path, "MOD|MYD|MCD") and PurePath(path).suffix == ".hdf"
        return hdf4.is_hdf4(path) or named

    def describe(self, path: str) -> Description:
        """Product, collection, grids, date (the first day of a composite) and layers."""
        granule = open_granule(path)
        named = granule.named
        tile = "" if named.tile is None else f"h{named.tile[0]:02d}v{named.tile[1]:02d}, "
        return Description(
            file=PurePath(path).name,
            product=named.product,
            collection=named.collection,
            grid=tile + "; ".join(geometry.words for geometry in granule.geometries),
            date=named.date.isoformat(),
            variables=(*granule.datasets, *derived_names(granule)),
            believes=_believes(granule),
        )

    def layers(self, path: str) -> Iterator[Layer]:
        """Every two-dimensional layer, then the derived ones."""
        granule = open_granule(path)
        for name in granule.datasets:
            yield granule.layer(name)
        yield from derived_layers(granule)


#: The source for the registry.
MODIS = _Modis()
