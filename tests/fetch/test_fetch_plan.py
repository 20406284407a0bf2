"""The plan of a fetch: what is due by product, date and tile, less what is there and whole."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from upscale.fetch.available import newest
from upscale.fetch.granules import GranuleKey, GranulesDue, granules_due, products_of
from upscale.fetch.plan import make_plan
from upscale.ingest.config import Ingest, Satellite, parse_ingest
from upscale.jobs.settings import ConfigError
from upscale.remote.errors import ArchiveError
from upscale.testing.archives import BOX, Archive, content_of

EARTHDATA = {"from": "earthdata", "collection": "061"}
STAC = {"from": "stac", "catalogue": "https://stac.example.org/v1", "collection": "modis-13Q1-061"}


def ingest_of(archive: Archive, **entry: Any) -> Ingest:
    content = content_of(archive, archive.folder / "cube.zarr")
    content["satellite"] = [{"files": str(archive.folder / "modis"), "fetch": EARTHDATA} | entry]
    return parse_ingest(content, "a plan")


def due_of(ingest: Ingest) -> GranulesDue:
    return granules_due(ingest, ingest.satellite[0])


def test_every_date_of_a_product_is_due_in_every_tile_of_the_region(whole: Archive) -> None:
    due = due_of(ingest_of(whole, products=["MOD09GA", "MCD15A2H", "MOD13Q1"]))
    assert due.count == 4 * (7 + 1 + 1)
    assert {place.tile for place in due.missing} == set(BOX.tiles)
    dates = {(place.product, place.date) for place in due.missing}
    assert dates == {
        ("MCD15A2H", dt.date(2019, 2, 26)), ("MOD13Q1", dt.date(2019, 2, 18)),
    }  # fmt: skip


def test_global_products_have_no_tiles(whole: Archive) -> None:
    due = due_of(ingest_of(whole, products=["MOD09CMG", "MCD43C4"]))
    assert due.count == len(due.missing) == 14
    assert {place.tile for place in due.missing} == {()}


def test_a_broken_granule_is_missing_and_told(half: Archive) -> None:
    ingest = ingest_of(half, products=["MOD09GA"])
    path = min((half.folder / "modis").iterdir())
    for content, words in (
        (b"", "expected HDF4"),
        (b"<html>", "expected HDF4"),
        (path.read_bytes()[:300], "damaged or truncated"),
    ):
        before = len(due_of(ingest).missing)
        path.write_bytes(content)
        due = due_of(ingest)
        assert len(due.missing) >= before
        (fault,) = due.damaged
        assert words in fault.reason


def test_files_of_other_places_and_names_do_not_count(half: Archive) -> None:
    ingest = ingest_of(half, products=["MOD09GA"])
    before = due_of(ingest).missing
    path = min((half.folder / "modis").iterdir())
    for name in ("notes.txt", path.name + ".part", path.name.replace("v03", "v09"), ".x.hdf"):
        (half.folder / "modis" / name).write_bytes(path.read_bytes())
    assert due_of(ingest).missing == before


def test_a_folder_that_is_not_there_yet_lacks_everything(whole: Archive) -> None:
    due = due_of(ingest_of(whole, products=["MOD09GA"], files=str(whole.folder / "new")))
    assert len(due.missing) == due.count == 28
    assert not (whole.folder / "new").exists()


@pytest.mark.parametrize(
    ("collection", "product"),
    [("modis-13Q1-061", "MOD13Q1"), ("modis-43A4-061", "MCD43A4"), ("MOD11A1.v061", "MOD11A1"),
     ("modis-15A2H-061", "MCD15A2H")],
)  # fmt: skip
def test_a_stac_collection_names_its_product(collection: str, product: str) -> None:
    entry = {"files": "x", "fetch": STAC | {"collection": collection}}
    assert products_of(Satellite.model_validate(entry)) == (product,)


def test_a_collection_that_names_no_product_needs_one() -> None:
    entry = {"files": "x", "fetch": STAC | {"collection": "landsat-c2-l2"}}
    with pytest.raises(ArchiveError, match="name them"):
        products_of(Satellite.model_validate(entry))


def test_of_two_versions_the_newest_is_taken() -> None:
    names = [f"MOD09GA.A2019057.h18v03.061.{made}.hdf" for made in
             ("2020001000000", "2021001000000", "2019100000000")]  # fmt: skip
    place = GranuleKey.of(names[0])
    found = newest([(name, name) for name in [*names, "else.hdf", "../" + names[0]]], {place})
    assert found == {place: (names[1], names[1])}


def test_an_ingest_without_a_source_is_refused(whole: Archive) -> None:
    content = content_of(whole, "cube.zarr")
    with pytest.raises(ArchiveError, match="expected the key fetch"):
        make_plan(parse_ingest(content, "no source"))


def test_a_password_in_a_url_is_not_repeated(whole: Archive) -> None:
    source = STAC | {"catalogue": "https://u:SECRET@host/v1", "sign": "https://host/s?k=SECRET"}
    with pytest.raises(ConfigError) as error:
        ingest_of(whole, products=["MOD13Q1"], fetch=source)
    assert "catalogue" in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"files": "https://host/folder"}, "expected one local folder"),
        ({"files": ["a", "b"]}, "expected one local folder"),
        ({"files": "a/*.hdf"}, "expected one local folder"),
        ({"files": "a", "products": None}, "expected the products to fetch"),
        ({"files": "a", "fetch": EARTHDATA | {"collection": "61"}}, "collection"),
        ({"files": "a", "fetch": EARTHDATA | {"token": "x"}}, "unknown key"),
        ({"files": "a", "fetch": STAC | {"catalogue": "https://u:p@host/v1"}}, "credentials"),
        ({"files": "a", "fetch": STAC | {"sign": "https://host/sas?key=1"}}, "without a query"),
        ({"files": "a", "fetch": STAC | {"catalogue": "file:///etc"}}, "https URL"),
        ({"files": "a", "fetch": {"from": "ftp"}}, "earthdata"),
    ],
)
def test_sources_are_checked_before_the_work_starts(
    whole: Archive, entry: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        ingest_of(whole, **({"products": ["MOD09GA"]} | entry))
