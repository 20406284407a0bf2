"""VNP09GA written to its documented layout: scales, flags of 1 km on 500 m bands, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.archives.source import open_source
from upscale.remote.errors import ArchiveError
from upscale.testing.granules import StoredGrid, tile_corners, write_viirs

BAND = {"_FillValue": np.int16(-28672), "valid_range": np.array([-100, 16000], np.int16),
        "scale_factor": np.float64(0.0001), "add_offset": 0.0, "units": "none"}  # fmt: skip


def write(path: Path, h: int = 18, v: int = 4) -> str:
    first = np.full((1200, 1200), 1, np.uint8)  # QF2: land
    first[0, :4] = 3, 1 + 8, 1 + 16, 1 + 64  # sea, shadow, heavy aerosol, thin cirrus
    clouds = np.zeros((1200, 1200), np.uint8)
    clouds[0, 4:7] = 2 << 2, 1 << 2, 16  # probably cloudy, probably clear, night
    last = np.zeros((1200, 1200), np.uint8)
    last[0, 7:9] = 2, 3 << 2  # adjacent to cloud, high aerosol
    bands = np.full((2400, 2400), 2500, np.int16)
    bands[2, :3] = -28672, 16001, -100
    coarse = {"SurfReflect_QF1_1": (clouds, {}), "SurfReflect_QF2_1": (first, {}),
              "SurfReflect_QF7_1": (last, {}),
              "SurfReflect_M5_1": (np.full((1200, 1200), 800, np.int16), BAND)}  # fmt: skip
    fine: dict[str, Any] = {"SurfReflect_I2_1": (bands, BAND)}
    corners = tile_corners(h, v)
    return write_viirs(
        path,
        StoredGrid("VIIRS_Grid_1km_2D", corners, coarse),
        StoredGrid("VIIRS_Grid_500m_2D", corners, fine),
    )


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("viirs")
    return write(folder / "VNP09GA.A2023060.h18v04.002.2023290123456.h5")


def test_a_granule_says_what_it_is(granule: str) -> None:
    found = open_source(granule).describe(granule)
    assert (found.product, found.collection, found.date) == ("VNP09GA", "002", "2023-03-01")
    assert found.grid == (
        "h18v04, VIIRS_Grid_1km_2D: sinusoidal 926.6 m, 1200 x 1200; "
        "VIIRS_Grid_500m_2D: sinusoidal 463.3 m, 2400 x 2400"
    )


def test_values_and_default_qa(granule: str) -> None:
    layers = {layer.name: layer for layer in open_source(granule).layers(granule)}
    near_infrared, red = layers["SurfReflect_I2_1"], layers["SurfReflect_M5_1"]
    assert np.isnan(near_infrared.values[2, :2]).all()
    assert near_infrared.values[2, 2] == np.float32(-0.01)
    assert near_infrared.values[9, 9] == np.float32(0.25)
    assert near_infrared.usable is not None
    assert red.usable is not None
    bad = [False] * 5 + [True] + [False] * 3 + [True]
    assert red.usable[0, :10].tolist() == bad
    assert near_infrared.usable[1, :20].tolist() == np.repeat(bad, 2).tolist()
    assert near_infrared.usable[2:].all()
    assert layers["SurfReflect_QF2_1"].usable is None


def test_faults_have_their_own_errors(granule: str, tmp_path: Path) -> None:
    content = Path(granule).read_bytes()
    cut = tmp_path / "VNP09GA.A2023061.h18v04.002.2023290123456.h5"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match="expected a whole HDF5 file, found a damaged"):
        open_source(str(cut)).describe(str(cut))
    cut.write_text("<html>")
    with pytest.raises(ArchiveError, match="expected an HDF5 file"):
        open_source(str(cut)).describe(str(cut))
    other = write(tmp_path / "VNP09GA.A2023062.h18v13.002.2023290123456.h5")
    with pytest.raises(ArchiveError, match=r"tile h18v04 \(north and south are swapped\)"):
        open_source(other).describe(other)
