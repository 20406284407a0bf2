"""Arguments and options that several commands share, and how a shell completes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from upscale import shipped
from upscale.commands.output import note_old


def model_names(incomplete: str) -> list[str]:
    """Names of the shipped models that begin like a word."""
    found = shipped.folder("models").glob("*/release.yaml")
    return sorted(path.parent.name for path in found if path.parent.name.startswith(incomplete))


def grid_names(incomplete: str) -> list[str]:
    """Names of the shipped grids that begin like a word."""
    found = shipped.folder("grids").glob("*.yaml")
    return sorted(path.stem for path in found if path.stem.startswith(incomplete))


def completer(key: str, names: Callable[[str], list[str]]) -> Callable[..., list[str]]:
    """Completes `key=value` for one key whose values have names."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        before = list(ctx.params.get("overrides") or ())
        if before[-1:] == [key] and not incomplete:  # bash makes three words of `key=value`
            return names("")
        if before[-2:] == [key, "="]:
            return names(incomplete)
        found, sign, start = incomplete.partition("=")
        if sign:
            return [f"{key}={name}" for name in names(start)] if found == key else []
        return [f"{key}={name}" for name in names("")] if key.startswith(incomplete) else []

    return complete


RunFile = Annotated[
    Path, typer.Argument(metavar="RUN.yaml", help="The file that configures a run.")
]
RunKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Keys of it, e.g. period.end=2012-06-30",
        autocompletion=completer("model", model_names),
    ),
]  # fmt: skip
RunOut = Annotated[
    str | None,
    typer.Option("--out", metavar="STORE", help="Flux cube to write, in place of output.store."),
]
IngestFile = Annotated[
    Path, typer.Argument(metavar="INGEST.yaml", help="The file that configures an ingest.")
]
IngestKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Keys of it, e.g. period.end=2019-12-31",
        autocompletion=completer("grid", grid_names),
    ),
]  # fmt: skip
FluxCubeArgument = Annotated[str, typer.Argument(metavar="STORE", help="Flux cube: a path or URL.")]
TowersArgument = Annotated[
    Path, typer.Argument(metavar="TOWERS", help="Folder of flux towers: table, ONEFlux files.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Json = Annotated[
    bool, typer.Option("--json", help="JSON on standard output; all else on standard error.")
]


def with_out(overrides: list[str] | None, key: str, out: str | Path | None) -> list[str]:
    """Overrides of a configuration, and the value of `--out` for its key, which counts most."""
    return [*(overrides or ()), *([] if out is None else [f"{key}={out}"])]


def out_of(out: Any, old: Any, was: str) -> Any:
    """The value of `--out`, or of the older spelling `was` of it, which is noted."""
    if out is not None and old is not None:
        raise typer.BadParameter(f"expected one of --out and {was}, found both: leave {was} out")
    if old is not None:
        note_old(was, "--out")
    return old if out is None else out


class HiddenArguments(TyperCommand):
    """A command whose usage hides the arguments kept for older scripts."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        shown = [each for each in self.get_params(ctx) if not getattr(each, "hidden", False)]
        return [
            str(self.options_metavar),
            *(p for each in shown for p in each.get_usage_pieces(ctx)),
        ]


class FileAfterJson(TyperCommand):
    """A command whose `--json` took the name of a file once: that file is its `--json-file`.

    `--json` is a flag now. A word after it is a file of old where the command would have one
    argument too many without that.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._modern(ctx, list(args)))

    def _modern(self, ctx: Any, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if word.startswith("--json="):
                return [*args[:place], "--json-file", word[7:], *args[place + 1 :]]
            if word == "--json" and self._has_too_many(ctx, args):
                return [*args[:place], "--json-file", *args[place + 1 :]]
        return args

    def _has_too_many(self, ctx: Any, args: list[str]) -> bool:
        _, rest, _ = self.make_parser(ctx).parse_args(list(args))
        return bool(rest)


#: Where a command wrote its rows when `--json` took a file.
JsonFile = Annotated[Path | None, typer.Option("--json-file", hidden=True)]
