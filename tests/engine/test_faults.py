"""Bad input: each kind gets its own clear error or flag, and nothing half-written reads as data."""

import contextlib
import itertools
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
import zarr

from upscale.drivers.cube import open_cube
from upscale.drivers.packing import MISSING
from upscale.drivers.writer import seal
from upscale.engine.check import check_store
from upscale.engine.config import load_run
from upscale.engine.ledger import RunEntry
from upscale.engine.provenance import attributes_of
from upscale.engine.run import finalise, init, status
from upscale.engine.work import worker
from upscale.engine.work.worker import WorkerSession, open_session, process
from upscale.jobs.settings import ConfigError
from upscale.product.cube import create_flux_cube, layout_of, open_flux_group
from upscale.product.layout import WorkItem, item_from_id
from upscale.product.quality import Quality, has
from upscale.product.shards import digest_of, read_arrays, withdraw_item
from upscale.testing.releases import fake_release
from upscale.testing.runs import differences, prepare, run_here

MET = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")
JUNE = ("2012-06-01", "2012-06-30")


@pytest.fixture
def cube(world, tmp_path):
    """A copy of the driver cube, to be spoilt."""
    return shutil.copytree(world.drivers, tmp_path / "drivers.zarr")


def run_june(world, drivers, tmp_path, **keys):
    checked = prepare(world.model, drivers, tmp_path / "f.zarr", period=JUNE, **keys)
    return xr.open_zarr(run_here(checked))


def spoil(cube, group, name, change):
    array = zarr.open_group(str(cube), mode="r+", path=group)[name]
    values = array[...]
    change(values)
    array[...] = values
    seal(str(cube))


def test_a_required_variable_that_is_missing_is_refused_by_name(world, cube, tmp_path):
    shutil.rmtree(cube / "meteo" / "sw_in")
    seal(str(cube))
    with pytest.raises(ConfigError, match=r"drivers: .* needs 'sw_in'.* add it"):
        run_june(world, cube, tmp_path)


def test_wrong_units_are_refused_with_what_was_expected(world, cube, tmp_path):
    zarr.open_group(str(cube), mode="r+", path="meteo")["ta"].attrs["units"] = "K"
    seal(str(cube))
    with pytest.raises(ConfigError, match="expected units 'degC', found 'K'"):
        run_june(world, cube, tmp_path)


def test_a_period_outside_the_drivers_is_refused_with_what_they_hold(world, tmp_path):
    with pytest.raises(ConfigError, match="holds 2011-01-01 to 2012-12-31"):
        prepare(
            world.model, world.drivers, tmp_path / "f.zarr", period=("2012-06-01", "2013-01-01")
        )
    assert not (tmp_path / "f.zarr").exists()


def test_a_release_with_a_flipped_byte_is_refused(world, tmp_path):
    model = shutil.copytree(world.model, tmp_path / "model")
    weights = model / "members.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model: .*sha256"):
        prepare(model, world.drivers, tmp_path / "f.zarr", period=JUNE)


def test_every_fault_of_a_run_is_named_at_once(world, tmp_path):
    with pytest.raises(ConfigError) as error:
        prepare("no-such-model", tmp_path / "no.zarr", tmp_path / "f.zarr", period=JUNE)
    assert "model:" in str(error.value)
    assert "drivers:" in str(error.value)


def test_a_year_without_drivers_is_missing_with_its_reason(world, cube, tmp_path):
    def lose_2012(values):
        values[365:] = MISSING

    spoil(cube, "meteo", "ta", lose_2012)
    fluxes = run_june(world, cube, tmp_path)
    land = ~has(fluxes.quality.values, Quality.WATER | Quality.ICE)
    assert np.isnan(fluxes.nee.values).all()
    assert has(fluxes.quality.values[land], Quality.NO_DRIVERS).all()


def test_a_gap_of_one_day_costs_that_day_alone_where_windows_can_slide(world, cube, tmp_path):
    day = 365 + 31 + 29 + 31 + 30 + 31 + 9  # 10 June 2012

    def lose_a_day(values):
        values[day] = MISSING

    spoil(cube, "meteo", "sw_in", lose_a_day)
    fluxes = run_june(world, cube, tmp_path)
    land = np.isfinite(fluxes.nee.values).any(axis=0)
    assert land.any()
    missing = np.isnan(fluxes.nee.values[:, land])
    assert missing[9].all()
    assert not missing[:9].any()
    assert not missing[10:].any()
    assert has(fluxes.quality.values[10, land], Quality.SPINUP_SHORT).all()


