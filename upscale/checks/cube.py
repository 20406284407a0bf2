"""The numeric gate of a flux cube: checks that validators of metadata do not make.

compliance-checker and cfchecks notice neither a flipped NEE, nor a mirrored field, nor a day
of NaN, nor km2 labelled m2. Every check has a name, says what it found and where, and what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from upscale.checks.metadata import check_layers, check_metadata, item_arrays
from upscale.checks.mosaic import Days, Mosaic
from upscale.checks.piece import UNREADABLE, Piece, extent, items_in, read_item
from upscale.checks.report import Check, CheckReport
from upscale.checks.scan import scan
from upscale.checks.tally import Tally, empty_tally
from upscale.checks.values import conclude, figures_of
from upscale.product.layout import WorkItem
from upscale.product.reader import CellSlices, FluxCube, occupied, open_flux_cube


def check_cube(store: str, *, finished: bool = True, waive: Collection[str] = ()) -> CheckReport:
    """Check the metadata, then all values of a flux cube; memory: 100 x 100 cells of one block
    (0.3 GB), and 4 bytes for each cell of the grid.

    finished: every cell of the domain must have been computed; waive: names of checks that
    may fail. Values are not looked at where arrays do not have the shape of the layout, or where
    static layers cannot be read.
    """
    cube = open_flux_cube(store)
    checks = list(check_metadata(cube))
    tally = empty_tally(cube.layout)
    if checks[0].passed:
        checks += check_layers(cube)
        if "layers" not in {check.name for check in checks if not check.passed}:
            tally = count(cube)
            checks += conclude(tally, store, cube.layout, finished)
    marked = (
        Check(c.name, c.passed, c.found, c.remedy, c.name in waive, c.told, c.items) for c in checks
    )
    return CheckReport(cube.url, tuple(marked), figures_of(tally))


def count(cube: FluxCube) -> Tally:
    """Count what is in all values: block by block, so that neighbours can be compared."""
    tally, days = empty_tally(cube.layout), Days(cube.layout)
    cells = list(occupied(cube, cube.span(100)))
    for block in range(cube.layout.blocks):
        mosaic = Mosaic(cube.layout, block)
        for one in cells:
            tally = tally.merge(_count_piece(cube, one, block, mosaic, days))
        mosaic.look(tally)
    return tally


def _count_piece(
    cube: FluxCube, cells: CellSlices, block: int, mosaic: Mosaic, days: Days
) -> Tally:
    """Count one rectangle; one that cannot be read is named array by array instead."""
    try:
        piece = Piece.read(cube, cells, block)
        tally = scan(cube, piece)
    except UNREADABLE:
        tally = empty_tally(cube.layout)
        bad = list(unreadable(cube, cells, block))
        if not bad:
            raise
        for item, name in bad:
            tally.fault("readable", 1, f"{item.id} {name}, {extent(cube.layout, item)}", (item.id,))
        return tally
    mosaic.add(piece)
    days.add(piece, tally)
    return tally


def unreadable(cube: FluxCube, cells: CellSlices, block: int) -> Iterator[tuple[WorkItem, str]]:
    """The work items of a rectangle, and their arrays, that cannot be read."""
    for item in items_in(cube.layout, cells, block):
        for name in item_arrays(cube):
            if read_item(cube, item, name) is None:
                yield item, name
