"""The processes of a local cluster, each ending when the process that started it does.

Run as `python -m upscale.jobs.processes scheduler|worker ARGUMENT...`. The parent keeps the
standard input of the child open; when it closes, however the parent ended, the child exits.
So kill -9 of a run leaves nothing behind that computes on.
"""

from __future__ import annotations

import os
import sys
import threading


def main(role: str, arguments: list[str]) -> None:
    """Run Dask's own scheduler or worker command until the parent ends."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if role == "scheduler":
        from distributed.cli.dask_scheduler import main as command
    else:
        from distributed.cli.dask_worker import main as command
    command(arguments)


def _exit_with_parent() -> None:
    while os.read(0, 4096):
        continue
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
