"""A report as blocks, written as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

#: Cells with more characters may be broken into lines.
_LONG = 40

#: What stands where there is no number.
NOTHING = "–"


@dataclass(frozen=True)
class Heading:
    """level: 1 for the title of the document."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; warning: set apart, because a reader must not miss it."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """path: of a PNG below the folder of the report."""

    path: Path
    caption: str


@dataclass(frozen=True, eq=False)
class TableBlock:
    """A table. formats: by column, how its values become text; other columns as they are.

    Columns with a format are numbers and stand at the right.
    """

    table: pd.DataFrame
    caption: str
    formats: dict[str, Callable[[float], str]] = field(default_factory=dict)

    def rows(self) -> list[list[str]]:
        """The cells as text."""
        names = list(self.table.columns)
        return [
            [self._cell(name, value) for name, value in zip(names, row, strict=True)]
            for row in self.table.itertuples(index=False)
        ]

    def _cell(self, name: str, value: object) -> str:
        if isinstance(value, float) and np.isnan(value):
            return NOTHING
        return self.formats[name](value) if name in self.formats else str(value)  # type: ignore[arg-type]


Block = Heading | Text | Bullets | Picture | TableBlock


def write_markdown(blocks: Sequence[Block], path: Path) -> Path:
    """Write the report as Markdown beside its figures."""
    text = "\n\n".join(_markdown(block, path.parent) for block in blocks)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_html(blocks: Sequence[Block], path: Path) -> Path:
    """Write the report as one HTML file with its figures inside."""
    path.write_text(_page().render(blocks=blocks, zip=zip), encoding="utf-8")
    return path


@cache
def _page() -> Template:
    """The template of the page; all text in it is escaped."""
    environment = Environment(
        loader=PackageLoader("upscale.evaluation.report"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "anchor": _anchor, "first_sentence": _first_sentence, "base64": _base64,
        "is_long": _is_long,
    }  # fmt: skip
    environment.tests |= {
        kind.__name__.lower(): partial(_is_a, kind=kind) for kind in get_args(Block)
    }
    return environment.get_template("report.html")


def _is_a(block: Block, kind: type) -> bool:
    return isinstance(block, kind)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _is_long(cell: str) -> bool:
    return len(cell) > _LONG


def _markdown(block: Block, folder: Path) -> str:
    """One block as Markdown; folder: that of the report, to which pictures are relative."""
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text, warning):
            return f"> **{text}**" if warning else text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Picture(path, caption):
            where = path.relative_to(folder).as_posix()
            return f"![{_first_sentence(caption)}]({where})\n\n*{caption}*"
        case TableBlock():
            return _markdown_table(block)


def _markdown_table(grid: TableBlock) -> str:
    names = [str(name) for name in grid.table.columns]
    rule = ["---:" if name in grid.formats else "---" for name in names]
    rows = [names, rule, *grid.rows()]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"*{grid.caption}*\n\n" + "\n".join(lines)


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
