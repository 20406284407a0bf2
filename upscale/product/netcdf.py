"""Publishing a flux cube as CF NetCDF-4: one file per variable and month.

A half-written NetCDF-4 file can open without an error, so nothing is written under a name
that anyone reads: a hidden partial file in the same folder is closed, reopened,
compared with the store and synced, and only then renamed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import hashlib
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale.calendar import date_of, day_number, months_since_1970
from upscale.product.ncfile import Part, first_difference, write_part
from upscale.product.reader import FluxCube, open_flux_cube
from upscale.product.shards import ReadBackError
from upscale.stores.files import replacing, unfinished, write_whole
from upscale.variables import FLUXES, variable
from upscale.version import __version__

MANIFEST = "SHA256SUMS"
_LOCK = ".publish.lock"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_EVERY_DAILY = (*FLUXES, *(f"{flux}_sd" for flux in FLUXES), "quality", "filled_share")


class PublishError(OSError):
    """A file could not be written; nothing was left under its name."""


@dataclass(frozen=True)
class Publication:
    """Files of a publication: `written` now, and `kept` because they already equal the store."""

    folder: Path
    written: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    def describe(self) -> str:
        """One line for people."""
        kept = f", {len(self.kept)} kept as they are (compared with the store)" if self.kept else ""
        return f"{len(self.written)} files written{kept}; checksums in {self.manifest}"


def publish_netcdf(
    store: str,
    out_dir: Path,
    variables: Sequence[str] = FLUXES,
    *,
    product: str = "upscale",
    version: str = "1",
    level: int = 2,
    unfinished: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Publication:
    """Write one NetCDF-4 file per variable and month of a flux cube into `out_dir`.

    Files are called `<product>_<variable>_<resolution>_daily_YYYYMM_v<version>.nc` and hold the
    variable, its spread, quality, areacella and sftlf. level: of zlib, 1 to 4; unfinished:
    publish also what is not computed yet, as missing; say: gets one line per file. Files that
    equal the store already are kept. Raises UnfinishedError, PublishError (disk full, limits,
    another publication at work), ValueError (unknown variable).
    """
    cube = open_flux_cube(store)
    _known(variables)
    out_dir.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    kept: list[Path] = []
    with _alone(out_dir):
        for month, days in _months(cube):
            for name in variables:
                path = out_dir / _file_name(cube, product, name, month, version)
                part = _month_part(cube, name, month, days, version, level, unfinished)
                new = _renew(path, part)
                (written if new else kept).append(path)
                say(f"{path.name}: {'written' if new else 'kept, equal to the store'}")
    return Publication(out_dir, tuple(written), tuple(kept))


def named_files(
    store: str, out_dir: Path, variables: Sequence[str] = FLUXES, *, product: str = "upscale",
    version: str = "1",
) -> list[Path]:  # fmt: skip
    """List the files that `publish_netcdf` would make of a flux cube; nothing is written.

    Raises ValueError (unknown variable, no flux cube).
    """
    cube = open_flux_cube(store)
    _known(variables)
    return [
        out_dir / _file_name(cube, product, name, month, version)
        for month, _ in _months(cube)
        for name in variables
    ]


def export_day(store: str, date: dt.date, path: Path, *, unfinished: bool = False) -> Path:
    """Write one day of a flux cube with every daily array and layer to `path`.

    Raises ValueError where the cube does not hold the day, else as `publish_netcdf`.
    """
    cube = open_flux_cube(store)
    index = day_number(date) - cube.layout.first
    if not 0 <= index < cube.layout.count:
        raise ValueError(f"{store} holds {cube.layout.describe()}, not {date}")
    layers = ("areacella", "sftlf", "igbp", "koppen")
    days = slice(index, index + 1)
    part = Part(cube, _EVERY_DAILY, layers, days, _history(cube), unfinished=unfinished)
    _write_safely(path, part)
    return path


def _known(variables: Sequence[str]) -> None:
    unknown = [name for name in variables if name not in FLUXES]
    if unknown or not variables:
        raise ValueError(f"expected fluxes out of {', '.join(FLUXES)}, found {unknown or 'none'}")


def _months(cube: FluxCube) -> Iterator[tuple[str, slice]]:
    """`YYYY-MM` and indices on the time axis of every month, first and last perhaps short."""
    days = cube.layout.first + np.arange(cube.layout.count)
    months = months_since_1970(days)
    for month in np.unique(months):
        at = np.flatnonzero(months == month)
        yield f"{date_of(days[at[0]]):%Y-%m}", slice(int(at[0]), int(at[-1]) + 1)


def _file_name(cube: FluxCube, product: str, name: str, month: str, version: str) -> str:
    degrees = f"{cube.grid.resolution:g}".replace(".", "p")
    return f"{product}_{name}_{degrees}deg_daily_{month.replace('-', '')}_v{version}.nc"


def _month_part(
    cube: FluxCube, name: str, month: str, days: slice, version: str, level: int, unfinished: bool
) -> Part:
    title = f"{cube.attributes.get('title', 'Carbon fluxes')}: {variable(name).long_name}, {month}"
    attributes = {"title": title, "product_version": version} | _history(cube)
    daily = (name, f"{name}_sd", "quality")
    layers = ("areacella", "sftlf")
    return Part(cube, daily, layers, days, attributes, level, unfinished)


def _history(cube: FluxCube) -> dict[str, str]:
    """What was done, without a clock: the same store gives the same file, bit for bit."""
    before = str(cube.attributes.get("history", "")).strip()
    line = f"NetCDF-4 from the flux cube by upscale {__version__}"
    return {"history": f"{before}\n{line}".strip()}


def _renew(path: Path, part: Part) -> bool:
    """Write the file unless it already equals the store; True where it was written."""
    manifest = _read_manifest(path.parent)
    if path.exists():
        digest = _digest(path)
        if manifest.get(path.name, digest) == digest and first_difference(path, part) is None:
            _write_manifest(path.parent, manifest | {path.name: digest})
            return False
    digest = _write_safely(path, part)
    _write_manifest(path.parent, manifest | {path.name: digest})
    return True


def _write_safely(path: Path, part: Part) -> str:
    """Write, compare, sync, rename; returns the sha256 of the file."""
    try:
        with replacing(path) as partial:
            write_part(partial, part)
            difference = first_difference(partial, part)
            if difference:
                raise ReadBackError(f"{path}: differs from the store after writing ({difference})")
            return _digest(partial)
    except (OSError, RuntimeError) as error:
        raise _explained(error, path) from error


def _explained(error: Exception, path: Path) -> Exception:
    """netCDF-C says no more than "HDF error" when a disk is full; add what is known."""
    if isinstance(error, OSError) and error.errno not in (*_FULL, errno.EPERM):
        return error
    free = shutil.disk_usage(path.parent).free / 1e9
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    bound = "none" if limit == resource.RLIM_INFINITY else f"{limit} bytes"
    return PublishError(
        f"could not write {path} ({error}): {free:.2f} GB are free there, file-size limit {bound};"
        " make room or choose another folder, then publish again. No half file was left."
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: one publication at a time; what a killed one left is cleared away."""
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PublishError(
                f"another process publishes into {folder}; wait for it, or choose another folder"
            ) from error
        for left in unfinished(folder):
            left.unlink()
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.exists():
        return {}
    rows = (line.split("  ", 1) for line in path.read_text().splitlines() if line)
    return {name: digest for digest, name in rows}


def _write_manifest(folder: Path, digests: dict[str, str]) -> None:
    """Replace the manifest in one step; `sha256sum -c SHA256SUMS` understands it."""
    rows = (f"{digests[name]}  {name}\n" for name in sorted(digests))
    write_whole(folder / MANIFEST, "".join(rows))
