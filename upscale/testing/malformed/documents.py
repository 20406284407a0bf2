"""Parsers of files of keys, of model releases, and of what lies beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from upscale.engine.config import load_run
from upscale.evaluation.skill import read_skill, summary
from upscale.grid import cell_areas, load_grid
from upscale.grid.catalogue import read_summary as read_grid
from upscale.ingest.config import load_ingest
from upscale.jobs.settings import ConfigError
from upscale.network.ensemble import load_ensemble
from upscale.network.predictor import load_predictor
from upscale.network.released_code.scaling import choose_features, make_scaler, read_scaling
from upscale.network.releases.catalogue import read_summary
from upscale.network.releases.release import load_release
from upscale.network.releases.resolve import MANIFEST, ReleaseError
from upscale.stores.files import write_whole
from upscale.testing.malformed.mutations import change_any, change_text, change_yaml
from upscale.testing.malformed.verdicts import FuzzedParser
from upscale.testing.releases import fake_release, fake_tree_release
from upscale.training.config import read_config, stages_of

_RUN = {
    "model": "models/tamrl-met-v1", "drivers": "drivers.zarr",
    "period": {"start": "2012-01-01", "end": "2012-12-31"},
    "output": {
        "store": "fluxes.zarr", "members": "monthly", "tile": 100, "title": "made",
        "region": {"south": 35.0, "north": 60.0, "west": -10.0, "east": 30.0},
        "attributes": {"institution": "made"},
    },
    "context": {"years": [2010, 2011], "until": "2012-12-31", "store": "context.zarr"},
    "cluster": {"workers": 2, "threads": 1, "memory": 2.5, "device": "cpu", "wait": 60},
    "retries": 2, "interval": 30,
}  # fmt: skip

_INGEST: dict[str, Any] = {
    "cube": "drivers.zarr", "period": {"start": "2019-01-01", "end": "2019-12-31"},
    "region": {"south": 35, "north": 60, "west": -10, "east": 30},
    "meteo": {"files": ["era5"], "product": "ERA5-Land", "variables": ["ta", "vpd", "sw_in", "p"]},
    "satellite": [
        {"files": "a/*.hdf", "products": ["MOD09GA", "MYD09GA"], "variables": ["ndvi", "nirv"],
         "least_share": 0.1},
        {"files": ["b"], "products": ["MCD15A2H"]},
    ],
    "static": {"igbp": "cover.tif", "legend": "MCD12Q1", "koppen": "koppen.tif",
               "sftlf": {"files": "land.tif", "water": [0, 17]}, "elevation": "height.tif"},
    "grid": "global-0p05", "day": "utc", "title": "made",
    "gaps": {"linear": 16, "limit": 90, "causal": False}, "tile": 100, "block": 30,
    "cache": {"folder": "cache", "gigabytes": 20}, "cluster": {"workers": 2, "memory": 2.0},
    "memory": 2.5, "retries": 2, "interval": 30,
}  # fmt: skip

_FETCH: dict[str, Any] = {
    "cube": "drivers.zarr", "period": {"start": "2019-01-01", "end": "2019-01-31"},
    "region": {"south": 35, "north": 60, "west": -10, "east": 30},
    "meteo": {
        "files": "era5", "fetch": {"from": "cds", "dataset": "reanalysis-era5-land",
                                   "by": "variable", "form": "grib", "hosts": ["example.org"]}},
    "satellite": [
        {"files": "a", "products": ["MOD09GA"],
         "fetch": {"from": "earthdata", "collection": "061", "hosts": ["nasa.gov"],
                   "catalogue": "https://cmr.earthdata.nasa.gov/search"}},
        {"files": "b", "variables": ["ndvi"],
         "fetch": {"from": "stac", "catalogue": "https://example.org/v1", "hosts": ["a.org"],
                   "collection": "modis-13Q1-061", "sign": "https://example.org/token"}},
    ],
    "static": {"igbp": "cover"},
}  # fmt: skip

_TRAIN = {
    "name": "made", "data": "towers", "out": "models/made", "model": "tamrl",
    "features": ["ta", "sw_in", "vpd", "p", "ndvi"], "optional": ["ndvi"], "seed": 1, "members": 2,
    "workers": 1, "cross_validation": 5, "window": {"length": 45, "stride": 15},
    "holdout": {"share": 0.2, "seed": 4, "folds": 5},
    "network": {"hidden": 64, "latent": 16, "layers": 1, "dropout": 0.3, "class_skip": True},
    "draw": {"towers": 32, "windows": 8, "support": 8, "years": 3},
    "augmentation": {"hide_optional": 0.15, "noisy": ["ta"]},
    "loss": {"alpha": 0.1, "days": 15}, "pretraining": {"temperature": 0.2, "epochs": 2},
    "decoder_stage": {"rate": 0.001, "epochs": 10}, "joint_stage": {"epochs": 40},
    "boosting_rounds": 100, "card": {"failures": ["none"], "citations": ["made"]},
}  # fmt: skip

_SCALING = {
    "features": [{"name": "ta", "units": "K", "mean": 283.0, "std": 8.0, "minimum": 220.0},
                 {"name": "p", "mean": 2.0, "std": 4.0}],
    "fluxes": [{"name": "gpp", "units": "g m-2 d-1", "mean": 3.0, "std": 3.0}],
}  # fmt: skip

_SKILL = (
    "tower,cluster,flux,model,split,n,rmse,r2,bias\n"
    "AA-One,C_one,gpp,tamrl,held-out,365,1.2345,0.7000,-0.1000\n"
    "AA-Two,C_two,nee,tamrl,held-out,365,1.0000,0.2000,0.3000\n"
)


def _keys(content: Any, name: str) -> Callable[[Path], object]:
    text = yaml.safe_dump(content, sort_keys=False)
    return lambda folder: (folder / name).write_text(text)


def _read_run(folder: Path) -> None:
    run = load_run(folder / "RUN.yaml")
    run.science()


def _read_ingest(folder: Path) -> None:
    ingest = load_ingest(folder / "INGEST.yaml")
    assert ingest.digest
    assert ingest.product_grid.lat.size


def _read_train(folder: Path) -> None:
    stages_of(read_config(folder / "TRAIN.yaml"))


def _read_grid(folder: Path) -> None:
    path = folder / "made.yaml"
    read_grid(path).to_dict()
    grid = load_grid(path)
    cell_areas(grid)
    assert grid.shape == (grid.lat.size, grid.lon.size)


def _read_scaling(folder: Path) -> None:
    scaling = read_scaling(folder / "scaling.yaml")
    make_scaler(choose_features(4, ["ta", "p", "sw_in", "vpd"], scaling), scaling)


def _read_skill(folder: Path) -> None:
    summary(read_skill(folder / "skill.csv"))


def _read_network(folder: Path) -> None:
    """As `models`, `validate` and a worker do."""
    read_summary(folder).to_dict()
    release = load_release(folder)
    load_ensemble(release, "cpu", 4)
    assert release.spec


def _read_trees(folder: Path) -> None:
    read_summary(folder)
    load_predictor(load_release(folder), "cpu")


def sign_release(folder: Path) -> None:
    """Write the digests of the files that are there into `release.yaml`."""
    content = yaml.safe_load((folder / MANIFEST).read_text())
    for entry in [content.get("weights"), *content.get("trees", ()), content.get("applicability")]:
        if entry and (folder / entry["file"]).is_file():
            payload = (folder / entry["file"]).read_bytes()
            entry |= {"sha256": hashlib.sha256(payload).hexdigest(), "bytes": len(payload)}
    write_whole(folder / MANIFEST, yaml.safe_dump(content, sort_keys=False).encode())


def _make_network(folder: Path) -> None:
    fake_release(folder, members=2, hidden=4)


def _make_trees(library: str) -> Callable[[Path], object]:
    return lambda folder: fake_tree_release(folder, library, members=1, rounds=3)


DOCUMENTS = (
    FuzzedParser("RUN.yaml", _keys(_RUN, "RUN.yaml"), (("RUN.yaml", change_yaml),), _read_run,
                 (ConfigError,)),
    FuzzedParser("INGEST.yaml", _keys(_INGEST, "INGEST.yaml"), (("INGEST.yaml", change_yaml),),
                 _read_ingest, (ConfigError,)),
    FuzzedParser("INGEST.yaml with fetch", _keys(_FETCH, "INGEST.yaml"),
                 (("INGEST.yaml", change_yaml),), _read_ingest, (ConfigError,)),
    FuzzedParser("TRAIN.yaml", _keys(_TRAIN, "TRAIN.yaml"), (("TRAIN.yaml", change_yaml),),
                 _read_train, (ConfigError,)),
    FuzzedParser("grid YAML", _keys({"title": "made", "rows": 18, "cols": 36, "resolution": 10.0,
                                     "north": 90.0, "west": -180.0}, "made.yaml"),
                 (("made.yaml", change_yaml),), _read_grid, (ValueError,)),
    FuzzedParser("scaling of released weights", _keys(_SCALING, "scaling.yaml"),
                 (("scaling.yaml", change_yaml),), _read_scaling, (ReleaseError,)),
    FuzzedParser("skill.csv", lambda folder: (folder / "skill.csv").write_text(_SKILL),
                 (("skill.csv", change_text),), _read_skill, (ValueError,)),
    FuzzedParser("release.yaml", _make_network, ((MANIFEST, change_yaml),), _read_network,
                 (ReleaseError,)),
    FuzzedParser("safetensors", _make_network, (("*.safetensors", change_any),), _read_network,
                 (ReleaseError,), sign_release),
    FuzzedParser("trees of XGBoost", _make_trees("xgboost"), (("*.json", change_any),),
                 _read_trees, (ReleaseError,), sign_release),
    FuzzedParser("trees of LightGBM", _make_trees("lightgbm"), (("member*.txt", change_any),),
                 _read_trees, (ReleaseError,), sign_release),
)  # fmt: skip
