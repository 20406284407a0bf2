"""Starting a driver cube: nothing that somebody else made is ever destroyed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zarr

from upscale.drivers.cube import DriverError, open_cube
from upscale.drivers.writer import create_cube, seal


def start(url: str, title: str = "new", **kwargs: Any) -> None:
    create_cube(url, title=title, source="test", day_definition="utc", **kwargs)


def title_of(url: str) -> str:
    return str(zarr.open_group(url, mode="r").attrs["title"])


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def photos(place: Path) -> None:
    place.mkdir()
    (place / "cat.png").write_bytes(b"meow")


def one_file(place: Path) -> None:
    place.write_bytes(b"a thesis")


def flux_cube(place: Path) -> None:
    zarr.open_group(str(place), mode="w").attrs["kind"] = "upscale flux cube"


def bare_group(place: Path) -> None:
    zarr.open_group(str(place), mode="w")


def old_group(place: Path) -> None:
    zarr.open_group(str(place), mode="w", zarr_format=2).create_array("a", shape=3, dtype="f4")


def one_array(place: Path) -> None:
    zarr.create_array(str(place), shape=(3,), dtype="f4")


def broken_metadata(place: Path) -> None:
    photos(place)
    (place / "zarr.json").write_text("{")


def strange_metadata(place: Path) -> None:
    photos(place)
    (place / "zarr.json").write_text("{}")


FOREIGN = [
    photos, one_file, flux_cube, bare_group, old_group, one_array, broken_metadata,
    strange_metadata,
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_no_driver_cube_is_never_touched(
    tmp_path: Path, make: Callable[[Path], None], scheme: str
) -> None:
    place = tmp_path / "precious"
    make(place)
    before = contents(tmp_path)
    assert before
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="that is no driver cube; give another path"):
            start(f"{scheme}{place}", overwrite=overwrite)
    assert contents(tmp_path) == before


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    start(str(tmp_path))
    assert title_of(str(tmp_path)) == "new"


@pytest.fixture(params=["disk", "memory"])
def free(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A free place on disk and by URL."""
    if request.param == "disk":
        return str(tmp_path / "cube.zarr")
    fsspec.filesystem("memory").store.clear()
    return "memory://cubes/drivers.zarr"


def test_a_finished_cube_is_replaced_only_on_request(free: str) -> None:
    start(free, "old")
    zarr.open_group(free, mode="r+").create_group("static")
    seal(free)
    with pytest.raises(FileExistsError, match=r"cube \('old'\) exists already; .* --overwrite"):
        start(free)
    assert title_of(free) == "old"
    start(free, overwrite=True)
    assert title_of(free) == "new"
    assert not list(zarr.open_group(free, mode="r").groups())


def test_a_cube_that_was_never_sealed_is_started_again(free: str) -> None:
    start(free, "half")
    start(free)
    assert title_of(free) == "new"


def test_an_object_by_url_is_never_buried(free: str) -> None:
    files, path = fsspec.core.url_to_fs(free)
    files.pipe(f"{path}/notes/readme.txt", b"mine") if "://" in free else photos(Path(path))
    with pytest.raises(FileExistsError, match="something that is no driver cube"):
        start(free, overwrite=True)
    assert not files.exists(f"{path}/zarr.json")


def test_a_cube_half_replaced_does_not_pass_for_the_old_one(
    tmp_path: Path, cube_writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk goes away while the old chunks are deleted."""
    url = cube_writer(str(tmp_path / "cube.zarr")).url

    def stop(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    with monkeypatch.context() as disk:
        disk.setattr("shutil.rmtree", stop)
        with pytest.raises(OSError, match="gone"):
            start(url, overwrite=True)
    with pytest.raises(DriverError, match="never finished"):
        open_cube(url)
    start(url)
    assert title_of(url) == "new"
