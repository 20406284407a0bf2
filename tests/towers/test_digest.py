"""The digest of a folder of towers counts the files that a model reads."""

from __future__ import annotations

from pathlib import Path

from upscale.testing.towers import write_towers
from upscale.towers.digest import data_digest


def test_satellite_files_count_in_the_digest_of_the_data_where_they_are_used(
    tmp_path: Path,
) -> None:
    made = write_towers(tmp_path / "made", count=4, seed=0)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("sites.parquet", "towers.parquet"):
        (copy / name).write_bytes((made / name).read_bytes())
    before = data_digest(copy), data_digest(copy, ["ta", "ndvi"])
    (copy / "satellite.parquet").write_bytes(b"anything")
    assert data_digest(copy, ["ta", "vpd"]) == before[0] == data_digest(made)
    assert data_digest(copy, ["ta", "ndvi"]) != before[1]