def test_a_stretch_shorter_than_a_window_is_missing_with_its_reason(world, cube, tmp_path):
    def leave_forty_days(values):
        values[365 + 100 : 365 + 152] = MISSING
        values[365 + 152 + 40 :] = MISSING

    spoil(cube, "meteo", "ta", leave_forty_days)
    fluxes = run_june(world, cube, tmp_path)
    land = ~has(fluxes.quality.values, Quality.WATER | Quality.ICE)
    assert has(fluxes.quality.values[land], Quality.TOO_SHORT).all()
    assert np.isnan(fluxes.nee.values).all()


def test_a_missing_optional_driver_is_flagged_and_predicted(world, cube, tmp_path):
    def lose_rain(values):
        values[365 + 152 + 4] = MISSING

    spoil(cube, "meteo", "p", lose_rain)
    fluxes = run_june(world, cube, tmp_path)
    land = np.isfinite(fluxes.nee.values).all(axis=0)
    flagged = has(fluxes.quality.values[:, land], Quality.DRIVERS_MISSING)
    assert land.any()
    assert flagged[4].all()
    assert not flagged[5:].any()


def test_an_unknown_class_is_flagged_and_predicted(world, cube, tmp_path):
    def forget(values):
        values[...] = np.where(np.isin(values, (15, 17)), values, 0)

    spoil(cube, "static", "igbp", forget)
    fluxes = run_june(world, cube, tmp_path)
    land = np.isfinite(fluxes.nee.values)
    assert land.any()
    assert has(fluxes.quality.values[land], Quality.CLASS_UNKNOWN).all()


def test_an_impossible_value_fails_its_tile_by_name_and_no_other(world, cube, tmp_path):
    values = zarr.open_group(str(cube), mode="r+", path="meteo")["ta"]
    values.attrs["add_offset"] = float(values.attrs["add_offset"]) + 273.15
    seal(str(cube))
    checked = prepare(world.model, cube, tmp_path / "f.zarr", period=JUNE)
    init(checked)
    session = open_session(checked.plan.job)
    item = next(i for i in checked.plan.items())
    with pytest.raises(ValueError, match=r"ta: .* outside .* degC.* is the unit wrong"):
        process(session, item, land=True)


def test_a_store_never_shrinks(world, tmp_path):
    run_june(world, world.drivers, tmp_path)
    with pytest.raises(ConfigError, match=r"period.end: .* reaches to 2012-06-30 already"):
        prepare(
            world.model, world.drivers, tmp_path / "f.zarr", period=("2012-06-01", "2012-06-20")
        )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"period": ("2012-06-02", "2012-06-30")},
            r'period.start: "2012-06-01" there, "2012-06-02" here',
        ),
        ({"output": {"tile": 4}}, "output.tile: 5 there, 4 here"),
        ({"output": {"members": "none"}}, r'output.members: "annual" there, "none" here'),
        ({"context": {"until": "2012-03-01"}}, r'context.until: "2012-12-31" there, "2012-03-01"'),
        ({"model": "other"}, r"model_digest: \w{12} there, \w{12} here"),
    ],
)
def test_what_would_mix_two_rules_is_refused_with_their_difference(world, tmp_path, keys, said):
    run_june(world, world.drivers, tmp_path)
    other = fake_release(tmp_path / "other", features=MET, members=3, hidden=16, seed=7).path
    model = other if keys.pop("model", None) else world.model
    before = open_flux_group(str(tmp_path / "f.zarr")).attrs["run_digest"]
    with pytest.raises(ConfigError, match=said) as error:
        prepare(model, world.drivers, tmp_path / "f.zarr", **{"period": JUNE, **keys})
    assert before[:12] in str(error.value)
    assert open_flux_group(str(tmp_path / "f.zarr")).attrs["run_digest"] == before


def test_a_store_of_the_version_before_is_not_continued(world, tmp_path):
    run_june(world, world.drivers, tmp_path)
    attributes = zarr.open_group(tmp_path / "f.zarr", mode="r+", use_consolidated=False).attrs
    del attributes["rules"]
    with pytest.raises(ConfigError, match=r"can be read, checked and published, but not continued"):
        prepare(
            world.model, world.drivers, tmp_path / "f.zarr", period=("2012-06-01", "2012-07-31")
        )


