"""What is written down of each work item of an ingest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from upscale.jobs.ledger import Ledger

Kind = Literal["static", "weather", "granules", "fill"]


@dataclass(frozen=True)
class IngestEntry:
    """One finished or failed work item.

    run: digest of the layout of the cube; inputs: digest of what the item was made from; stamp:
    another one for every time that it was done; outputs: sha256 by array; counts: files read,
    values; told: of weather, what is said of each of its days, see
    `upscale.drivers.preliminary`; faults: files that were left out, and why; seconds by stage;
    memory: peak of the worker, bytes.
    """

    item: str
    run: str
    status: Literal["done", "failed"]
    inputs: str
    stamp: str
    outputs: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)
    faults: list[list[str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: int = 0
    worker: str = ""
    version: str = ""
    finished: str = ""
    error: str = ""


class IngestLedger(Ledger[IngestEntry]):
    """The entries of one driver cube."""

    identity = "inputs"

    def __init__(self, cube: str) -> None:
        super().__init__(cube, IngestEntry)
