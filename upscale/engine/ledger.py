"""The ledger: one small JSON object per finished work item, beside the store.

Done means a valid entry here, never that a shard exists: an entry is written after its
shards were written and read back.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from upscale.jobs.ledger import Ledger, Status
from upscale.stores.broken import refusing

#: Name of the object that says what a run consists of.
PLAN = "plan.json"


@dataclass(frozen=True)
class RunEntry:
    """What is known of one work item.

    run: digest of the run that it belongs to; release, cube: digests of model and drivers;
    version: of the code; digests: of every array written; counts: cells, flags, `values` of
    a flux and how many of them were `kept` from an earlier session; stats:
    {flux: {min, mean, max}} g m-2 d-1; totals: {flux: for each segment of the block the total
    of each member} g; seconds: by stage; memory: peak of the worker, bytes; worker: host,
    process and device; error: why it failed; identity: digest of all that the item is made of (see
    `upscale.engine.identity`); surface, embeddings, strides: on what it depends which days stand
    when the item is made again (see `upscale.engine.work.kept`); days: in its block; settled: how
    many of them no longer record will change; running: digest of the sums over these; kept: how
    many days stand as an earlier session left them; revision: of the store in which it was made;
    change: what that revision changed (see `upscale.engine.work.change`).
    """

    item: str
    run: str
    release: str
    cube: str
    version: str
    status: Status
    digests: dict[str, str]
    counts: dict[str, int]
    stats: dict[str, dict[str, float]]
    totals: dict[str, list[list[float]]]
    seconds: dict[str, float]
    memory: int
    worker: str
    finished: str
    error: str = ""
    identity: str = ""
    surface: str = ""
    embeddings: str = ""
    strides: tuple[str, ...] = ()
    days: int = 0
    settled: int = 0
    kept: int = 0
    running: str = ""
    revision: int = 1
    change: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Withdrawn:
    """The entry of a work item whose arrays are being replaced, kept until the new one is there.

    identity: of what replaces it; revision: of the store that this belongs to; change: what it
    changes of the revision before (see `upscale.engine.work.change`).
    """

    entry: RunEntry
    identity: str
    revision: int
    change: dict[str, Any]


@cache
def _withdrawn() -> TypeAdapter[Withdrawn]:
    return TypeAdapter(Withdrawn)


class PlanSummary(BaseModel):
    """What a run writes into its ledger of what it consists of; stores of version 0.1 have no
    identities, and a later version may have more keys."""

    model_config = ConfigDict(extra="allow")

    run: str
    items: list[str]
    land: int
    store: str
    tiles: int = 0
    cube: str = ""
    count: int = 0
    identities: dict[str, str | None] = {}
    config: dict[str, Any] = {}


class RunLedger(Ledger[RunEntry]):
    """The entries of one flux cube."""

    def __init__(self, store: str) -> None:
        super().__init__(store, RunEntry)

    def plan(self) -> dict[str, Any]:
        """What the run consists of, empty where there is no plan; ValueError where it is none."""
        content = self.read_object(PLAN)
        where, remedy = f"{self.url}/{PLAN}", "run `upscale init` again"
        with refusing(where, "the plan of a run", ValueError, remedy):
            if content is not None:
                PlanSummary.model_validate(content)
            return dict(content or {})

    def write_running(self, item: str, content: bytes) -> str:
        """Keep the running sums of an item and return their digest."""
        self.write_bytes(f"{item}.running.npy", content)
        return hashlib.sha256(content).hexdigest()

    def read_running(self, item: str) -> bytes | None:
        """The running sums of an item, None where none are kept."""
        return self.read_bytes(f"{item}.running.npy")

    def withdraw(self, withdrawn: Withdrawn) -> None:
        """Forget the entry of an item whose arrays are about to be replaced, and keep it aside for
        whoever goes on after a kill."""
        item = withdrawn.entry.item
        self.write_object(f"{item}.before.json", asdict(withdrawn))
        self.forget(item)

    def withdrawn(self, item: str) -> Withdrawn | None:
        """What was kept aside of an item, None where nothing was that can be read."""
        try:
            return _withdrawn().validate_json(self.read_bytes(f"{item}.before.json") or b"")
        except ValueError:
            return None

    def replaced(self, item: str) -> None:
        """Remove what was kept aside of an item, because it has its new entry."""
        self.remove(f"{item}.before.json")

    def forget_running(self, item: str) -> None:
        """Remove the running sums of an item that no longer needs any."""
        self.remove(f"{item}.running.npy")
