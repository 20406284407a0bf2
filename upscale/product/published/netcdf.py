"""Publishing a flux cube as CF NetCDF-4: one file per variable and month.

A half-written NetCDF-4 file can open without an error, so nothing is written under a name
that anyone reads: a hidden partial file in the same folder is closed, reopened,
compared with the store and synced, and only then renamed. A file is made again only where what it
is made from has changed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from upscale.calendar import day_number
from upscale.product.published.index import (
    MANIFEST,
    IndexedFile,
    PublishedFolder,
    sha256_of,
)
from upscale.product.published.ncfile import first_difference
from upscale.product.published.origin import ReadOrigin, StoreView, no_ledger
from upscale.product.published.part import LAYERS, Part, UnfinishedError
from upscale.product.published.plan import (
    FileOptions,
    PlannedFile,
    history_of,
    known_variables,
    part_of,
    planned_files,
    stepped_arrays,
)
from upscale.product.published.safely import PublishError, alone_in, write_safely
from upscale.product.reader import open_flux_cube
from upscale.variables import FLUXES

#: How files are named and made where nothing else is said.
DEFAULT = FileOptions()

#: The reason of a file that was not there before.
NEW = "new"

_EVERY_DAILY = (*FLUXES, *(f"{flux}_sd" for flux in FLUXES), "quality", "filled_share")
#: How often a file is begun, because the store was revised meanwhile.
_ATTEMPTS = 3


class RevisedMeanwhileError(PublishError):
    """The store was revised while a file was made of it."""


@dataclass(frozen=True)
class Publication:
    """Files of a publication.

    written: now, each with the reason; kept: as they were, because nothing that they are made from
    has changed; outdated: files of an earlier publication for which the store has no days;
    unfinished: files that were left out, and what is not computed yet.
    """

    folder: Path
    written: Mapping[Path, str]
    kept: tuple[Path, ...]
    outdated: tuple[Path, ...] = ()
    unfinished: Mapping[Path, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    def describe(self) -> str:
        """One line for people."""
        if not self.written:
            return f"nothing to write: {len(self.kept)} files are as they should be"
        new = sum(reason == NEW for reason in self.written.values())
        again, kept = len(self.written) - new, len(self.kept)
        return f"{new} files new, {again} written again, {kept} kept; checksums in {self.manifest}"


def publish_netcdf(
    store: str,
    out_dir: Path,
    variables: Sequence[str] | None = None,
    options: FileOptions = DEFAULT,
    *,
    origin: ReadOrigin = no_ledger,
    say: Callable[[str], None] = lambda line: None,
) -> Publication:
    """Write one NetCDF-4 file per variable and month of a flux cube into `out_dir`.

    Files are called `<product>_<variable>_<resolution>_daily_YYYYMM_v<version>.nc` and hold the
    variable, its spread, quality, areacella and sftlf; the arrays of the step axis stand in files
    of their own, one for each year. variables: out of `PUBLISHABLE`, by default all that the store
    has; origin: reads the ledger of the store, without which every file is compared with the store;
    say: gets one line per file.

    A file whose sources have not changed is kept. Raises UnfinishedError in the end where a file
    was left out, PublishError (disk full, limits, another publication at work, a store that is
    revised meanwhile), ValueError (unknown variable).
    """
    cube = open_flux_cube(store)
    files = list(planned_files(cube, out_dir, known_variables(cube, variables), options))
    out_dir.mkdir(parents=True, exist_ok=True)
    with alone_in(out_dir):
        folder = PublishedFolder(out_dir)

        def look(before: StoreView | None) -> StoreView:
            return StoreView(store, origin(), before)

        done = _Publisher(folder, options, look, say).publish(files)
    if done.unfinished:
        raise UnfinishedError(_left_out(store, done))
    return done


def named_files(
    store: str,
    out_dir: Path,
    variables: Sequence[str] | None = None,
    options: FileOptions = DEFAULT,
) -> list[Path]:
    """List the files that `publish_netcdf` would make of a flux cube; nothing is written.

    Raises ValueError (unknown variable, no flux cube).
    """
    cube = open_flux_cube(store)
    names = known_variables(cube, variables)
    return [file.path for file in planned_files(cube, out_dir, names, options)]


def export_day(
    store: str, date: dt.date, path: Path, *, unfinished: bool = False,
    origin: ReadOrigin = no_ledger,
) -> Path:  # fmt: skip
    """Write one day of a flux cube with every array that has days or steps, and every layer, to
    `path`, unless it is there.

    Raises ValueError where the cube does not hold the day, else as `publish_netcdf`.
    """
    view = StoreView(store, origin())
    index = day_number(date) - view.cube.layout.first
    if not 0 <= index < view.cube.layout.count:
        raise ValueError(f"{store} holds {view.cube.layout.describe()}, not {date}")
    part = Part(
        view.cube,
        (*_EVERY_DAILY, *stepped_arrays(view.cube)),
        (*LAYERS, "igbp", "koppen"),
        slice(index, index + 1),
        history_of(view.cube),
        unfinished=unfinished,
    )
    part = replace(part, masked=view.waiting(part))
    if not unfinished and (why := view.unfinished(part)):
        raise UnfinishedError(f"{store}: {why}; finish the run first")
    if not path.exists() or first_difference(path, part) is not None:
        write_safely(path, part, lambda: _confirm(view, StoreView(store, origin()), part))
    return path


def _confirm(view: StoreView, now: StoreView, part: Part) -> None:
    """RevisedMeanwhileError unless two views show the same of a part."""
    if not view.shows_as(now, part):
        raise RevisedMeanwhileError(
            f"{part.cube.url}: was revised while {part.describe()} was read; wait until the "
            "revision is finished, then publish again. What was published before is as it was."
        )


class _Publisher:
    """Makes the files of one publication, one after the other."""

    def __init__(
        self,
        folder: PublishedFolder,
        options: FileOptions,
        look: Callable[[StoreView | None], StoreView],
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._options, self._look, self._say = folder, options, look, say
        self._view = look(None)

    def publish(self, files: Sequence[PlannedFile]) -> Publication:
        """Bring all files to what the store says, and name those that it has no place for."""
        written, kept, left = dict[Path, str](), list[Path](), dict[Path, str]()
        for file in files:
            try:
                reason = self._renew(file)
            except UnfinishedError as error:
                left[file.path] = str(error)
                self._say(f"{file.path.name}: left out, {error}")
                continue
            if reason:
                written[file.path] = reason
            else:
                kept.append(file.path)
            self._say(f"{file.path.name}: {_in_words(reason)}")
        self._folder.write()
        outdated = tuple(self._outdated(files))
        for path in outdated:
            self._say(f"{path.name}: the store has no such days now; delete it if nobody needs it")
        return Publication(self._folder.folder, written, tuple(kept), outdated, left)

    def _outdated(self, files: Sequence[PlannedFile]) -> Iterator[Path]:
        """Files of the same product, version and variables that there is no place for now."""
        names, variables = ({f.path.name for f in files}, {f.variable for f in files})
        mine = self._options.product, self._options.version
        for name, file in sorted(self._folder.files.items()):
            same = (file.product, file.version) == mine and file.variable in variables
            if same and name not in names:
                yield self._folder.folder / name

    def _renew(self, file: PlannedFile) -> str:
        """Bring one file to what the store says, and tell why it was written; empty where it was
        kept. Begins again where the store was revised meanwhile."""
        for left in reversed(range(_ATTEMPTS)):
            view, part = self._view, self._part(file)
            try:
                return self._attempt(file, part)
            except Exception:
                # Whatever goes wrong while a store is revised is put down to that.
                self._view = self._look(view)
                if not left or view.shows_as(self._view, part):
                    raise
        raise AssertionError("every attempt returns or raises")

    def _part(self, file: PlannedFile) -> Part:
        part = part_of(self._view.cube, file, self._options)
        return replace(part, masked=self._view.waiting(part))

    def _attempt(self, file: PlannedFile, part: Part) -> str:
        """As `_renew`, from one view of the store; UnfinishedError where days are not computed."""
        view = self._view
        sources = view.made_from(part)
        if self._stands(file.path, sources):
            return ""
        if not self._options.unfinished and (why := view.unfinished(part)):
            raise UnfinishedError(why)
        reason = self._reason(file.path, sources, part)
        digest = self._write(file.path, part) if reason else self._keep(file.path, part)
        row = IndexedFile(
            digest, file.path.stat().st_size, self._options.product, self._options.version,
            file.variable, view.revision, sources,
        )  # fmt: skip
        self._folder.enter(file.path.name, row)
        return reason

    def _stands(self, path: Path, sources: Mapping[str, Any]) -> bool:
        """Whether a file is the one that was written, from the same sources; it is not opened."""
        row = self._folder.files.get(path.name)
        if row is None or not sources["items"] or row.made_from != sources:
            return False
        return not row.fault(path)

    def _reason(self, path: Path, sources: Mapping[str, Any], part: Part) -> str:
        """Why a file is to be written; empty where its content is what the store says."""
        row = self._folder.files.get(path.name)
        if row is None and not path.exists():
            return NEW
        if row is not None and (fault := row.fault(path)):
            return fault
        if row is not None:
            for key in ("form", "level"):
                if row.made_from.get(key) != sources[key]:
                    return f"{key} was {row.made_from.get(key)}, is {sources[key]}"
            if row.made_from.get("unfinished") and not sources["unfinished"]:
                return "it was published before its days were finished"
        difference = first_difference(path, part, whole=False)
        if difference is None:
            return ""
        revisions = self._view.revisions_of(part, row.revision) if row is not None else ()
        return "; ".join(revisions) or f"the store has changed: {difference}"

    def _write(self, path: Path, part: Part) -> str:
        def confirm() -> None:
            self._unrevised(part)
            self._folder.withdraw(path.name)

        return write_safely(path, part, confirm)

    def _keep(self, path: Path, part: Part) -> str:
        digest = sha256_of(path)
        self._unrevised(part)
        return digest

    def _unrevised(self, part: Part) -> None:
        """RevisedMeanwhileError where the store was revised since it was looked at."""
        view = self._view
        self._view = self._look(view)
        _confirm(view, self._view, part)


def _in_words(reason: str) -> str:
    if not reason:
        return "kept"
    return reason if reason == NEW else f"written again, {reason}"


def _left_out(store: str, done: Publication) -> str:
    names = ", ".join(f"{path.name} ({why})" for path, why in done.unfinished.items())
    return (
        f"{store}: {len(done.unfinished)} files were left out, because days in them are not "
        f"computed yet: {names}; finish the run first (`upscale run` goes on where it was). "
        f"{done.describe()}"
    )
