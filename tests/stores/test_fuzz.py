"""Wrong files of every kind are read or refused in one line; what was found once stays mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from upscale.archives.formats.scaling import physical
from upscale.archives.formats.structure import geometry, parse_grids
from upscale.drivers.cube import DriverError, open_cube
from upscale.engine.config import parse_run
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.revisions import LOG, read_log
from upscale.evaluation.skill import read_skill
from upscale.grid import Grid, load_grid
from upscale.ingest.config import parse_ingest
from upscale.jobs.settings import ConfigError, read_yaml
from upscale.network.releases.release import load_release
from upscale.network.releases.resolve import ReleaseError
from upscale.product.cube import layout_of
from upscale.remote.errors import ArchiveError
from upscale.stores.broken import refusing
from upscale.stores.location import check_store_place
from upscale.stores.manifest import ArrayManifest
from upscale.testing.malformed.documents import sign_release
from upscale.testing.malformed.table import PARSERS, make_valid, try_once
from upscale.testing.malformed.verdicts import fresh, verdict_of
from upscale.towers.table import read_towers
from upscale.training.config import read_config

#: Cases of each parser, fewer where one takes long.
FEW, MANY = 3, 12
SLOW = {
    "driver cube", "driver cube, checked", "driver cube without manifest", "flux cube",
    "plan and ledger", "store that goes on", "GRIB of ERA5", "trees of XGBoost",
    "trees of LightGBM", "safetensors", "release.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of valid input of a parser, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make_valid(PARSERS[name], tmp_path_factory.mktemp("fuzz") / "valid")
        return made[name]

    return folder


@pytest.mark.parametrize("name", PARSERS)
def test_a_wrong_file_is_read_or_refused_in_one_line(
    name: str, valid: Callable[[str], Path]
) -> None:
    source = valid(name)

    @seed(20261128)
    @settings(
        max_examples=FEW if name in SLOW else MANY, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**32))
    def check(number: int) -> None:
        changed, found = try_once(
            PARSERS[name], source, source.with_name("case"), Random(f"1 {number}")
        )
        assert found.verdict != "traceback", f"{changed}: {found.text}"

    check()


def test_a_traceback_is_told_from_a_refusal() -> None:
    def leak() -> None:
        json.loads("{")

    def refuse() -> None:
        with refusing("x.json", "JSON", ConfigError):
            leak()

    assert verdict_of(leak, (ValueError,)).verdict == "traceback"
    assert verdict_of(refuse, (ConfigError,)).verdict == "refused"
    assert verdict_of(refuse, (DriverError,)).verdict == "traceback"
    assert verdict_of(lambda: None, ()).verdict == "read"


def change(path: Path, alter: Callable[[Any], object]) -> None:
    """Change a JSON document."""
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


DEEP = "[" * 2000 + "]" * 2000


@pytest.mark.parametrize("text", [f"a: {DEEP}", "a: " + "1" * 5000, "a: [", "\x00", "- 1"])
def test_yaml_that_no_parser_finishes_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"made\.yaml"):
        read_yaml(path, (), "a RUN.yaml")
    with pytest.raises(ValueError, match=r"made\.yaml"):
        load_grid(path)


def test_what_was_found_is_shown_in_short() -> None:
    laughs: Any = "x"
    for _ in range(30):  # a billion of them, in 30 lists
        laughs = [laughs, laughs]
    with pytest.raises(ConfigError) as refused:
        parse_run({"model": laughs, "y" * 100_000: 1, **dict.fromkeys(map(str, range(99)))}, "r")
    assert len(str(refused.value)) < 4000


@pytest.mark.parametrize("given", [1.5, None, True, {"a": 1}])
def test_lists_of_another_type_are_named(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"meteo\.files"):
        parse_ingest({"meteo": {"files": given}}, "i")
    path = tmp_path / "TRAIN.yaml"
    path.write_text(yaml.safe_dump({"features": given}))
    with pytest.raises(ConfigError, match="features"):
        read_config(path)


@pytest.mark.parametrize(
    "place",
    ["simplecache::file://x", "zip://a::s3://b", "reference://x", "github://a:b@c/d", "a\0b"],
)
def test_chained_and_strange_places_are_refused(place: str) -> None:
    with pytest.raises(ValueError, match="expected a path or a URL"):
        check_store_place(place)
    with pytest.raises(ConfigError, match="expected a path or a URL"):
        parse_run({
            "model": "m", "drivers": place, "output": {"store": "f.zarr"},
            "period": {"start": "2012-01-01", "end": "2012-01-02"}}, "r")  # fmt: skip
    with pytest.raises(ValueError, match="expected"):
        open_cube(place)


@pytest.mark.parametrize(
    "change_of",
    [{"rows": 2**31}, {"north": None}, {"west": "abc"}, {"resolution": float("nan")},
     {"rows": 1.5}, {"north": 1e300}, {"rows": True}],
)  # fmt: skip
def test_grids_that_no_memory_holds_are_refused(change_of: dict[str, Any], tmp_path: Path) -> None:
    content = {"rows": 18, "cols": 36, "resolution": 10.0} | change_of
    with pytest.raises(ValueError, match="expected"):
        Grid("made", **content)
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"made\.yaml"):
        load_grid(path)


@pytest.fixture
def release(valid: Callable[[str], Path], tmp_path: Path) -> Path:
    return fresh(valid("release.yaml"), tmp_path / "release")


def test_a_network_of_endless_layers_is_refused_before_it_is_built(release: Path) -> None:
    path = release / "release.yaml"
    content = yaml.safe_load(path.read_text())
    content["architecture"]["layers"] = 100_000_000
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ReleaseError, match="layers"):
        load_release(release)


@pytest.mark.parametrize("header", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{]"])
def test_a_wrong_header_of_tensors_is_refused(header: bytes, release: Path) -> None:
    (release / "members.safetensors").write_bytes(header + b"abc")
    sign_release(release)
    with pytest.raises(ReleaseError, match=r"members\.safetensors"):
        load_release(release)


@pytest.mark.parametrize("cell", ['"', "abc", "x" * 100_000])
def test_a_skill_table_of_words_is_refused(cell: str, tmp_path: Path) -> None:
    head = "tower,cluster,flux,model,split,n,rmse,r2,bias\n"
    path = tmp_path / "skill.csv"
    path.write_text(f"{head}A,B,gpp,m,s,{cell},1,1,1\n")
    with pytest.raises(ValueError, match=r"skill\.csv") as refused:
        read_skill(path)
    assert len(str(refused.value)) < 1000


@pytest.fixture
def cube(valid: Callable[[str], Path], tmp_path: Path) -> Path:
    return fresh(valid("driver cube without manifest"), tmp_path / "cube") / "d.zarr"


@pytest.mark.filterwarnings("ignore:.*no manifest")
@pytest.mark.parametrize(
    ("node", "key", "value"),
    [("static/lon", "shape", [10**18]), ("static/elevation", "shape", ["0", 5]),
     ("meteo/time", "shape", [10**9]), ("satellite/lat", "codecs", 1.5),
     ("meteo/ta", "chunk_grid", {}), ("satellite/ndvi", "dimension_names", ["a"]),
     ("meteo/ta", "node_type", "group"), ("", "attributes", 3), ("static", "attributes", []),
     ("meteo/ta", "attributes", {"units": "degC", "scale_factor": "abc", "add_offset": 0}),
     ("meteo/ta", "attributes", {"units": "degC", "scale_factor": -1.0, "add_offset": 0})],
)  # fmt: skip
def test_wrong_metadata_of_drivers_are_named(node: str, key: str, value: Any, cube: Path) -> None:
    change(cube / node / "zarr.json", lambda content: content.update({key: value}))
    with pytest.raises(DriverError, match=r"d\.zarr"):
        open_cube(str(cube))


@pytest.mark.filterwarnings("ignore:.*no manifest")
@pytest.mark.parametrize("content", [b"", b"abc", b"\x28\xb5\x2f\xfd" + bytes(20)])
def test_a_damaged_axis_of_drivers_is_named(content: bytes, cube: Path) -> None:
    (cube / "meteo" / "time" / "c" / "0").write_bytes(content)
    with pytest.raises(DriverError, match="meteo/time"):
        open_cube(str(cube))


@pytest.mark.filterwarnings("ignore:.*no manifest")
@pytest.mark.parametrize("tile", [10**9, "abc", 0, True, None])
def test_a_tile_that_no_cube_has_is_refused(tile: Any, cube: Path) -> None:
    change(cube / "zarr.json", lambda content: content["attributes"].update(tile=tile))
    with pytest.raises(DriverError, match="tile"):
        _ = open_cube(str(cube)).tile


@pytest.mark.parametrize(
    "seal", [3, {}, {"form": 1, "groups": [], "arrays": {}},
             {"form": 1, "groups": {"../x": "ab" * 16}, "arrays": {}},
             {"form": 1, "groups": {}, "arrays": {"meteo/ta": "zz"}}],
)  # fmt: skip
def test_a_seal_of_another_form_is_refused(seal: Any, cube: Path) -> None:
    change(cube / "zarr.json", lambda content: content["attributes"].update(seal=seal))
    with pytest.raises(DriverError, match="seal"):
        open_cube(str(cube))


@pytest.mark.parametrize(
    "head", [b"{", b"{}", b'{"grid": [4000000000, 4000000000], "metadata": "%s"}' % (b"ab" * 16),
             b'{"grid": [2], "metadata": "zz"}', b'{"grid": "x", "metadata": []}', b"\xff"],
)  # fmt: skip
def test_a_manifest_of_another_size_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="manifest of an array"):
        ArrayManifest.from_bytes(b"upscale manifest 1\n" + head + b"\n" + bytes(40))


@pytest.mark.parametrize(
    "wrong", [{"tile": 10**9}, {"count": 0}, {"block": "x"}, {"sums": "daily"}, {"members": 1e9}]
)
def test_a_layout_of_no_cube_is_refused(wrong: dict[str, Any]) -> None:
    grid = Grid("made", 4, 8, 45.0).to_dict()
    fields = {"grid": grid, "first": 0, "count": 9, "tile": 4, "members": 2, "sums": "annual",
              "block": 30}  # fmt: skip
    assert layout_of({"layout": json.dumps(fields)}).count == 9
    for text in (json.dumps(fields | wrong), "[", "3"):
        with pytest.raises(ValueError, match="attribute layout"):
            layout_of({"layout": text})
    with pytest.raises(ValueError, match="attribute layout"):
        layout_of({})


def test_an_entry_with_values_of_another_type_is_none(tmp_path: Path) -> None:
    ledger = RunLedger(str(tmp_path / "f.zarr"))
    fields: dict[str, Any] = dict.fromkeys(
        ("item", "run", "release", "cube", "version", "worker", "finished"), "x"
    ) | {key: {} for key in ("digests", "counts", "stats", "totals", "seconds")}
    ledger.write(RunEntry(**fields, status="done", memory=1))
    assert set(ledger.entries("x")) == {"x"}
    (path,) = (tmp_path / "f.ledger").glob("*.done.json")
    change(path, lambda content: content.update(digests=1.5))
    assert ledger.entries("x") == {}


@pytest.mark.parametrize("log", [[{"whyx": 1}], [3], {"a": 1}, "x"])
def test_a_log_of_other_rows_is_named(log: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "f.zarr")
    RunLedger(store).write_object(LOG, log)
    with pytest.raises(ValueError, match=LOG):
        read_log(store)


@pytest.mark.parametrize("plan", [[1], {"run": 3}, {"run": "x", "items": 5}, "x"])
def test_a_plan_of_another_form_is_named(plan: Any, tmp_path: Path) -> None:
    ledger = RunLedger(str(tmp_path / "f.zarr"))
    assert ledger.plan() == {}
    ledger.write_object("plan.json", plan)
    with pytest.raises(ValueError, match=r"plan\.json"):
        ledger.plan()


@pytest.mark.parametrize("key", ["scale_factor", "add_offset", "_FillValue", "valid_range"])
def test_a_scale_of_words_is_refused(key: str) -> None:
    stored = np.ones((2, 2), np.int16)
    with pytest.raises(ArchiveError, match="expected a number"):
        physical("sur_refl_b01_1", stored, {key: "abc"}, adds=True)


def test_corners_of_words_are_refused() -> None:
    text = (
        'GROUP=GRID_1\nGridName="g"\nXDim=1200\nYDim=1200\nUpperLeftPointMtrs=(0,1)\n'
        "LowerRightMtrs=(1,0)\nProjection=GCTP_SNSOID\nProjParams=(((,0)\nEND_GROUP=GRID_1\n"
    )
    with pytest.raises(ArchiveError, match="sphere"):
        geometry(parse_grids(text)[0], None, "a.hdf")


def test_a_damaged_table_of_towers_is_named(valid: Callable[[str], Path], tmp_path: Path) -> None:
    folder = fresh(valid("harmonised towers"), tmp_path / "towers")
    path = folder / "satellite.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"satellite\.parquet"):
        read_towers(folder)
