"""Quality bits against the sums of powers of two that the user guides print."""

from __future__ import annotations

import numpy as np

from upscale.archives.formats.bits import BAND_QC, STATE, accepted, bits, passes, released_clouds


def test_fields_of_state_are_read_from_their_bits() -> None:
    # mixed cloud 2, shadow, land/water 5, aerosol 3, cirrus 1, adjacent to cloud
    code = np.array([2 + 4 + 5 * 8 + 3 * 64 + 1 * 256 + 8192], np.uint16)
    found = {name: int(bits(code, field)[0]) for name, field in STATE.items()}
    assert found == {
        "cloud": 2, "shadow": 1, "land_water": 5, "aerosol": 3, "cirrus": 1, "internal_cloud": 0,
        "fire": 0, "snow": 0, "adjacent": 1, "salt_pan": 0, "internal_snow": 0,
    }  # fmt: skip


def test_band_quality_needs_all_32_bits() -> None:
    code = np.array([(1 << 31) + (13 << 26) + (7 << 2) + 1, 0x40000000], np.uint32)
    assert bits(code, BAND_QC["band_7"]).tolist() == [13, 0]
    assert bits(code, BAND_QC["band_1"]).tolist() == [7, 0]
    assert bits(code, BAND_QC["modland"]).tolist() == [1, 0]
    assert bits(code, BAND_QC["adjacency"]).tolist() == [1, 0]
    assert bits(code, BAND_QC["atmosphere"]).tolist() == [0, 1]


def test_conditions_are_the_same_by_look_up_and_by_shift() -> None:
    codes = np.arange(65536, dtype=np.uint16)
    rule = accepted(STATE, cloud=(0, 3), land_water=(1, 2), cirrus=(0, 1))
    written_out = (
        np.isin(codes % 4, (0, 3)) & np.isin(codes // 8 % 8, (1, 2)) & (codes // 256 % 4 <= 1)
    )
    np.testing.assert_array_equal(passes(codes, rule), written_out)
    np.testing.assert_array_equal(passes(codes.astype(np.uint32), rule), written_out)


def test_clouds_of_the_released_code_are_any_of_three_bits() -> None:
    codes = np.arange(65536, dtype=np.uint16)
    binary = [format(code, "016b")[-3:] for code in codes.tolist()]
    expected = ["1" in last for last in binary]
    assert released_clouds(codes).tolist() == expected
