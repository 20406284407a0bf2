"""Flux towers: what was measured, to train on and to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscale.towers import table
from upscale.towers.tower import Tower


def read_towers(folder: str | Path, sites: str | Sequence[str] | None = None) -> tuple[Tower, ...]:
    """Read the flux towers of a folder.

    Parameters
    ----------
    folder : str or Path
        ONEFlux files, CarbonFluxBench tables, or a harmonised ``towers.parquet``.
    sites : str or sequence of str, optional
        Identifiers of the towers to read, such as ``["AT-Neu"]``; by default all.

    Returns
    -------
    tuple of Tower
        Sorted by site. ``drivers`` is ``(day, 4)``: ta in degC, sw_in in W m-2, vpd in hPa, p in
        mm d-1. ``fluxes`` is ``(day, 3)``: gpp, reco, nee in g m-2 d-1 of carbon. NaN = missing.

    Raises
    ------
    FileNotFoundError
        Where the folder holds no towers.
    ValueError
        Where a file cannot be read as what it should be; the message names file and column.

    References
    ----------
    Pastorello et al. (2020), Scientific Data 7:225 (ONEFlux).

    Examples
    --------
    >>> import upscale
    >>> towers = upscale.read_towers("towers")
    >>> towers[0].site
    'XX-T00'
    """
    return table.read_towers(folder, None if sites is None else names_of(sites))


def names_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """Take one string as one name, not as a sequence of letters."""
    return (names,) if isinstance(names, str) else tuple(names)
