"""What lies between two steps of a run is met and named: kills, altered metadata, other drivers."""

import datetime as dt
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import zarr

from upscale.checks.seal import seal_store
from upscale.engine import run as engine
from upscale.engine.check import check_store
from upscale.engine.ledger import PLAN, RunLedger
from upscale.engine.loop import RunOutcome
from upscale.engine.repair import checked_repair
from upscale.engine.repair import mend as mend_store
from upscale.engine.revisions import read_log
from upscale.engine.work import worker
from upscale.jobs.progress import make_progress
from upscale.jobs.settings import ConfigError
from upscale.product.cube import open_flux_group
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.runs import differences, prepare, process_here, run_here

PERIOD = "2012-03-01", "2012-05-31"
LONGER = "2012-03-01", "2012-06-30"


class Killed(BaseException):
    """What stands for a kill here: nothing catches it."""


@contextmanager
def killed_at(module, name):
    """What is done within it ends where a function of a module is called."""

    def dies(*_args, **_keys):
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, name, dies)
        with pytest.raises(Killed):
            yield


def attributes_of(store):
    return zarr.open_group(store, mode="r+", use_consolidated=False).attrs


def warm(cube, by=100):
    mend(cube, "meteo/ta", lambda stored: np.add(stored, by, out=stored))


def process_left(checked, _progress):
    """Does the work items of a repair in this process."""
    process_here(checked)
    return RunOutcome()


def is_intact(store):
    """Whether a store is as sealed; what a made model predicts looks odd and is not asked."""
    asked = {"ledger", "digests", "seal", "attributes", "metadata", "fixed", "entries", "agreement"}
    found = {check.name: check.passed for check in check_store(store).checks}
    return asked <= found.keys() and all(found[name] for name in asked)


@pytest.fixture
def warmer(living, ndvi_model):
    """A finished store whose drivers were corrected, and its run."""
    cube, store = living
    warm(cube)
    return prepare(ndvi_model, cube, store, period=PERIOD, why="warmer"), store


def test_a_store_that_grew_before_its_plan_is_not_finished(whole, living, ndvi_model):
    cube, store = living
    grow_cube(cube, whole, dt.date(2012, 6, 30))
    checked = prepare(ndvi_model, cube, store, period=LONGER)
    with killed_at(engine, "_plan_summary"):
        engine.init(checked)
    with pytest.raises(ValueError, match=r"planned for 92 days .* has 122 days .*`upscale run"):
        engine.finalise(store)
    assert not attributes_of(store)["complete"]
    run_here(prepare(ndvi_model, cube, store, period=LONGER))
    assert is_intact(store)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda store: attributes_of(store).update({"model_name": "other"}), "model_name"),
        (
            lambda store: zarr.open_array(f"{store}/gpp", mode="r+").attrs.update({"units": "1"}),
            "gpp: units",
        ),
        (
            lambda store: zarr.open_array(f"{store}/areacella", mode="r+").__setitem__(..., 1.0),
            "areacella",
        ),
    ],
    ids=["attribute", "units", "areas"],
)
def test_a_store_that_others_changed_before_its_end_is_not_sealed(warmer, change, key):
    checked, store = warmer
    process_here(checked)
    change(store)
    with pytest.raises(ValueError, match=f"not as its run left it .*{key}.*`upscale repair"):
        engine.finalise(store)


def test_what_was_altered_is_written_anew_when_a_store_is_revised(living, ndvi_model):
    """Before the revision, and between its work items."""
    cube, store = living
    areas = zarr.open_array(f"{store}/areacella")[...]
    zarr.open_array(f"{store}/nee", mode="r+").attrs["units"] = "umol m-2 s-1"
    zarr.open_array(f"{store}/areacella", mode="r+")[...] = 1.0
    warm(cube)
    process_here(prepare(ndvi_model, cube, store, period=PERIOD))
    zarr.open_array(f"{store}/gpp", mode="r+").attrs.update(scale_factor=0.001, add_offset=5)
    warm(cube)
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    assert is_intact(store)
    assert zarr.open_array(f"{store}/nee").attrs["units"] == "g m-2 d-1"
    assert "scale_factor" not in zarr.open_array(f"{store}/gpp").attrs
    assert np.array_equal(zarr.open_array(f"{store}/areacella")[...], areas)
    assert "which wrote anew: areacella, nee" in attributes_of(store)["history"]


def test_a_finished_store_that_lost_its_ledger_is_made_again(living, ndvi_model, tmp_path):
    cube, store = living
    shutil.rmtree(tmp_path / "f.ledger")
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    assert is_intact(store)