def test_too_small_a_disk_is_seen_before_the_run(world, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(ConfigError, match=r"output.store: about .* MB are needed"):
        prepare(world.model, world.drivers, tmp_path / "f.zarr", period=JUNE)


def test_too_little_memory_is_seen_before_the_run(world, tmp_path):
    with pytest.raises(ConfigError, match=r"output.tile: a worker needs about .* GiB"):
        prepare(world.model, world.drivers, tmp_path / "f.zarr", period=JUNE,
                cluster={"memory": 0.3})  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modell": "x"}, "modell: unknown key"),
        ({"period": {"start": "2012-01-01"}}, "period.end: this key is required"),
        ({"period": {"start": "2012-02-30", "end": "2012-03-01"}}, "period.start"),
        ({"period": {"start": "2012-03-02", "end": "2012-03-01"}}, "lies before start"),
        ({"output": {"store": "f.zarr", "members": "weekly"}}, "output.members"),
        ({"output": {"store": "f.zarr", "tile": "big"}}, "output.tile"),
    ],
)
def test_a_wrong_key_is_named(change, message, tmp_path):
    content = {"model": "m", "drivers": "d", "period": {"start": "2012-01-01", "end": "2012-01-02"},
               "output": {"store": "f.zarr"}}  # fmt: skip
    path = tmp_path / "RUN.yaml"
    path.write_text(yaml.safe_dump(content | change))
    with pytest.raises(ConfigError, match=message):
        load_run(path)


def test_a_key_can_be_overridden_on_the_command_line(tmp_path):
    path = tmp_path / "RUN.yaml"
    path.write_text(
        "model: m\ndrivers: d\noutput: {store: f.zarr}\n"
        "period: {start: 2012-01-01, end: 2012-01-02}\n"
    )
    run = load_run(path, ["output.tile=7", "period.end=2012-03-01", "cluster.workers=3"])
    assert (run.output.tile, run.period.count, run.cluster.workers) == (7, 61, 3)


@pytest.mark.cluster
def test_a_full_disk_fails_the_tile_and_leaves_nothing_that_reads_as_data(world, tmp_path):
    """A limit on the size of a file stands for the full disk: each shard's write fails."""
    config = {
        "model": str(world.model), "drivers": str(world.drivers), "retries": 0,
        "period": {"start": "2012-01-01", "end": "2012-12-31"},
        "output": {"store": str(tmp_path / "f.zarr"), "tile": 20},
        "cluster": {"workers": 1, "memory": 2.0},
    }  # fmt: skip
    path = tmp_path / "RUN.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "upscale", "run", str(path)]
    limit = 20_000
    subprocess.run([*command[:3], "init", str(path)], check=True, capture_output=True)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    failed = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited)
    assert failed.returncode == 1, failed.stderr
    assert "File too large" in failed.stderr
    first_block = xr.open_zarr(tmp_path / "f.zarr").isel(time=slice(0, 360))
    assert has(first_block.quality.values, Quality.NOT_PRODUCED).all()
    state = status(str(tmp_path / "f.zarr"))
    assert state.missing == ("r000c000-b000",)
    assert "File too large" in state.failed[0].error
    assert not list(tmp_path.rglob("*.part*"))
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


def test_the_cube_of_these_tests_is_whole(world):
    assert open_cube(str(world.drivers)).attributes["synthetic"]


@pytest.mark.parametrize("remains", ["a folder of files", "a driver cube", "a foreign group"])
def test_a_place_that_holds_something_else_is_never_taken(world, cube, tmp_path, remains):
    place = tmp_path / "precious.zarr"
    if remains == "a folder of files":
        place.mkdir()
        (place / "thesis.tex").write_text("years of work")
    elif remains == "a driver cube":
        shutil.copytree(cube, place)
    else:
        zarr.create_group(str(place), attributes={"kind": "somebody's"})
    before = sorted(str(p) for p in place.rglob("*"))
    for store in (str(place), f"file://{place}"):
        with pytest.raises(ConfigError, match=r"output.store: something else lies at"):
            prepare(world.model, world.drivers, store, period=JUNE)
    assert sorted(str(p) for p in place.rglob("*")) == before


def test_the_ledger_of_another_store_is_not_taken(world, tmp_path):
    run_june(world, world.drivers, tmp_path)
    with pytest.raises(ConfigError, match=r"is the ledger of f.zarr; choose another name"):
        prepare(world.model, world.drivers, tmp_path / "f", period=JUNE)


