"""Tiles of a STAC catalogue become granules that an ingest reads as those of the archive."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from upscale.archives.cells.sinusoidal import pixel_centres
from upscale.archives.formats.hdf4 import read_dataset, read_header
from upscale.archives.formats.structure import Geometry
from upscale.archives.satellite.modis import MODIS
from upscale.commands import main
from upscale.fetch.plan import make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.run import FetchOutcome, Speed, fetch
from upscale.fetch.tiles import layers_needed, write_granule
from upscale.ingest.config import parse_ingest
from upscale.remote.errors import ArchiveError
from upscale.testing.archives import BOX, Archive, content_of, contents, ingest_here
from upscale.testing.granules import StoredGrid, write_modis
from upscale.testing.scenes import cut_out
from upscale.testing.servers.http import Drop, Server, serve
from upscale.testing.servers.stac import Answering, make_item, serve_stac, write_cog

FAST = Speed(parallel=4, per_second=1000)
SECRET = "sv=2021-06-08&sig=SECRET-sas%2B91cd%3D"
DATE = dt.date(2019, 2, 18)  # of the composite that holds the week of the archive
PREFIX = "250m 16 days "
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "NDVI": {"_FillValue": -3000, "valid_range": (-2000, 10000), "scale_factor": 10000.0},
    "EVI": {"_FillValue": -3000, "valid_range": (-2000, 10000), "scale_factor": 10000.0},
    "NIR reflectance": {"_FillValue": -1000, "valid_range": (0, 10000), "scale_factor": 10000.0},
    "pixel reliability": {"_FillValue": -1, "valid_range": (0, 3)},
}


def stored_of(geometry: Geometry) -> dict[str, np.ndarray]:
    """What the tiles hold: smooth vegetation, some fill, some pixels that are not good."""
    lat, lon = pixel_centres(geometry)
    y, x = np.broadcast_to(lat[:, None], lon.shape), lon
    ndvi = np.rint(5000 + 3000 * np.sin(9 * y) * np.cos(7 * x)).astype(np.int16)
    ndvi[::17, ::13] = -3000
    cloudy = np.where(np.sin(40 * y + 23 * x) > 0.7, 3, 0)
    return {
        "NDVI": ndvi,
        "EVI": (ndvi // 2).astype(np.int16),
        "NIR reflectance": np.rint(3000 + 500 * np.cos(5 * x)).astype(np.int16),
        "pixel reliability": np.where(ndvi == -3000, -1, cloudy).astype(np.int8),
    }


@dataclass
class Tiles:
    """Granules, the same as tiles of a catalogue, and the servers of these."""

    reference: Path
    items: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    folder = tmp_path_factory.mktemp("tiles")
    (folder / "reference").mkdir()
    made = Tiles(folder / "reference")
    for h, v in BOX.tiles:
        name = f"MOD13Q1.A{DATE:%Y%j}.h{h:02d}v{v:02d}.061.2020286063020"
        geometry = cut_out(BOX, (h, v), 4800, 1)
        right = geometry.left + geometry.cols * geometry.pixel
        corners = (
            geometry.left,
            geometry.top,
            right,
            geometry.top - geometry.rows * geometry.pixel,
        )
        layers = {PREFIX + k: (a, ATTRIBUTES[k]) for k, a in stored_of(geometry).items()}
        write_modis(made.reference / f"{name}.hdf", StoredGrid("grid", corners, layers))
        assets = {}
        for layer, (stored, attributes) in layers.items():
            path = write_cog(folder / "one.tif", geometry, stored, attributes["_FillValue"])
            content = path.read_bytes()
            key = layer.replace(" ", "_")
            made.files[f"/{name}/{key}.tif"] = content
            digest = hashlib.sha256(content).hexdigest()
            assets[key] = {"href": f"{{blob}}/{name}/{key}.tif", "file:size": len(content),
                           "file:checksum": f"1220{digest}"}  # fmt: skip
        made.items.append(
            make_item(name, "modis-13Q1-061", ("2019-02-18", "2019-03-05"), (0, 40, 40, 60), assets)
        )
    return made


@dataclass
class Api:
    """Running servers, and the archive whose entry names them."""

    stac: Answering
    files: Server
    archive: Archive
    items: list[dict[str, Any]]

    def content(self, cube: Path) -> dict[str, Any]:
        source = {
            "from": "stac", "catalogue": self.stac.url, "collection": "modis-13Q1-061",
            "hosts": ["127.0.0.1"], "sign": f"{self.stac.url}/sas",
        }  # fmt: skip
        entry = {"files": str(self.archive.folder / "vi"), "fetch": source}
        return content_of(self.archive, cube) | {"satellite": [entry]}

    def fetched(self, cube: Path) -> FetchOutcome:
        plan = make_plan(parse_ingest(self.content(cube), "tiles"))
        return fetch(plan, make_progress(1e9, StringIO()), FAST)


@pytest.fixture
def api(tiles: Tiles, whole: Archive, tmp_path: Path) -> Iterator[Api]:
    items: list[dict[str, Any]] = []
    archive = Archive(tmp_path / "archive", whole.first, whole.last)
    shutil.copytree(whole.folder, archive.folder, ignore=shutil.ignore_patterns("modis", "fapar"))
    (archive.folder / "vi").mkdir()
    with (
        serve(tiles.files) as files,
        serve_stac(items, token=SECRET, blobs=files.url) as stac,
    ):
        for item in tiles.items:
            assets = {
                key: asset | {"href": asset["href"].format(blob=f"{stac.url}/blob")}
                for key, asset in item["assets"].items()
            }
            items.append(item | {"assets": assets})
        yield Api(stac, files, archive, items)


def test_granules_have_the_numbers_attributes_and_grid_of_the_archive(
    api: Api, tiles: Tiles, tmp_path: Path
) -> None:
    outcome = api.fetched(tmp_path / "cube.zarr")
    assert (outcome.failed, outcome.absent) == ((), ())
    made = api.archive.folder / "vi"
    names = sorted(path.name for path in tiles.reference.iterdir())
    assert sorted(path.name for path in made.glob("*.hdf")) == names
    assert api.stac.count("/search", "POST") == 2  # four items on pages of two
    for name in names:
        one, other = str(made / name), str(tiles.reference / name)
        assert MODIS.describe(one).grid.split(": ")[1] == MODIS.describe(other).grid.split(": ")[1]
        for dataset in read_header(other).datasets:
            stored = read_dataset(one, dataset.name)
            np.testing.assert_array_equal(stored, read_dataset(other, dataset.name))
            assert stored.dtype == read_dataset(other, dataset.name).dtype
            found = {d.name: d.attributes for d in read_header(one).datasets}[dataset.name]
            assert {k: found[k] for k in dataset.attributes} == dataset.attributes


def test_an_ingest_of_fetched_tiles_is_that_of_the_granules(
    api: Api, tiles: Tiles, tmp_path: Path
) -> None:
    api.fetched(tmp_path / "cube.zarr")
    for cube, folder in (("one", api.archive.folder / "vi"), ("other", tiles.reference)):
        content = api.content(tmp_path / cube) | {"satellite": [{"files": str(folder)}]}
        assert not ingest_here(parse_ingest(content, cube)).failed
    one, other = (contents(tmp_path / cube) for cube in ("one", "other"))
    assert np.isfinite(one["satellite/ndvi"]).any()
    arrays = [name for name, value in one.items() if isinstance(value, np.ndarray)]
    for name in arrays:
        np.testing.assert_array_equal(one[name], other[name])


def test_the_token_of_a_catalogue_is_asked_for_once_and_never_shown(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    broken = sorted(api.files.files)[0]
    api.files.files[broken] = b"<html>no</html>"
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(api.content(tmp_path / "cube.zarr")))
    with pytest.raises(SystemExit) as end:
        main(["fetch", str(config), "--rate", "1000"])
    assert end.value.code == 1
    said = capsys.readouterr()
    assert "MOD13Q1" in said.err
    texts = [said.out, said.err, caplog.text]
    texts += [p.read_bytes().decode("latin-1") for p in tmp_path.rglob("*") if p.is_file()]
    assert not [text[:80] for text in texts if "SECRET" in text]
    assert api.stac.count("/sas/modis-13Q1-061") == 1
    assert sum("SECRET" in row.raw_query for row in api.stac.asked) >= 12


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "reference://refs.json",
        "/etc/passwd",
        "simplecache::https://127.0.0.1/x.tif",
        "http://169.254.169.254/latest/meta-data",
        "https://user:word@127.0.0.1/x.tif",
        "/vsicurl/http://127.0.0.1/x.tif",
    ],
)
def test_a_catalogue_cannot_lead_elsewhere(api: Api, href: str, tmp_path: Path) -> None:
    api.items[0]["assets"]["250m_16_days_NDVI"]["href"] = href
    (failure,) = api.fetched(tmp_path / "cube.zarr").failed
    assert failure.name == f"{api.items[0]['id']}.hdf"
    assert "expected" in failure.reason
    assert "word" not in failure.reason
    assert len(list((api.archive.folder / "vi").glob("*.hdf"))) == 3


def test_a_redirect_cannot_lead_elsewhere_either(api: Api, tiles: Tiles, tmp_path: Path) -> None:
    with serve_stac(api.items, token=SECRET, blobs="http://169.254.169.254") as other:
        for asset in api.items[0]["assets"].values():
            asset["href"] = asset["href"].replace(api.stac.url, other.url)
        (failure,) = api.fetched(tmp_path / "cube.zarr").failed
    assert "found '169.254.169.254'" in failure.reason


def test_copies_that_came_are_not_fetched_again(api: Api, tmp_path: Path) -> None:
    paths = sorted(path for path in api.files.files if path.startswith(f"/{api.items[0]['id']}"))
    api.files.always[paths[-1]] = Drop(100)
    content = api.content(tmp_path / "cube.zarr")
    plan = make_plan(parse_ingest(content, "tiles"))
    from upscale.remote.retries import Patience

    hasty = Speed(4, 1000, Patience(attempts=2, wait=0.01))
    (failure,) = fetch(plan, make_progress(1e9, StringIO()), hasty).failed
    assert "after 2 tries" in failure.reason
    del api.files.always[paths[-1]]
    assert not api.fetched(tmp_path / "cube.zarr").failed
    assert [api.files.count(path) for path in paths] == [1, 1, 1, 3]


def test_a_search_that_may_not_be_posted_is_asked(api: Api, tmp_path: Path) -> None:
    with serve_stac(api.items, token=SECRET, posts=False, blobs=api.files.url) as stac:
        content = api.content(tmp_path / "cube.zarr")
        content["satellite"][0]["fetch"]["catalogue"] = stac.url
        plan = make_plan(parse_ingest(content, "tiles"))
        assert len(fetch(plan, make_progress(1e9, StringIO()), FAST).fetched) == 4
        assert stac.count("/search", "GET") == 2


def test_granules_that_no_catalogue_has_are_told_and_are_no_failure(
    api: Api, tmp_path: Path
) -> None:
    del api.items[1:]
    outcome = api.fetched(tmp_path / "cube.zarr")
    assert (len(outcome.fetched), len(outcome.absent), outcome.failed) == (1, 3, ())


def one_tile(folder: Path, **how: Any) -> dict[str, Path]:
    geometry = cut_out(BOX, BOX.tiles[0], 4800, 1)
    stored = how.pop("stored", np.ones((geometry.rows, geometry.cols), np.int16))
    return {"250m 16 days NDVI": write_cog(folder / "a.tif", geometry, stored, **how)}


def test_another_sphere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="sinusoidal grid of MODIS"):
        write_granule(tmp_path / "x.hdf", "MOD13Q1", one_tile(tmp_path, radius=6378137.0))


def test_scaled_numbers_are_refused(tmp_path: Path) -> None:
    shape = cut_out(BOX, BOX.tiles[0], 4800, 1)
    stored = np.ones((shape.rows, shape.cols), np.float32)
    with pytest.raises(ArchiveError, match="stored integers"):
        write_granule(tmp_path / "x.hdf", "MOD13Q1", one_tile(tmp_path, stored=stored))


def test_a_virtual_image_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    with pytest.raises(ArchiveError, match="whole GeoTIFF"):
        write_granule(tmp_path / "x.hdf", "MOD13Q1", {"250m 16 days NDVI": path})


def test_attributes_of_a_file_go_before_those_of_the_table(tmp_path: Path) -> None:
    tiles = one_tile(tmp_path, tags={"scale_factor": "0.001", "valid_range": "-10, 900"})
    path = tmp_path / "MOD13Q1.A2019049.h18v03.061.2020286063020.hdf"
    write_granule(path, "MOD13Q1", tiles)
    (dataset,) = read_header(str(path)).datasets
    assert dataset.attributes["scale_factor"] == 0.001
    assert list(dataset.attributes["valid_range"]) == [-10, 900]


def test_layers_that_are_needed_are_those_of_the_variables_and_their_quality() -> None:
    assert layers_needed("MCD15A2H", None) == ("Fpar_500m", "FparLai_QC")
    assert layers_needed("MOD13Q1", ("ndvi",)) == (PREFIX + "NDVI", PREFIX + "pixel reliability")
    with pytest.raises(ArchiveError, match="expected variables"):
        layers_needed("MCD15A2H", ("ndvi",))
