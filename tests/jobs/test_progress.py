"""Work items are shown by a bar on a terminal and by plain lines elsewhere."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from io import StringIO

from upscale.jobs.clock import Stopwatch, now
from upscale.jobs.progress import make_progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Ended:
    status: str = "done"
    counts: dict[str, int] = field(default_factory=lambda: {"values": 500})


def drive(stream: StringIO, interval: float) -> list[str]:
    progress = make_progress(interval, stream)
    progress.stage("predicting")
    progress.start(4, 1)
    for entry in (Ended(), Ended("failed", {}), Ended()):
        time.sleep(0.01)
        progress.advance(entry)
    progress.close()
    return stream.getvalue().splitlines()


def test_each_line_tells_stage_items_failures_rate_and_time_left() -> None:
    stage, first, second, last = drive(StringIO(), 0)
    assert re.fullmatch(r"[\d:]{8} predicting", stage)
    begin = r"[\d:]{8} predicting: "
    rate = r"[\d,]+ cell-days/s"
    assert re.fullmatch(rf"{begin}2/4 tiles, {rate}, \d+ s left", first)
    assert re.fullmatch(rf"{begin}3/4 tiles, 1 failed, {rate}, \d+ s left", second)
    assert re.fullmatch(rf"{begin}4/4 tiles, 1 failed, {rate}", last)


def test_lines_come_at_intervals_and_the_last_one_always() -> None:
    assert [line.split(" ", 1)[1].split(",")[0] for line in drive(StringIO(), 1e9)] == [
        "predicting", "predicting: 4/4 tiles",
    ]  # fmt: skip


def test_a_terminal_gets_a_bar_with_the_same_words() -> None:
    said = "\n".join(drive(Terminal(), 1e9))
    assert "predicting" in said
    assert "4/4 tiles, 1 failed" in said
    assert "cell-days/s" in said


def test_a_second_stage_counts_from_the_beginning() -> None:
    stream = StringIO()
    progress = make_progress(1e9, stream, of="work items")
    for stage in ("reading maps", "reading archives"):
        progress.stage(stage)
        progress.start(1, 0)
        progress.advance(Ended("failed", {}))
    assert "reading archives: 1/1 work items, 1 failed, 0 cell-days/s" in stream.getvalue()


def test_a_stopwatch_adds_up_the_turns_of_a_stage_and_counts_failures() -> None:
    watch = Stopwatch()
    for error in (None, ValueError):
        try:
            with watch.stage("read"):
                time.sleep(0.02)
                if error:
                    raise error
        except ValueError:
            continue
    assert list(watch.seconds) == ["read"]
    assert 0.04 <= watch.seconds["read"] < 5


def test_a_stamp_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())
