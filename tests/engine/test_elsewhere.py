"""Stores on S3 (a real server on loopback) and clusters that stand elsewhere."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
import yaml

from upscale.engine.check import check_store
from upscale.engine.run import finalise, status
from upscale.testing.runs import differences, prepare, run_here
from upscale.testing.servers.s3 import s3_bucket

pytestmark = pytest.mark.cluster
MARCH = ("2012-03-01", "2012-03-31")


@pytest.fixture(scope="module")
def bucket():
    with s3_bucket("fluxes") as url:
        yield url


@pytest.fixture(scope="module")
def local(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    return run_here(prepare(world.model, world.drivers, folder / "f.zarr", period=MARCH))


def upload(folder: Path, url: str) -> str:
    import fsspec

    fs, path = fsspec.core.url_to_fs(url)
    fs.put(f"{folder}/", f"{path}/", recursive=True)
    return url


def test_a_run_on_s3_writes_the_store_that_a_disk_would_hold(world, bucket, local):
    drivers = upload(world.drivers, f"{bucket}/drivers.zarr")
    checked = prepare(world.model, drivers, f"{bucket}/f.zarr", period=MARCH)
    store = run_here(checked)
    assert set(differences(local, store)) <= {"@config"}
    report = check_store(store)
    assert set(report.failures) <= {"sign", "seasons", "scale"}, report.describe()
    assert status(store).missing == ()
    assert xr.open_zarr(store).nee.shape == xr.open_zarr(local).nee.shape


def test_a_store_on_s3_is_begun_again_and_never_taken_from_anybody(world, bucket):
    import fsspec

    fs, _ = fsspec.core.url_to_fs(bucket)
    fs.pipe_file("fluxes/proj/thesis.tex", b"years of work")
    with pytest.raises(ValueError, match="something else lies at"):
        prepare(world.model, world.drivers, f"{bucket}/proj", period=MARCH)
    assert fs.cat_file("fluxes/proj/thesis.tex") == b"years of work"


@contextlib.contextmanager
def standing_cluster(folder: Path):
    """A scheduler and a worker that somebody else started, with a directory of their own."""
    folder.mkdir()
    file = folder / "scheduler.json"
    base = [sys.executable, "-m"]
    scheduler = [*base, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
                 "--no-dashboard", "--scheduler-file", str(file)]  # fmt: skip
    worker = [*base, "distributed.cli.dask_worker", "--scheduler-file", str(file),
              "--nthreads", "2", "--no-dashboard", "--local-directory", str(folder)]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for command in (scheduler, worker):
            child = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
            stack.callback(child.wait)
            stack.callback(child.terminate)
            while command is scheduler and not file.exists():
                time.sleep(0.05)
        yield yaml.safe_load(file.read_text())["address"]


def test_a_run_joins_a_cluster_that_stands_elsewhere(world, local, tmp_path, monkeypatch):
    config = {
        "model": str(world.model), "drivers": str(world.drivers),
        "period": {"start": MARCH[0], "end": MARCH[1]}, "output": {"store": "f.zarr"},
    }  # fmt: skip
    (tmp_path / "RUN.yaml").write_text(yaml.safe_dump(config))
    with standing_cluster(tmp_path / "elsewhere") as address:
        command = [sys.executable, "-m", "upscale", "run", "RUN.yaml", "--no-check",
                   f"cluster.address={address}"]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert differences(local, str(tmp_path / "f.zarr")) == []


def test_no_scheduler_at_the_address_is_said_with_a_remedy(world, tmp_path):
    config = {
        "model": str(world.model), "drivers": str(world.drivers),
        "period": {"start": MARCH[0], "end": MARCH[1]},
        "output": {"store": str(tmp_path / "f.zarr")},
        "cluster": {"address": "tcp://127.0.0.1:9", "wait": 1},
    }  # fmt: skip
    (tmp_path / "RUN.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "upscale", "run", str(tmp_path / "RUN.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 3
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr


def test_a_store_with_missing_items_is_not_called_complete(world, tmp_path):
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=MARCH)
    first = next(iter(checked.plan.items()))
    with pytest.raises(ValueError, match="work items are missing"):
        run_here(checked, [first])
    with pytest.raises(ValueError, match="work items are missing"):
        finalise(str(tmp_path / "f.zarr"))
