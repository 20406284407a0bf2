"""Statistics of every layer of a file, computed by the readers that an ingest uses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.granule import Description, Layer
from upscale.archives.source import open_source
from upscale.remote.copies import download
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import check_place, is_store, name_of, scheme_of
from upscale.stores.broken import refusing


@dataclass(frozen=True)
class Statistics:
    """Share of pixels that have a value, and range and mean of the values (None without any)."""

    valid_share: float
    min: float | None
    mean: float | None
    max: float | None


#: Codes of a layer that a report lists, the most frequent ones.
_LISTED = 20


@dataclass(frozen=True)
class LayerReport:
    """Statistics of one layer in physical units: of all valid values, and of those that pass QA.

    codes: of a layer of codes the most frequent ones and their shares of the valid pixels; None for
    a quantity. Codes have no mean.
    """

    name: str
    units: str
    values: Statistics
    qa: Statistics | None
    codes: tuple[tuple[int, float], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        qa = None if self.qa is None else asdict(self.qa)
        row = {"name": self.name, "units": self.units, **asdict(self.values), "qa": qa}
        if self.codes is not None:
            row["codes"] = {str(code): share for code, share in self.codes}
        return row


@dataclass(frozen=True)
class FileReport:
    """The description of a file and the statistics of each layer."""

    description: Description
    layers: tuple[LayerReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: file, product, collection, grid, date, variables, believes."""
        head = asdict(self.description) | {"believes": list(self.description.believes)}
        return head | {"variables": [layer.to_dict() for layer in self.layers]}


def inspect(location: str) -> FileReport:
    """Read every layer of a file and report on it; only one layer is in memory at a time.

    Raises ArchiveError where the file is damaged or its source unknown, OSError where it cannot
    be fetched.
    """
    with local(location) as path:
        expected = "a whole file of a known layout"
        with refusing(location, expected, ArchiveError, "fetch it again", also=(OSError,)):
            source = open_source(path)
            description = source.describe(path)
            return FileReport(description, tuple(map(_report, source.layers(path))))


@contextmanager
def local(location: str) -> Iterator[str]:
    """The local path of a file; a remote file is copied, and the copy is removed afterwards.

    Zarr stores are read in place, so their URL is returned unchanged. Raises ArchiveError for
    schemes that are not allowed and for chained URLs, RemoteError where a file cannot be fetched.
    """
    check_place(location)
    if scheme_of(location) == "file":
        yield location.removeprefix("file://")
    elif not scheme_of(location) or is_store(location):
        yield location
    else:
        with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
            copy = Path(folder) / name_of(location)
            download(location, copy)
            yield str(copy)


def _report(layer: Layer) -> LayerReport:
    valid = np.isfinite(layer.values)
    if layer.codes:
        return _report_codes(layer, valid)
    qa = None if layer.usable is None else statistics(layer.values, valid & layer.usable)
    return LayerReport(layer.name, layer.units, statistics(layer.values, valid), qa)


def _report_codes(layer: Layer, valid: NDArray[np.bool_]) -> LayerReport:
    """How often codes occur, and no mean of them."""
    found, counts = np.unique(layer.values[valid], return_counts=True)
    often = np.argsort(-counts, kind="stable")[:_LISTED]
    total = max(int(counts.sum()), 1)
    codes = tuple((int(found[n]), float(counts[n]) / total) for n in np.sort(often))
    whole, qa = statistics(layer.values, valid), None
    if layer.usable is not None:
        qa = replace(statistics(layer.values, valid & layer.usable), mean=None)
    return LayerReport(layer.name, layer.units, replace(whole, mean=None), qa, codes)


def statistics(values: NDArray[np.floating[Any]], chosen: NDArray[np.bool_]) -> Statistics:
    """Share, minimum, mean and maximum of the `chosen` values, summed in float64."""
    found = values[chosen]
    if found.size == 0:
        return Statistics(0.0, None, None, None)
    # the shortest decimal that gives the same float32: 0.1066, not 0.10660000145435333
    low, high = (float(str(end)) for end in (found.min(), found.max()))
    mean = float(found.mean(dtype=np.float64))
    return Statistics(found.size / values.size, low, mean, high)
