"""Progress is a bar on a terminal and plain lines elsewhere, in files and bytes."""

from __future__ import annotations

import re
from io import StringIO

from upscale.fetch.progress import make_progress
from upscale.jobs.progress import LogDisplay, TerminalDisplay


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def drive(stream: StringIO, interval: float) -> str:
    progress = make_progress(interval, stream)
    progress.start(2, 3_000_000)
    progress.came(1_000_000)
    progress.ended("a", "")
    progress.came(2_000_000)
    progress.ended("b", "status 404")
    progress.close()
    return stream.getvalue()


def test_lines_tell_files_and_bytes_and_the_last_one_always_comes() -> None:
    (line,) = drive(StringIO(), 1e9).splitlines()
    assert re.fullmatch(r"[\d:]{8} 2/2 files, 1 failed, 3\.0 of 3\.0 MB, [\d,.]+ MB/s", line)
    assert len(drive(StringIO(), 0).splitlines()) == 4


def test_a_terminal_gets_a_bar() -> None:
    said = drive(Terminal(), 1e9)
    assert "2/2 files, 1 failed" in said
    assert "3.0/3.0 MB" in said


def test_the_stream_decides() -> None:
    assert isinstance(make_progress(1, StringIO()).display, LogDisplay)
    bar = make_progress(1, Terminal())
    assert isinstance(bar.display, TerminalDisplay)
    bar.close()
