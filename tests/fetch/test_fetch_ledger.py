"""A folder of fetched files: one fetch at a time, and no notes of files that are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.fetch.ledger import FetchLedger
from upscale.remote.errors import ArchiveError


def test_one_fetch_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    with (
        FetchLedger(tmp_path).held(),
        pytest.raises(ArchiveError, match="found one at work"),
        FetchLedger(tmp_path).held(),
    ):
        pass


def test_notes_of_a_file_that_got_its_name_are_swept(tmp_path: Path) -> None:
    parts = tmp_path / ".part"
    parts.mkdir()
    for name in ("a.hdf.part.note", "a.nc.job", "b.hdf.part.note", "b.nc.job"):
        (parts / name).touch()
    for name in ("a.hdf", "a.nc"):
        (tmp_path / name).touch()
    with FetchLedger(tmp_path).held():
        left = {path.name for path in parts.iterdir()}
    assert left == {".lock", "b.hdf.part.note", "b.nc.job"}