def test_a_finished_store_needs_no_more_room(world, tmp_path, monkeypatch):
    run_june(world, world.drivers, tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    prepare(world.model, world.drivers, tmp_path / "f.zarr", period=JUNE)


def test_a_worker_refuses_a_model_that_was_exchanged(world, tmp_path):
    model = tmp_path / "model"
    fake_release(model, features=("ta", "sw_in"), seed=1)
    checked = prepare(model, world.drivers, tmp_path / "f.zarr", period=JUNE)
    fake_release(model, features=("ta", "sw_in"), seed=2)
    with pytest.raises(ValueError, match="is not the one that the run was planned with"):
        open_session(checked.plan.job)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"context": {"years": [1990]}}, "context.years: 1990 not among the years"),
        ({"output": {"attributes": {"run_digest": "x"}}}, "output.attributes.run_digest"),
        ({"output": {"tile": 0}}, "output.tile"),
        ({"output": {"tile": 101}}, "no chunk of 20 to 100 cells divides 101"),
        ({"cluster": {"workers": 0}}, "cluster.workers"),
    ],
)
def test_keys_that_cannot_be_right_are_refused(world, tmp_path, keys, message):
    with pytest.raises(ConfigError, match=message):
        prepare(world.model, world.drivers, tmp_path / "f.zarr", period=JUNE, **keys)


def test_a_context_that_is_not_whole_is_made_again(world, tmp_path):
    """Embeddings lost between their write and their use: NaN must not pass for no context."""
    fluxes = run_june(world, world.drivers, tmp_path)
    checked = prepare(world.model, world.drivers, tmp_path / "g.zarr", period=JUNE,
                      context={"store": str(tmp_path / "f.context.zarr")})  # fmt: skip
    group = zarr.open_group(checked.plan.job.context_store, mode="r+")
    z = group[checked.plan.job.embeddings[:16]]["z"]
    z[...] = np.nan
    again = xr.open_zarr(run_here(checked))
    np.testing.assert_array_equal(fluxes.nee.values, again.nee.values)


