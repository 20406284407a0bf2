"""Headers of HDF4 files: what is read past pyhdf's own reading of attributes is the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from upscale.archives.formats.hdf4 import read_header

SD = pytest.importorskip("pyhdf.SD")
DATA = os.environ.get("UPSCALE_TEST_DATA")


def own_reading(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Attributes of a file and of its datasets as pyhdf reads them."""
    file = SD.SD(str(path))
    datasets = {name: dict(file.select(name).attributes()) for name in file.datasets()}
    found = dict(file.attributes()), datasets
    file.end()
    return found


def same_as_own_reading(path: Path) -> bool:
    header = read_header(str(path))
    texts = [v for d in header.datasets for v in d.attributes.values() if isinstance(v, str)]
    assert texts
    return (dict(header.attributes), {d.name: dict(d.attributes) for d in header.datasets}) == (
        own_reading(path)
    )


def test_attributes_of_a_made_granule_are_those_that_pyhdf_reads(tmp_path: Path) -> None:
    file = SD.SD(str(tmp_path / "odd.hdf"), SD.SDC.WRITE | SD.SDC.CREATE)
    file.attr("one").set(SD.SDC.CHAR8, "x")
    file.attr("accents").set(SD.SDC.CHAR8, "température\0end")
    file.attr("numbers").set(SD.SDC.FLOAT64, [0.5, -3.0])
    file.attr("bytes").set(SD.SDC.UINT8, [1, 2, 255])
    dataset = file.create("band", SD.SDC.INT16, (2, 3))
    dataset.attr("long_name").set(SD.SDC.CHAR8, "a band " * 500)
    dataset.attr("scale_factor").set(SD.SDC.FLOAT64, 1e-4)
    dataset.endaccess()
    file.end()
    assert same_as_own_reading(tmp_path / "odd.hdf")


@pytest.mark.skipif(DATA is None, reason="UPSCALE_TEST_DATA is not set: no real granules here")
def test_attributes_of_real_granules_are_those_that_pyhdf_reads() -> None:
    granules = sorted(Path(str(DATA)).glob("grids/*/*.hdf"))
    assert len(granules) >= 5
    assert [path.name for path in granules if not same_as_own_reading(path)] == []
