"""The command line: one file for each command, which loads when the command is called."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from upscale.version import __version__


class CommandEntry(NamedTuple):
    """A command in the list of commands: its panel there, and its first sentence."""

    panel: str
    summary: str


#: Every command. The function `a_b` of the module `a_b` is the command `a-b`. The sentences stand
#: here once more, so that `upscale --help` loads none of these modules.
COMMANDS = {
    "run": CommandEntry(
        "Run", "Make daily flux maps: plan, init, run, finalise, check. Run it again to go on."
    ),
    "validate": CommandEntry(
        "Run",
        "Refuse a run that cannot succeed, before any work, naming the key and the remedy.",
    ),
    "plan": CommandEntry(
        "Run",
        "Say what a run consists of and what it takes: work items, files, bytes, memory, time.",
    ),
    "init": CommandEntry("Run", "Create the empty flux cube of a run, unless it is there."),
    "status": CommandEntry(
        "Run", "Say how far the run of a store is, and what its revisions changed."
    ),
    "finalise": CommandEntry("Run", "Mark a store complete, once every work item is done."),
    "check": CommandEntry(
        "Run", "Check a store: its values, and that they are what was computed; or a driver cube."
    ),
    "repair": CommandEntry(
        "Run",
        "Make again what `upscale check` finds bad in a store, and nothing else; then check it.",
    ),
    "demo": CommandEntry("Run", "Make a planet, map its carbon fluxes, check them and draw them."),
    "inspect": CommandEntry(
        "Data",
        "Show what files of an archive hold: product, grid, date, and every variable in numbers.",
    ),
    "fetch": CommandEntry(
        "Data", "Download the files that an INGEST.yaml lacks. Run it again to go on."
    ),
    "ingest": CommandEntry(
        "Data",
        "Make a driver cube of MODIS, VIIRS and ERA5 archives. Run it again to go on or to add.",
    ),
    "seal": CommandEntry(
        "Data",
        "Give a driver cube of version 0.1 its manifest: the digest of every object in it.",
    ),
    "towers": CommandEntry(
        "Data",
        "Screen flux towers: signs, units, seasons, gaps and places that cannot be right.",
    ),
    "towers-on-grid": CommandEntry(
        "Data", "Write a driver cube whose valid cells are the flux towers of a folder."
    ),
    "grids": CommandEntry("Data", "List the grids that are shipped, or those of a folder."),
    "models": CommandEntry(
        "Models", "List the model releases that are shipped, or those of a folder."
    ),
    "evaluate": CommandEntry(
        "Models",
        "Evaluate a release at towers, seen or not: skill, where it holds, how sure that is.",
    ),
    "train": CommandEntry(
        "Models",
        "Train an ensemble on flux towers, evaluate it on towers left out, write a model release.",
    ),
    "import-release": CommandEntry(
        "Models", "Turn weights of the released TAM-RL code into a model release that runs here."
    ),
    "plot": CommandEntry(
        "Results",
        "Draw mean maps of GPP, RECO and NEE, their spread, and the seasonal cycle by latitude.",
    ),
    "compare": CommandEntry(
        "Results", "Set the fluxes of a flux cube beside the ones that towers measured."
    ),
    "publish": CommandEntry(
        "Results",
        "Write files that open anywhere; those whose sources have not changed are kept.",
    ),
}

#: Exit code of a command that was stopped by Ctrl-C or SIGTERM.
_INTERRUPTED = 130


class Placeholder(TyperCommand):
    """Stands for a command in the list and in completion, until the command is called."""


class LazyCommands(TyperGroup):
    """Commands of which each loads when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, known, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and isinstance(known, Placeholder) else known, rest


def make_app(names: Collection[str] = ()) -> typer.Typer:
    """The application with all commands. names: those that load now, with their arguments."""
    app = typer.Typer(
        name="upscale", cls=LazyCommands, no_args_is_help=True, rich_markup_mode="rich",
        help="Daily global maps of GPP, RECO and NEE from flux-tower knowledge.",
        epilog="Exit codes: 0 done; 1 a part failed, or a check did not pass; 2 refused; "
        "3 the cluster was lost; 130 stopped.",
        pretty_exceptions_enable=False,
    )  # fmt: skip
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        if name in names:
            _add(app, name)
        else:
            app.command(
                name, cls=Placeholder, help=entry.summary, rich_help_panel=entry.panel
            )(_nothing)  # fmt: skip
    return app


def _nothing() -> None:
    """What a placeholder would do."""


def load(name: str) -> Any:
    """The command of a name, with its arguments and examples; KeyError for an unknown name."""
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    _add(alone, name)
    return typer.main.get_command(alone)


def _add(app: typer.Typer, name: str) -> None:
    """Load the module of a command and add its function."""
    function = name.replace("-", "_")
    module = import_module(f"upscale.commands.{function}")
    app.command(
        name, cls=getattr(module, "PARSER", TyperCommand), rich_help_panel=COMMANDS[name].panel,
        epilog="\n".join(["Examples:", *(f"  {line}" for line in module.EXAMPLES)]),
    )(getattr(module, function))  # fmt: skip


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_call(make_app(), arguments))


def _call(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command; what a user can mend is shown as one message, without a traceback."""
    try:
        app(arguments, prog_name="upscale")
    except SystemExit as end:
        code = int(end.code or 0)
        interrupted = code == _INTERRUPTED
        return _say("stopped; run the same command again to go on", code) if interrupted else code
    except (ValueError, OSError) as error:
        if os.environ.get("UPSCALE_DEBUG"):
            raise
        return _say(f"error: {error}", 2)
    except Exception as error:
        from upscale.jobs.cluster import ClusterError  # loads dask: not before it is needed

        if not isinstance(error, ClusterError):
            raise
        return _say(f"error: {error}", 3)
    return 0


def _say(text: str, code: int) -> int:
    Console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)
    return code
