"""Fluxes of any place from its drivers, as a map would have them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from upscale.api.fluxes import PredictedCells, dataset_of
from upscale.api.records import (
    Drivers,
    PlaceRecords,
    check_same_places,
    of_places,
    read_records,
    with_margin,
)
from upscale.calendar import STEP_DAYS
from upscale.engine.provenance import other_days
from upscale.engine.work.predict import daily_of
from upscale.engine.work.reduction import NO_SUMS, joined, reduce_members, slices
from upscale.engine.work.uncertainty import applicability_of, margin_of
from upscale.network.inference import (
    CellWindows,
    Embeddings,
    embed_series,
    lay_windows,
    predict_series,
)
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import Release, load_release

Place = ArrayLike | xr.DataArray


def predict(
    release: Release | str | Path,
    drivers: Drivers,
    *,
    lat: Place | None = None,
    lon: Place | None = None,
    igbp: Place | None = None,
    koppen: Place | None = None,
    history: Drivers | None = None,
    members: bool = False,
    device: str = "auto",
) -> xr.Dataset:
    """Predict daily carbon fluxes from daily drivers.

    The numbers are those of a map: a run on the same drivers writes the same fluxes, spreads and
    quality. Everything is held in memory; for maps of many cells use `run`.

    Parameters
    ----------
    release : Release, str or Path
        What `open_release` returns or takes.
    drivers : xarray.Dataset or pandas.DataFrame
        Daily series named as in ``upscale.variables``: ta (degC), sw_in (W m-2), vpd (hPa), p
        (mm d-1) and others that the model reads. A table has an index of days; a dataset has
        the dimension time and any of lat, lon and site, in any order. Days are whole, in order
        and without gaps; NaN = missing. A series ``NAME_filled`` marks days (1) that were filled.
        A dataset may also hold the classes ``igbp`` and ``koppen`` and the share of land
        ``sftlf`` (%). Potential radiation and day length are computed, never read.
    lat, lon : float or array, optional
        Degrees north and east, where the drivers do not hold them; lon where the model reads it.
    igbp, koppen : str, int or array, optional
        Class of the place, such as ``"DBF"`` and ``"Cfb"``, or its code; 0 = unknown.
    history : xarray.Dataset or pandas.DataFrame, optional
        Drivers of the same place on the days from which the support set is drawn, by which the
        model learns what kind of place this is; by default `drivers` themselves. Where both have
        labels (site, lat, lon), places are paired by them, in any order.
    members : bool
        Also return the fluxes of each member.
    device : {"auto", "cpu", "cuda"}
        Where networks run.

    Returns
    -------
    xarray.Dataset
        ``gpp``, ``reco``, ``nee`` and their spread over the members (``gpp_sd``, ...) in
        g m-2 d-1 of carbon, ``quality`` (flags by name in its attributes) and ``filled_share``,
        all ``(time, ...)`` with the dimensions of the drivers; where the model knows its area of
        applicability, ``extrapolation`` and others ``(step, ...)`` for steps of 15 days. On
        request ``gpp_members``, ... ``(member, time, ...)``. NEE has a head of its own and is close
        to RECO - GPP; positive = release to the atmosphere.

    Raises
    ------
    DriverError
        For drivers that cannot be used as they are: units other than those of the table, values
        outside the physical range, gaps in time, another calendar, no latitude, unknown classes.
        A ``ValueError``.
    ScalerError
        Where a driver is missing that the model requires. A ``ValueError``.
    ReleaseError
        Where the release does not exist. A ``ValueError``.
    ValueError
        For a device that is not known or not there, and a history for a model that takes none.

    References
    ----------
    Rozanov et al. (2026), arXiv:2603.09974 (TAM-RL); Meyer and Pebesma (2021), Methods in Ecology
    and Evolution 12:1620 (area of applicability).

    Examples
    --------
    >>> import upscale
    >>> meteo = upscale.open_drivers("drivers.zarr")["meteo"].to_dataset()
    >>> place = meteo.sel(lat=47.01, lon=11.01, method="nearest")
    >>> fluxes = upscale.predict("tamrl-v2", place, igbp="GRA", koppen="Dfb")
    >>> fluxes.gpp.units, bool(fluxes.gpp.notnull().any())
    ('g m-2 d-1', True)
    """
    model = release if isinstance(release, Release) else load_release(release)
    given = {"lat": lat, "lon": lon, "igbp": igbp, "koppen": koppen}
    records = read_records(drivers, model.scaler, given)
    _tell(model, records)
    past = records if history is None else _history(model, history, records)
    return dataset_of(model, records, _fluxes(model, records, past, members, device))


def _tell(model: Release, records: PlaceRecords) -> None:
    """Warn of missing drivers that the model can use, and of other days than it learned from."""
    if records.absent:
        warnings.warn(
            f"optional drivers {', '.join(records.absent)} are not there and will be masked; "
            f"{model.manifest.name} was trained with them",
            stacklevel=3,
        )
    if "day_definition" in records.source.attrs:
        for text in other_days(model, str(records.source.attrs["day_definition"])):
            warnings.warn(text, stacklevel=3)


def _history(model: Release, history: Drivers, records: PlaceRecords) -> PlaceRecords:
    """Read the days from which the support set is drawn, of the same places."""
    if model.manifest.context.rule == "query":
        raise ValueError(
            f"history: {model.manifest.name} draws no support set, each window is its own; leave "
            "it out"
        )
    place = _place_of(history, records)
    past = read_records(history, model.scaler, place, "history", records)
    check_same_places(records, past)
    return past


def _place_of(history: Drivers, records: PlaceRecords) -> dict[str, xr.DataArray | None]:
    """Give a history the coordinates of its place, unless it already has them."""
    places, held = records.places, history.variables if isinstance(history, xr.Dataset) else ()
    known = {"lat": places.lat, "lon": places.lon}
    return {
        name: None if values is None or name in held else of_places(records, values)
        for name, values in known.items()
    }


def _fluxes(
    model: Release, records: PlaceRecords, past: PlaceRecords, keep: bool, device: str
) -> PredictedCells:
    """Predict the cells of land as a work item of a run does."""
    predictor = load_predictor(model, device)
    land, codes = records.places.land, records.places.codes[records.places.land]
    values = records.values[land]
    windows = lay_windows(predictor, values, records.first, codes, model.window_rule)
    known = None
    if model.manifest.context.rule != "query":
        rule = model.support_rule
        known = embed_series(predictor, past.values[land], past.first, codes, rule)
    made = _predict(predictor, windows, records, known, keep)
    return (
        made
        if model.applicability is None
        else _with_applicability(model, records, made, known, predictor)
    )


def _predict(
    predictor: Predictor,
    windows: CellWindows,
    records: PlaceRecords,
    known: Embeddings | None,
    keep: bool,
) -> PredictedCells:
    parts, kept = [], []
    for cells in slices(len(windows.codes)) if len(windows.codes) else [slice(0, 0)]:
        each = predict_series(predictor, windows, known, cells)
        parts.append(reduce_members(each, NO_SUMS))
        kept += [each] if keep else []
    filled = records.filled[records.places.land]
    at_home = np.zeros(len(filled), bool)
    daily = daily_of(predictor, windows, filled, known, joined(parts), at_home)
    return PredictedCells(daily, {}, np.concatenate(kept, axis=1) if keep else None)


def _with_applicability(
    model: Release,
    records: PlaceRecords,
    made: PredictedCells,
    known: Embeddings | None,
    predictor: Predictor,
) -> PredictedCells:
    """Add indices and quality bits of applicability."""
    assert model.applicability is not None
    margin, step = margin_of(model), records.days // STEP_DAYS
    numbers = range(int(step[0]), int(step[-1]) + 1)
    found = applicability_of(
        np.isfinite(made.daily["gpp"]),
        step - step[0],
        numbers,
        with_margin(records, model.scaler, margin)[records.places.land],
        records.first - margin,
        known,
        predictor,
        model.applicability,
    )
    daily = made.daily | {"quality": made.daily["quality"] | found.bits}
    return PredictedCells(daily, found.steps, made.members)