def test_a_revision_that_an_earlier_version_has_begun_is_finished(warmer):
    """It left the seal of the revision before, which names all entries."""
    checked, store = warmer
    entries = RunLedger(store).entries(checked.plan.job.digest)
    process_here(checked, [])
    attributes_of(store)["seal"] = seal_store(store, RunLedger(store), entries)
    attributes_of(store)["driver_digest"] = "of before"
    run_here(prepare(checked.run.model, checked.run.drivers, store, period=PERIOD))
    assert is_intact(store)


def test_what_is_altered_while_a_revision_is_made_can_be_repaired(warmer):
    checked, store = warmer
    process_here(checked)
    attributes_of(store)["doi"] = "10.0/0"
    with pytest.raises(ValueError, match=r"doi = '10.0/0' was not there"):
        engine.finalise(store)
    mend_store(checked_repair(store), check_store(store), make_progress(1e9), process_left)
    assert is_intact(store)
    assert [revision.why for revision in read_log(store)] == ["first made", "warmer"]
    assert "doi" not in attributes_of(store)


def drown(cube, value, layer="static/igbp"):
    """Change a static layer of the first tile."""
    mend(cube, layer, lambda stored: stored.fill(value), (slice(0, 5), slice(0, 5)))


def test_land_that_becomes_water_leaves_no_flux_behind(living, ndvi_model, tmp_path):
    cube, store = living
    drown(cube, 17)
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    group = zarr.open_group(store)
    for name in ("gpp", "nee_sd", "reco_member"):
        assert np.isnan(group[name][..., 0:5, 0:5]).all()
    at_once = prepare(ndvi_model, cube, tmp_path / "once.zarr", period=PERIOD,
                      context={"until": PERIOD[1]})  # fmt: skip
    assert set(differences(store, run_here(at_once))) <= {"@revision"}
    assert is_intact(store)


def test_cells_that_the_drivers_do_not_know_any_more_are_not_produced(living, ndvi_model, tmp_path):
    cube, store = living
    drown(cube, np.nan, "static/sftlf")
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    at_once = prepare(ndvi_model, cube, tmp_path / "once.zarr", period=PERIOD,
                      context={"until": PERIOD[1]})  # fmt: skip
    assert set(differences(store, run_here(at_once))) <= {"@revision"}
    assert is_intact(store)