@contextlib.contextmanager
def small_disk(place):
    """A file system of its own at `place`; the function given back sets its size in bytes."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(place)], check=True
        )
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@dataclass(frozen=True)
class Tight:
    """A land item on a small disk: bytes of its files there, by array in the order of writing."""

    session: WorkerSession
    item: WorkItem
    whole: RunEntry
    shards: dict[str, int]
    entry: int


def stored(path):
    """Bytes that a file takes on its disk."""
    return path.stat().st_blocks * 512


@contextlib.contextmanager
def tight_disk(world, place):
    """A run whose embeddings and static layers are on a small disk, and no work item.

    Gives the work item that follows and a function that leaves it so many bytes.
    """
    with small_disk(place) as resize:
        checked = prepare(world.model, world.drivers, place / "f.zarr", period=world.period,
                          output={"members": "monthly"})  # fmt: skip
        init(checked)
        session, ledger = open_session(checked.plan.job), place / "f.ledger"
        item = next(i for i in checked.plan.items() if i.tile in land_tiles(checked))
        before = set(place.rglob("*"))
        whole = process(session, item, land=True)
        made = {path for path in set(place.rglob("*")) - before if path.is_file()}
        (entry,) = ledger.glob(f"{item.id}.*.done.json")
        shards = {
            name: sum(stored(path) for path in made if path.is_relative_to(place / "f.zarr" / name))
            for name in whole.digests
        }
        found = Tight(session, item, whole, shards, stored(entry))
        for path in made:
            if path == entry or path.is_relative_to(place / "f.zarr"):
                path.unlink()
        yield found, lambda room: resize(shutil.disk_usage(place).used + room)


def digests_of(store, layout, tight):
    """Digests of the arrays of an item as they are stored now."""
    found = read_arrays(store, layout, tight.item, tight.whole.digests)
    return {name: digest_of(values) for name, values in found}


def land_tiles(checked):
    return {plan.tile for plan in checked.plan.tiles if plan.land}


PAGE = resource.getpagesize()

#: Room for the files of a work item, by the moment at which the disk is full.
MOMENTS = {
    "the first shard": lambda shards, entry: 0,
    "a shard in between": lambda shards, entry: sum(shards[:4]),
    "the last shard": lambda shards, entry: sum(shards) - PAGE,
    "the entry": lambda shards, entry: sum(shards),
    "half of the entry": lambda shards, entry: sum(shards) + entry // 2 // PAGE * PAGE,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_disk_that_is_full_at_any_moment_leaves_an_item_that_was_not_produced(
    world, tmp_path, moment
):
    """A real file system that returns ENOSPC at the byte that is asked for."""
    place = tmp_path / "disk"
    store = str(place / "f.zarr")
    with tight_disk(world, place) as (tight, leave_room):
        assert list(tight.shards)[-1] == "quality"
        assert tight.entry >= 2 * PAGE
        room = MOMENTS[moment](list(tight.shards.values()), tight.entry)
        leave_room(room)
        with pytest.raises(OSError, match="No space left on device"):
            process(tight.session, tight.item, land=True)
        assert not list(place.rglob("*.part*"))
        whole = itertools.accumulate(tight.shards.values())
        fitted = {name for name, size in zip(tight.shards, whole, strict=True) if size <= room}
        arrays = {path.relative_to(store).parts[0] for path in Path(store).glob("*/c/**/[0-9]*")
                  if path.is_file()}  # fmt: skip
        assert arrays & tight.shards.keys() == fitted - {"quality"}
        layout = layout_of(open_flux_group(store).attrs)
        quality = xr.open_zarr(store).quality.values[layout.region(tight.item)]
        assert has(quality, Quality.NOT_PRODUCED).all()
        assert tight.item.id in status(store).missing
        with pytest.raises(ValueError, match=r"work items are missing \(.*" + tight.item.id):
            finalise(store)
        leave_room(64 * 2**20)
        again = process(tight.session, tight.item, land=True)
        assert again.digests == tight.whole.digests
        assert tight.item.id not in status(store).missing


def test_a_worker_that_fails_at_an_item_which_another_has_done_leaves_it_done(world, tmp_path):
    """One that was given up, for example, and comes back to a disk that is full."""
    place = tmp_path / "disk"
    store = str(place / "f.zarr")
    with tight_disk(world, place) as (tight, leave_room):
        leave_room(64 * 2**20)
        process(tight.session, tight.item, land=True)
        leave_room(0)
        with pytest.raises(OSError, match="No space left on device"):
            process(tight.session, tight.item, land=True)
        assert tight.item.id not in status(store).missing
        layout = layout_of(open_flux_group(store).attrs)
        assert digests_of(store, layout, tight) == tight.whole.digests


def test_what_is_withdrawn_is_not_done_whoever_entered_it_meanwhile(world, tmp_path, monkeypatch):
    place = tmp_path / "disk"
    store = str(place / "f.zarr")
    with tight_disk(world, place) as (tight, leave_room):
        leave_room(64 * 2**20)
        entered = tight.session.ledger.write

        def entered_by_another(*removed):
            withdraw_item(*removed)
            entered(tight.whole)

        monkeypatch.setattr(worker, "withdraw_item", entered_by_another)
        worker.withdraw(tight.session, tight.item)
        assert tight.item.id in status(store).missing


@pytest.mark.cluster
def test_a_disk_that_fills_in_the_middle_of_a_run_costs_what_did_not_fit(world, tmp_path):
    """A real file system that returns ENOSPC; with more room the run goes on to the same store."""
    with small_disk(tmp_path / "disk") as resize:
        store = tmp_path / "disk" / "f.zarr"
        config = {
            "model": str(world.model), "drivers": str(world.drivers), "retries": 0,
            "period": {"start": "2012-01-01", "end": "2012-12-31"},
            "output": {"store": str(store)}, "cluster": {"workers": 1, "memory": 2.0},
        }  # fmt: skip
        path = tmp_path / "RUN.yaml"
        path.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "upscale", "run", str(path)]
        subprocess.run([*command[:3], "init", str(path)], check=True, capture_output=True)
        resize(shutil.disk_usage(store).used + 900_000)
        failed = subprocess.run(command, capture_output=True, text=True)
        assert failed.returncode == 1, failed.stderr
        assert "No space left on device" in failed.stderr
        fluxes = xr.open_zarr(store)
        known = np.isfinite(fluxes.nee.values)
        assert not has(fluxes.quality.values[known], Quality.NO_DRIVERS).any()
        missing = {item_from_id(name) for name in status(str(store)).missing}
        assert missing
        layout = layout_of(fluxes.attrs)
        report = {check.name: check for check in check_store(str(store)).checks}
        assert not report["ledger"].passed
        for item in missing:
            quality = fluxes.quality.values[layout.region(item)]
            assert has(quality, Quality.NOT_PRODUCED).all()
        resize(64 * 2**20)
        again = subprocess.run(command, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        whole = run_here(
            prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period)
        )
        assert differences(whole, str(store)) == []


def test_a_store_whose_static_layers_were_never_written_is_begun_again(world, tmp_path):
    """Killed between the metadata and the static layers: ours, but not initialised."""
    whole = run_here(prepare(world.model, world.drivers, tmp_path / "whole.zarr", period=JUNE))
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=JUNE)
    job = checked.plan.job
    attributes = attributes_of(checked.run, job, checked.release, checked.cube)
    create_flux_cube(job.store, job.layout, attributes)
    assert differences(whole, run_here(checked)) == []
