"""What the ledger of a store says to those who publish it."""

from __future__ import annotations

from upscale.engine.ledger import RunLedger
from upscale.engine.revisions import read_log
from upscale.engine.run import status
from upscale.product.published.origin import Origin


def origin_of(store: str) -> Origin | None:
    """The digests of all work items that are done, those that wait, and the log of a store; None
    where it has no ledger, because it was copied without one.

    Raises ValueError where the plan of the ledger is that of another run.
    """
    ledger = RunLedger(store)
    plan = ledger.plan()
    if not plan:
        return None
    found = status(store)
    missing, done = set(found.missing), ledger.entries(found.run)
    digests = {item: e.digests for item, e in done.items() if item not in missing}
    waiting = frozenset(plan["items"]) - digests.keys()
    return Origin(digests, waiting, tuple(read_log(store)))