def test_another_attempt_at_an_item_changes_no_line_of_the_log(warmer):
    checked, store = warmer
    engine.init(checked)
    session = worker.open_session(checked.plan.job)
    item = next(i for i in checked.plan.items() if checked.standing.stale[i.id].stats)
    before = checked.standing.stale[item.id]

    def full(*_args):
        raise OSError("no space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "make_entry", full)
        with pytest.raises(OSError, match="no space"):
            worker.process(session, item, land=True, before=before)
    ledger = RunLedger(store)
    known = ledger.withdrawn(item.id)
    ledger.write_object("other.before.json", {"entry": {}})
    assert ledger.withdrawn("other") is None, "which no kill leaves, and a disk may"
    entry = worker.process(session, item, land=True, before=before)
    assert known is not None
    assert entry.change == known.change
    assert entry.change["largest"]["gpp"] > 0


def test_a_machine_with_other_drivers_does_not_write_its_plan_over_that_of_another(
    living, ndvi_model, tmp_path
):
    cube, store = living
    warm(cube)
    mine = prepare(ndvi_model, cube, store, period=PERIOD)
    engine.init(mine)
    warm(cube)
    engine.init(prepare(ndvi_model, cube, store, period=PERIOD))  # another machine, newer drivers
    plan = RunLedger(store).read_object(PLAN)
    with pytest.raises(ConfigError, match=r"meanwhile elsewhere for 92 days of"):
        engine.renew_plan(mine)
    assert RunLedger(store).read_object(PLAN) == plan


def test_a_finished_store_without_its_mark_is_not_made_anew(living, ndvi_model):
    cube, store = living
    del attributes_of(store)["initialised"]
    before = zarr.open_array(f"{store}/gpp")[...]
    with pytest.raises(ConfigError, match=r"lost its attribute 'initialised'.*`upscale repair"):
        prepare(ndvi_model, cube, store, period=PERIOD)
    mend_store(checked_repair(store), check_store(store), make_progress(1e9), process_left)
    assert is_intact(store)
    assert np.array_equal(zarr.open_array(f"{store}/gpp")[...], before, equal_nan=True)
    assert attributes_of(store)["revision"] == 1


def test_a_writer_that_dies_between_its_arrays_leaves_the_log_as_it_would_have_been(
    warmer, living, ndvi_model, tmp_path
):
    checked, store = warmer
    cube = living[0]
    twin = shutil.copytree(tmp_path, tmp_path / "twin") / "f.zarr"
    run_here(prepare(ndvi_model, cube, twin, period=PERIOD, why="warmer"))
    engine.init(checked)
    item = next(i for i in checked.plan.items() if checked.standing.stale[i.id].stats)
    with killed_at(worker, "make_entry"):
        worker.process(
            worker.open_session(checked.plan.job), item, land=True,
            before=checked.standing.stale[item.id],
        )  # fmt: skip
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    assert differences(store, str(twin)) == []
    (_, found), (_, wanted) = read_log(store), read_log(str(twin))
    assert (found.first, found.last, found.tiles) == (wanted.first, wanted.last, wanted.tiles)
    assert (found.largest, found.total) == (wanted.largest, wanted.total)
    assert not list(tmp_path.glob("f.ledger/*.before.json"))


def test_drivers_that_change_twice_before_the_end_are_one_revision(warmer, living, ndvi_model):
    checked, store = warmer
    cube, before = living[0], zarr.open_array(f"{store}/gpp")[...]
    process_here(checked)
    warm(cube, -300)
    run_here(prepare(ndvi_model, cube, store, period=PERIOD))
    change = np.abs(zarr.open_array(f"{store}/gpp")[...].astype(float) - before)
    first, revision = read_log(store)
    assert revision.largest["gpp"] >= np.nanmax(change)
    sums = [
        sum(np.mean(entry.totals["gpp"], axis=1).sum() for entry in entries if entry.totals)
        for entries in (RunLedger(store).entries(checked.plan.job.digest).values(),)
    ]
    assert revision.total["gpp"] == pytest.approx(sums[0] / 1e15 - first.total["gpp"], abs=1e-12)


def test_a_spread_that_alone_changes_is_a_change(living):
    cube, store = living
    from upscale.engine.config import parse_run  # the run of the store, from its plan
    from upscale.engine.validate import validate
    from upscale.engine.work.change import change_of
    from upscale.product.layout import item_from_id
    from upscale.product.shards import TileFluxes, is_daily, read_arrays

    ledger = RunLedger(store)
    plan = ledger.read_object(PLAN)
    job = validate(parse_run(plan["config"] | {"drivers": str(cube)}, "run")).plan.job
    job = type(job)(**{**job.__dict__, "store": store})
    entry = next(e for e in ledger.entries(plan["run"]).values() if e.stats)
    item = item_from_id(entry.item)
    arrays = dict(read_arrays(store, job.layout, item, entry.digests))

    def fluxes(changed):
        daily = {name: values for name, values in (arrays | changed).items() if is_daily(name)}
        sums = {n.removesuffix("_member"): v for n, v in arrays.items() if n.endswith("_member")}
        return TileFluxes(daily, sums, {"segment_days": arrays["segment_days"]})

    assert change_of(job, item, entry, fluxes({}), entry.totals) == {}
    spread = arrays["gpp_sd"].copy()
    spread[7] += 1
    found = change_of(job, item, entry, fluxes({"gpp_sd": spread}), entry.totals)
    assert found["first"] == found["last"] == job.layout.first + 7
    assert set(found["largest"].values()) == set(found["total"].values()) == {0.0}


def test_a_half_made_revision_is_finished_before_it_is_repaired(warmer):
    checked, store = warmer
    process_here(checked, [])
    with pytest.raises(
        ConfigError, match=r"revision 2 is in the making; finish it with `upscale run RUN.yaml`"
    ):
        checked_repair(store)


def test_a_kill_while_a_revision_is_entered_does_not_lose_its_reason(warmer):
    checked, store = warmer
    process_here(checked)
    for step in ("enter_revision", "seal_store"):
        with killed_at(engine, step):
            engine.finalise(store)
    engine.finalise(store)
    assert [revision.why for revision in read_log(store)] == ["first made", "warmer"]
    assert open_flux_group(store).attrs["revision"] == 2
    assert is_intact(store)


def test_a_store_that_begins_to_grow_says_first_that_it_is_not_complete(whole, living, ndvi_model):
    cube, store = living
    grow_cube(cube, whole, dt.date(2012, 6, 30))
    with killed_at(engine, "grow_flux_cube"):
        engine.init(prepare(ndvi_model, cube, store, period=LONGER))
    assert attributes_of(store)["complete"] == 0


def test_an_item_of_unsure_embeddings_is_done_with_all_days_of_its_block_alone(living):
    _, store = living
    ledger = RunLedger(store)
    plan = ledger.read_object(PLAN)
    plan["identities"] = dict.fromkeys(plan["identities"])
    ledger.write_object(PLAN, plan)
    assert not engine.status(store).missing
    ledger.write_object(PLAN, plan | {"count": plan["count"] + 1})
    assert set(engine.status(store).missing) == set(plan["items"])
