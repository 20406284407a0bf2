"""`upscale inspect`: numbers of a file in physical units, and what it says of broken ones."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from upscale.archives.inspect import inspect, local
from upscale.commands import main
from upscale.remote.errors import ArchiveError
from upscale.testing.granules import StoredGrid, tile_corners, write_modis

pytest.importorskip("pyhdf.SD")


@pytest.fixture
def granule(tmp_path: Path) -> str:
    """200 x 200 pixels of 300 K, one of 250 K, one of fill, the first row of bad quality."""
    numbers = np.full((200, 200), 15000, np.uint16)
    numbers[5, :2] = 12500, 0
    quality = np.zeros((200, 200), np.uint8)
    quality[0] = 2
    attributes = {"_FillValue": 0, "valid_range": (7500, 65535), "scale_factor": 0.02, "units": "K"}
    layers = {"LST_Day_6km": (numbers, attributes), "QC_Day": (quality, {})}
    grid = StoredGrid("MODIS_Grid_8Day_6km_LST", tile_corners(18, 4), layers)
    return write_modis(tmp_path / "MOD11B2.A2020001.h18v04.061.2020019123456.hdf", grid)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["inspect", *arguments])
    return int(end.value.code or 0)


def test_json_of_one_file(granule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", granule) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["file", "product", "collection", "grid", "date", "variables",
                           "believes"]  # fmt: skip
    assert (found["product"], found["collection"], found["date"]) == (
        "MOD11B2", "061", "2020-01-01",
    )  # fmt: skip
    first, quality = found["variables"]
    assert list(first) == ["name", "units", "valid_share", "min", "mean", "max", "qa"]
    assert (first["name"], first["units"]) == ("LST_Day_6km", "K")
    assert first["valid_share"] == pytest.approx(39_999 / 40_000)
    assert (first["min"], first["max"]) == (250.0, 300.0)
    assert first["mean"] == pytest.approx((39_998 * 300 + 250) / 39_999)
    assert first["qa"]["valid_share"] == pytest.approx(39_799 / 40_000)
    assert first["qa"]["mean"] == pytest.approx((39_798 * 300 + 250) / 39_799)
    assert quality["qa"] is None


def test_the_table_shows_every_variable(granule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(granule) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("MOD11B2 collection 061", "LST_Day_6km", "after QA"))


def test_a_broken_file_does_not_hide_the_others(
    granule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "MOD11B2.A2020009.h18v04.061.2020019123456.hdf"
    broken.write_bytes(Path(granule).read_bytes()[:3000])
    assert run("--json", str(broken), granule, str(tmp_path / "none.hdf")) == 1
    shown = capsys.readouterr()
    assert [row["file"] for row in json.loads(shown.out)] == [Path(granule).name]
    assert "expected a whole HDF4 file" in shown.err
    assert "no such file" in shown.err


def test_a_layer_without_values_has_no_range(tmp_path: Path) -> None:
    layers = {"LST_Day_6km": (np.zeros((200, 200), np.uint16), {"_FillValue": 0})}
    grid = StoredGrid("G", tile_corners(18, 4), layers)
    path = write_modis(tmp_path / "MOD11B2.A2020001.h18v04.061.2020019123456.hdf", grid)
    row = inspect(path).to_dict()["variables"][0]
    assert (row["valid_share"], row["min"], row["mean"], row["max"]) == (0.0, None, None, None)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_a_url_is_copied_and_read(granule: str, capsys: pytest.CaptureFixture[str]) -> None:
    with server(Path(granule).parent) as address:
        assert run("--json", f"{address}/{Path(granule).name}") == 0
    assert json.loads(capsys.readouterr().out) == inspect(granule).to_dict()


@pytest.mark.parametrize(
    "url", ["reference://x.hdf", "ftp://host/x.hdf", "zip://a::http://h/b.hdf"]
)
def test_other_schemes_and_chains_are_refused(url: str) -> None:
    with pytest.raises(ArchiveError, match="expected a path or a URL of http"), local(url):
        pass
