"""The layout of store, driver cube, release and ledger as files that a review can see change.

Names, dimensions, types, chunks, codecs and the keys of attributes are compared with the files in
`golden/`; values are not. docs/compatibility.md says what may change and what never.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
import zarr
from safetensors import safe_open

from upscale.engine.ledger import PLAN, RunLedger
from upscale.engine.run import status
from upscale.testing.runs import prepare, run_here

RENEW = "UPSCALE_RENEW_LAYOUTS"
GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture(scope="module")
def store(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("golden") / "fluxes.zarr"
    return Path(
        run_here(prepare(world.model, world.drivers, url, period=("2012-05-01", "2012-06-09")))
    )


def of_array(array: zarr.Array[Any]) -> dict[str, Any]:
    codecs = [codec.to_dict() for codec in (*array.filters, array.serializer, *array.compressors)]
    return {
        "dims": array.metadata.dimension_names and list(array.metadata.dimension_names),
        "dtype": array.dtype.str,
        "fill": repr(array.fill_value),
        "chunks": list(array.chunks),
        "shards": list(array.shards) if array.shards else None,
        "codecs": codecs,
        "attributes": sorted(array.attrs),
    }


def of_zarr(url: Path) -> dict[str, Any]:
    root = zarr.open_group(str(url), mode="r", use_consolidated=False)
    nodes: dict[str, Any] = {"": {"attributes": sorted(root.attrs)}}
    for name, node in sorted(root.members(max_depth=None)):
        group = {"attributes": sorted(node.attrs)}
        nodes[name] = of_array(node) if isinstance(node, zarr.Array) else group
    return nodes


def keys_of(content: Any, depth: int) -> Any:
    """Keys with the types of their values, `depth` levels deep."""
    if isinstance(content, dict) and depth:
        return {key: keys_of(value, depth - 1) for key, value in sorted(content.items())}
    return type(content).__name__


def of_release(folder: Path) -> dict[str, Any]:
    tensors = {}
    with safe_open(str(folder / "members.safetensors"), "np") as opened:
        for name in sorted(opened.keys()):
            tensors[name] = [str(opened.get_tensor(name).dtype), opened.get_tensor(name).ndim]
    manifest = yaml.safe_load((folder / "release.yaml").read_text())
    files = sorted(path.name for path in folder.iterdir())
    return {"files": files, "release.yaml": keys_of(manifest, 2), "members": tensors}


def of_ledger(store: Path) -> dict[str, Any]:
    """An entry, and the plan, which say what a run consists of and what is done of it."""
    ledger = RunLedger(str(store))
    entries = ledger.entries(status(str(store)).run)
    plan = ledger.read_object(PLAN)
    entry = json.loads(json.dumps(asdict(entries[min(entries)])))  # as it is stored
    return {"entry": keys_of(entry, 1), "plan": keys_of(plan, 1)}


def layouts(world: Any, store: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "store", of_zarr(store)
    yield "cube", of_zarr(world.drivers)
    yield "release", of_release(world.model)
    yield "ledger", of_ledger(store)


def test_layouts_are_those_that_were_written_down(world: Any, store: Path) -> None:
    changed = []
    for name, found in layouts(world, store):
        path, text = GOLDEN / f"{name}.json", json.dumps(found, indent=1) + "\n"
        if os.environ.get(RENEW):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        wanted = json.loads(path.read_text())
        changed += [
            f"{name}: {part}"
            for part in sorted(wanted.keys() | found.keys())
            if wanted.get(part) != json.loads(text).get(part)
        ]
    assert not changed, (
        f"the layout changed: {', '.join(changed)}. Where it is meant to, say so in "
        f"docs/compatibility.md and renew the files: `{RENEW}=1 make unit ARGS='-k golden'`"
    )
