"""Finding a model release by its path, its URL or the name of a shipped release."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from upscale import shipped
from upscale.stores.broken import BROKEN
from upscale.stores.files import write_whole
from upscale.stores.location import check_store_place, is_url

#: Files of a release: its manifest, its model card, its skill at towers.
MANIFEST, CARD, SKILL = "release.yaml", "CARD.md", "skill.csv"

#: Files of weights: tensors, trees of XGBoost, trees of LightGBM.
SUFFIXES = (".safetensors", ".json", ".txt")

#: Overrides the folder below which releases fetched from a URL are kept.
CACHE_VARIABLE = "UPSCALE_CACHE"


class ReleaseError(ValueError):
    """A model release cannot be found or must not be used."""


def find_release(name_or_path: str | Path) -> Path:
    """The folder of a release.

    Tried in this order: a folder with a `release.yaml`, a URL (any that fsspec opens: https, s3,
    gs; copied into the cache), the name of a shipped release. ReleaseError otherwise.
    """
    path = Path(name_or_path).expanduser()
    if (path / MANIFEST).is_file():
        return path
    text = str(name_or_path)
    if is_url(text):
        try:
            return _fetched(check_store_place(text.rstrip("/")))
        except ReleaseError:
            raise
        except ValueError as error:
            raise ReleaseError(str(error)) from None
    known = {folder.name: folder for folder in _shipped()}
    name = text.removeprefix("models/")  # the path in a checkout also works without a checkout
    if name in known:
        return known[name]
    raise ReleaseError(
        f"expected a folder with a {MANIFEST}, the name of a shipped release "
        f"({', '.join(known) or 'none is shipped'}) or a URL, found {text[:200]!r}: "
        "correct the name"
    )


def _shipped() -> Iterator[Path]:
    """Folders of the shipped releases."""
    found = shipped.folder("models").glob(f"*/{MANIFEST}")
    yield from sorted(manifest.parent for manifest in found)


def _fetched(url: str) -> Path:
    """A cached copy of the release at `url`; files already in the cache are not fetched again."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "upscale")
    folder = cache / "releases" / hashlib.sha256(url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _download(f"{url}/{MANIFEST}")
    for name, digest in _files_of(manifest, url):
        if not _holds(folder / name, digest):
            write_whole(folder / name, _download(f"{url}/{name}"))
    write_whole(folder / MANIFEST, manifest)
    return folder


def _files_of(manifest: bytes, url: str) -> list[tuple[str, str]]:
    """Name and sha256 of the files that a manifest names."""
    try:
        content = yaml.safe_load(manifest)
        entries = [content.get("weights"), *content.get("trees", ()), content.get("applicability")]
        files = [(str(entry["file"]), str(entry["sha256"])) for entry in entries if entry]
    except (yaml.YAMLError, *BROKEN):
        files = []
    if not files:
        raise ReleaseError(f"{url}/{MANIFEST} names no weights: correct the URL")
    for name, _ in files:
        if Path(name).name != name or Path(name).suffix not in SUFFIXES:
            raise ReleaseError(
                f"{url}/{MANIFEST}: expected a plain file of {', '.join(SUFFIXES)}, found {name!r}"
            )
    return files


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _download(url: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(url, "rb") as source:
            return bytes(source.read())
    except Exception as error:  # every protocol raises its own types
        raise ReleaseError(
            f"cannot read {url} ({type(error).__name__}: {error}): correct the URL, or fetch "
            "the folder by hand and name its path"
        ) from error
