"""The command line: one file per command; a command's modules load when it is called."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from rich.console import Console

from upscale import __version__

#: Command and the function that is called, by module.
COMMANDS = {
    "run": "run:run",
    "validate": "run:validate",
    "plan": "run:plan",
    "init": "run:init",
    "finalise": "run:finalise",
    "check": "run:check",
    "status": "run:status",
    "plot": "plot:plot",
    "publish": "publish:publish",
    "train": "train:train",
    "import-release": "import_release:import_release",
    "evaluate": "evaluate:evaluate",
    "towers-on-grid": "towers_on_grid:towers_on_grid",
    "compare": "compare:compare",
    "inspect": "inspect:inspect",
    "ingest": "ingest:ingest",
    "fetch": "fetch:fetch",
    "demo": "demo:demo",
}


#: Exit code of a command that was stopped by Ctrl-C or SIGTERM.
_INTERRUPTED = 130


def make_app(names: Sequence[str]) -> typer.Typer:
    """The application with the named commands."""
    app = typer.Typer(
        name="upscale", no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
        help="Daily global maps of GPP, RECO and NEE from flux-tower knowledge.",
        pretty_exceptions_enable=False,
    )  # fmt: skip
    app.callback()(_root)
    for name in names:
        module, function = COMMANDS[name].split(":")
        loaded = import_module(f"upscale.commands.{module}")
        app.command(name)(getattr(loaded, function))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"upscale {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_print_version,
        is_eager=True,
    ),
) -> None:  # fmt: skip
    """Daily global maps of GPP, RECO and NEE from flux-tower knowledge."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 some tiles failed or a check did not pass, 2 refused,
    3 the cluster was lost (the same command goes on), 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    chosen = [name for name in arguments[:1] if name in COMMANDS]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_call(make_app(chosen or list(COMMANDS)), arguments))


def _call(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command; what a user can mend is shown as one message, without a traceback."""
    from upscale.jobs.cluster import ClusterError

    try:
        app(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
        interrupted = code == _INTERRUPTED
        return _say("stopped; run the same command again to go on", code) if interrupted else code
    except ClusterError as error:
        return _say(f"error: {error}", 3)
    except (ValueError, OSError) as error:
        if os.environ.get("UPSCALE_DEBUG"):
            raise
        return _say(f"error: {error}", 2)
    return 0


def _say(text: str, code: int) -> int:
    Console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)
    return code
