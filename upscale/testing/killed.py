"""A run or a repair that is killed at a chosen write, as a machine that stops would end it.

`python -m upscale.testing.killed RUN.yaml WRITES` does a run in its own process, without a cluster,
and kills that process before its write number `WRITES` (of files that it opens to write, renames
or removes below the folder of RUN.yaml). `WRITES` of 0 lets it end and prints how many there were.
With a store in the place of RUN.yaml it repairs that store.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from upscale.engine.config import load_run
from upscale.engine.validate import validate
from upscale.testing.runs import repair_here, run_here

#: What changes a file system, as Python's audit events call it.
_CHANGES = ("os.rename", "os.remove", "os.truncate")


def run_until(place: Path, writes: int = 0) -> int:
    """Do a run (place: its RUN.yaml) or a repair (a store) in a process of its own, killed before
    a write; how many writes there were before its end, 0 where it was killed.

    RuntimeError where it ended otherwise.
    """
    command = [sys.executable, "-m", "upscale.testing.killed", str(place), str(writes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGKILL and writes:
        return 0
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return int(done.stdout.split()[-1])


class _Executioner:
    """Counts the writes below a folder, and kills this process before one of them."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder, self._last, self.count = str(folder), last, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook of Python."""
        if not self._is_write(event, arguments):
            return
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_write(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event not in _CHANGES and event != "open":
            return False
        if not str(arguments[0]).startswith(self._folder):
            return False
        return event != "open" or bool(int(arguments[2]) & (os.O_WRONLY | os.O_RDWR))


def main(place: str, writes: str) -> None:
    """Do the run of a RUN.yaml, or repair a store; see the module."""
    hook = _Executioner(Path(place).absolute().parent, int(writes))
    sys.addaudithook(hook)
    if Path(place).is_dir():
        repair_here(place)
    else:
        run_here(validate(load_run(Path(place))))
    print(hook.count)


if __name__ == "__main__":
    main(*sys.argv[1:])
