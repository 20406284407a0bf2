"""Which files a publication consists of, and what each is to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale.calendar import date_of, months_since_1970, years_of
from upscale.product.layout import WorkItem
from upscale.product.published.part import LAYERS, Part
from upscale.product.reader import FluxCube
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.variables import FLUXES, variable
from upscale.version import __version__

#: Name of the files that hold the arrays of the step axis.
APPLICABILITY = "applicability"
#: What can be published, where the store has it.
PUBLISHABLE = (*FLUXES, APPLICABILITY)


@dataclass(frozen=True)
class FileOptions:
    """How files are named and made: first word and version of their names, level of zlib, and
    whether what is not computed yet is published as missing."""

    product: str = "upscale"
    version: str = "1"
    level: int = 2
    unfinished: bool = False


@dataclass(frozen=True)
class PlannedFile:
    """A file of a publication. when: `YYYY-MM` or `YYYY`; span: indices on its axis."""

    path: Path
    variable: str
    when: str
    span: slice


def known_variables(cube: FluxCube, variables: Sequence[str] | None) -> tuple[str, ...]:
    """The variables that are asked for, by default all that a store has; ValueError names those
    that it has not."""
    there = PUBLISHABLE if cube.has_steps else FLUXES
    names = there if variables is None else tuple(variables)
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise ValueError(f"expected fluxes out of {', '.join(there)}, found {unknown or 'none'}")
    return names


def planned_files(
    cube: FluxCube, folder: Path, names: Sequence[str], options: FileOptions
) -> Iterator[PlannedFile]:
    """The files of a publication: the fluxes month by month, then the years of steps."""
    for when, span in _months(cube):
        for name in names:
            if name != APPLICABILITY:
                path = folder / _file_name(cube, options, name, when)
                yield PlannedFile(path, name, when, span)
    for when, span in _years(cube) if APPLICABILITY in names else ():
        path = folder / _file_name(cube, options, APPLICABILITY, when)
        yield PlannedFile(path, APPLICABILITY, when, span)


def _months(cube: FluxCube) -> Iterator[tuple[str, slice]]:
    """`YYYY-MM` and indices on the time axis of every month, first and last perhaps short."""
    days = cube.layout.first + np.arange(cube.layout.count)
    months = months_since_1970(days)
    for month in np.unique(months):
        at = np.flatnonzero(months == month)
        yield f"{date_of(days[at[0]]):%Y-%m}", slice(int(at[0]), int(at[-1]) + 1)


def _years(cube: FluxCube) -> Iterator[tuple[str, slice]]:
    """`YYYY` and indices on the step axis of the steps that begin in every year.

    A year of them has about as many values as a month of days.
    """
    years = years_of(cube.layout.step_bounds[:, 0])
    for year in np.unique(years):
        at = np.flatnonzero(years == year)
        yield str(year), slice(int(at[0]), int(at[-1]) + 1)


def _file_name(cube: FluxCube, options: FileOptions, name: str, when: str) -> str:
    degrees = f"{cube.grid.resolution:g}".replace(".", "p")
    every, date = "15day" if name == APPLICABILITY else "daily", when.replace("-", "")
    return f"{options.product}_{name}_{degrees}deg_{every}_{date}_v{options.version}.nc"


def part_of(
    cube: FluxCube, file: PlannedFile, options: FileOptions, masked: tuple[WorkItem, ...] = ()
) -> Part:
    """What a file is to hold; masked: work items that are published as missing."""
    steps = file.variable == APPLICABILITY
    about = "area of applicability" if steps else variable(file.variable).long_name
    attributes = {
        "title": f"{cube.attributes.get('title', 'Carbon fluxes')}: {about}, {file.when}",
        "product_version": options.version,
    }
    return Part(
        cube,
        stepped_arrays(cube) if steps else (file.variable, f"{file.variable}_sd", "quality"),
        LAYERS,
        file.span,
        attributes | ({"time_coverage_resolution": "P15D"} if steps else {}) | history_of(cube),
        axis="step" if steps else "time",
        level=options.level,
        unfinished=options.unfinished,
        masked=masked,
    )


def stepped_arrays(cube: FluxCube) -> tuple[str, ...]:
    """Arrays on the step axis that a store has."""
    return tuple(name for name in STEP_ARRAYS if cube.has(name))


def history_of(cube: FluxCube) -> dict[str, str]:
    """What was done, without a clock: the same store gives the same file, bit for bit."""
    before = str(cube.attributes.get("history", "")).strip()
    line = f"NetCDF-4 from the flux cube by upscale {__version__}"
    return {"history": f"{before}\n{line}".strip()}
