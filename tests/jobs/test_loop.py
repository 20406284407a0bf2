"""Work items on a real cluster: one that fails is tried again, given up, entered; others go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from distributed import Client

from upscale.jobs.ledger import Ledger, Status
from upscale.jobs.loop import Attempts, Outcome, enter, entries_of
from upscale.jobs.progress import make_progress

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Piece:
    """A work item that fails so many times."""

    id: str
    failures: int = 0
    error: type[Exception] = OSError


@dataclass(frozen=True)
class Done:
    """What is entered of a piece."""

    item: str
    run: str = "this run"
    status: Status = "done"
    counts: dict[str, int] = field(default_factory=lambda: {"values": 10})
    error: str = ""


def work(piece: Piece, tried: int) -> Done:
    if tried < piece.failures:
        raise piece.error(f"attempt {tried}")
    return Done(piece.id)


def failed(piece: Piece, error: BaseException) -> Done:
    return Done(piece.id, status="failed", counts={}, error=f"{type(error).__name__}: {error}")


def submit_to(client: Client, tries: list[str]) -> Callable[[Piece, int], Any]:
    def submit(piece: Piece, tried: int) -> Any:
        tries.append(piece.id)
        return client.submit(work, piece, tried, pure=False)

    return submit


def do(
    client: Client, pieces: Sequence[Piece], attempts: Attempts, folder: Path
) -> tuple[Outcome[Done], list[str], list[str]]:
    """The outcome, every submission, and the lines of progress."""
    tries: list[str] = []
    stream = StringIO()
    progress = make_progress(0, stream, of="pieces")
    progress.start(len(pieces), 0)
    found = entries_of(client, pieces, submit_to(client, tries), failed, attempts)
    outcome = enter(found, Ledger(str(folder / "c.zarr"), Done), progress)
    return outcome, tries, stream.getvalue().splitlines()


@pytest.mark.cluster
def test_one_that_fails_is_tried_again_given_up_and_entered(client: Client, tmp_path: Path) -> None:
    pieces = [Piece("good"), Piece("lucky", failures=2), Piece("bad", failures=9), Piece("last")]
    outcome, tries, lines = do(client, pieces, Attempts(retries=2), tmp_path)
    assert {entry.item for entry in outcome.done} == {"good", "lucky", "last"}
    [given_up] = outcome.failed
    assert (given_up.item, given_up.error) == ("bad", "OSError: attempt 2")
    assert sorted(tries) == ["bad"] * 3 + ["good", "last"] + ["lucky"] * 3
    assert len(lines) == 4
    assert "4/4 pieces, 1 failed, " in lines[-1]
    ledger = Ledger(str(tmp_path / "c.zarr"), Done)
    assert ledger.entries("this run", "failed") == {"bad": given_up}
    assert ledger.entries("this run") == {}  # workers enter what they have done


@pytest.mark.cluster
def test_an_error_that_another_attempt_cannot_mend_is_final(client: Client, tmp_path: Path) -> None:
    pieces = [Piece("hopeless", failures=9, error=KeyError), Piece("good")]
    outcome, tries, _ = do(client, pieces, Attempts(5, final=(KeyError,)), tmp_path)
    assert [entry.item for entry in outcome.failed] == ["hopeless"]
    assert sorted(tries) == ["good", "hopeless"]


@pytest.mark.cluster
def test_many_items_wait_their_turn(client: Client, tmp_path: Path) -> None:
    tries: list[str] = []
    pieces = [Piece(f"p{number}") for number in range(30)]
    found = entries_of(client, pieces, submit_to(client, tries), failed, Attempts(0))
    ended = [next(found).item]
    assert len(tries) <= len(ended) + 2 * len(client.nthreads())
    ended += [entry.item for entry in found]
    assert sorted(ended) == sorted(piece.id for piece in pieces)


def test_a_failure_that_cannot_be_entered_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "c.ledger").write_text("a file where the folder of the ledger should be")
    ledger = Ledger(str(tmp_path / "c.zarr"), Done)
    entries = [failed(Piece("bad"), ValueError("why")), Done("good")]
    outcome = enter(entries, ledger, make_progress(1e9, StringIO()))
    assert [entry.error for entry in outcome.failed] == ["ValueError: why"]
    assert [entry.item for entry in outcome.done] == ["good"]


def test_entries_that_are_damaged_or_of_another_run_do_not_count(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Done)
    assert ledger.entries("this run") == {}
    for entry in (Done("a"), Done("b", run="another"), Done("c"), Done("d")):
        ledger.write(entry)
    folder = tmp_path / "c.ledger"
    (cut,), (other,) = folder.glob("c.*.done.json"), folder.glob("d.*.done.json")
    cut.write_text(cut.read_text()[: cut.stat().st_size // 2])
    other.write_text(json.dumps({"item": "d", "strange": 1}))
    assert ledger.entries("this run") == {"a": Done("a")}
    ledger.forget("a")
    ledger.forget("never written")
    assert ledger.entries("this run") == {}


def test_an_item_that_is_done_has_failed_no_more(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Done)
    ledger.write(failed(Piece("a"), ValueError("once")))
    assert set(ledger.entries("this run", "failed")) == {"a"}
    ledger.write(Done("a"))
    assert ledger.entries("this run", "failed") == {}
    assert set(ledger.entries("this run")) == {"a"}
