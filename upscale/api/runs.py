"""Whole maps and whole evaluations: what the commands `run` and `evaluate` do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import xarray as xr

from upscale.api.stores import open_fluxes
from upscale.api.towers import names_of
from upscale.engine import run as engine
from upscale.engine.check import check_store
from upscale.engine.config import Run, parse_run
from upscale.engine.validate import Checked, validate
from upscale.evaluation.cases import Quality, pairs
from upscale.evaluation.results import comparable
from upscale.evaluation.run import EvaluationRequest
from upscale.evaluation.run import evaluate as run_at_towers
from upscale.evaluation.scores import scores
from upscale.jobs.progress import make_progress
from upscale.jobs.settings import read_yaml
from upscale.network.releases.release import Release, load_release
from upscale.training.baselines import FITTERS


def run(config: str | Path, **overrides: Any) -> xr.Dataset:
    """Make a map: everything that ``upscale run`` does, with its progress on stderr.

    Parameters
    ----------
    config : str or Path
        RUN.yaml.
    **overrides
        Values in place of those in the file; sections as dictionaries:
        ``output={"store": "fluxes.zarr"}``. ``model`` may be what `open_release` returns.

    Returns
    -------
    xarray.Dataset
        The finished flux cube, as `open_fluxes` gives it: ``(time, lat, lon)``, g m-2 d-1.

    Raises
    ------
    ConfigError
        Where the run cannot succeed; names every key and its remedy. A ``ValueError``.
    ClusterError
        Where there is no cluster or it was lost. The same call goes on.
    RuntimeError
        Where work items failed, or values of the store did not pass the checks.

    Examples
    --------
    >>> import upscale
    >>> fluxes = upscale.run("RUN.yaml", output={"store": "map.zarr"})
    >>> fluxes.attrs["complete"]
    1
    """
    checked = validate(_read(Path(config), overrides))
    for warning in checked.warnings:
        warnings.warn(warning, stacklevel=2)
    _execute(checked)
    store = checked.run.output.store
    found = check_store(store)
    if not found.passed:
        faults = (check.describe() for check in found.checks if check.name in found.failures)
        raise RuntimeError(f"{store}: {'; '.join(faults)}")
    return open_fluxes(store)


def _read(path: Path, overrides: Mapping[str, Any]) -> Run:
    """Read RUN.yaml with other values for some keys."""
    content = read_yaml(path, (), "a RUN.yaml")
    return parse_run(_merged(content, overrides), str(path))


def _merged(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Put overrides into sections; a section that the file lacks is made."""
    found = dict(content)
    for name, value in overrides.items():
        here = found.get(name)
        if isinstance(value, Mapping):
            found[name] = _merged(here if isinstance(here, Mapping) else {}, value)
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Convert a value to what a YAML file would hold; a release is named by its path."""
    if isinstance(value, Release):
        return str(value.path)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _execute(checked: Checked) -> None:
    """Create the store, do its work items and finalise it; RuntimeError names what failed."""
    progress = make_progress(checked.run.interval)
    try:
        progress.stage("creating store")
        engine.init(checked)
        outcome = engine.execute(checked, progress)
    finally:
        progress.close()
    if outcome.failed:
        some = "; ".join(f"{entry.item}: {entry.error}" for entry in outcome.failed[:3])
        raise RuntimeError(
            f"{len(outcome.failed)} work items failed ({some}); the others are done: mend the "
            "cause and make the same call again"
        )
    engine.finalise(checked.run.output.store)


def evaluate(
    release: Release | str | Path,
    towers: str | Path,
    *,
    baselines: str | Sequence[str] = (),
    sites: str | Sequence[str] = (),
    quality: Quality = "good",
    device: str = "auto",
) -> pd.DataFrame:
    """Score a model at flux towers, as ``upscale evaluate`` does.

    Parameters
    ----------
    release : Release, str or Path
        What `open_release` returns or takes.
    towers : str or Path
        Folder of towers, as for `read_towers`.
    baselines : str or sequence of str
        Other releases, or ``"xgboost"``, ``"lightgbm"``, ``"seasonal-cycle"``, which are fitted
        to the towers that the release learned from.
    sites : str or sequence of str
        Only these towers; by default all.
    quality : {"good", "best"}
        Days that count: NEE_QC of at least 0.75, or of 1.
    device : {"auto", "cpu", "cuda"}
        Where networks run.

    Returns
    -------
    pandas.DataFrame
        One row for each tower, flux and model: tower, cluster, igbp, climate, koppen, split,
        model, flux, n (days), rmse, mae, bias and observed_sd in g m-2 d-1, r2. ``split`` tells
        whether the model has learned from the tower.

    Raises
    ------
    ValueError
        Where no tower has a day that all models predict, or a name or `quality` is not known.

    References
    ----------
    Rozanov et al. (2026), arXiv:2603.09868.

    Examples
    --------
    >>> import upscale
    >>> table = upscale.evaluate("tamrl-v2", "towers", sites=["XX-T02"])
    >>> sorted(table.flux)
    ['gpp', 'nee', 'reco']
    """
    if quality not in get_args(Quality):
        raise ValueError(
            f"quality: expected one of {', '.join(get_args(Quality))}, found {quality!r}"
        )
    request = EvaluationRequest(
        Path(towers), names_of(baselines), sites=names_of(sites), device=device
    )  # fmt: skip
    model = release if isinstance(release, Release) else load_release(release)
    scored = comparable(run_at_towers(model, request, FITTERS, _silent), quality)
    for warning in scored.warnings:
        warnings.warn(warning, stacklevel=2)
    return scores(pairs(scored.cases, quality))


def _silent(text: str) -> None:
    """Print nothing: important messages are warnings of the result."""
