"""A report as blocks, written as Markdown and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

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


def number(digits: int, signed: bool = False) -> Callable[[float], str]:
    """A format with so many decimals, without a negative zero."""

    def as_text(value: float) -> str:
        rounded = round(float(value), digits) + 0.0
        return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")

    return as_text


def percent(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.0f} %"


def write_markdown(blocks: Sequence[Block], path: Path) -> Path:
    """Write the report as Markdown beside its figures."""
    text = "\n\n".join(_markdown(block, path.parent) for block in blocks)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_html(blocks: Sequence[Block], path: Path) -> Path:
    """Write the report as one HTML file with its figures inside."""
    title = next(b.text for b in blocks if isinstance(b, Heading))
    heads = [b.text for b in blocks if isinstance(b, Heading) and b.level == 2]
    links = "".join(f'<li><a href="#{_anchor(t)}">{escape(t)}</a></li>' for t in heads)
    first, *rest = [_html(block) for block in blocks]
    body = "\n".join([first, f'<nav aria-label="Contents"><ul>{links}</ul></nav>', *rest])
    path.write_text(_PAGE.format(title=escape(title), style=_STYLE, body=body), encoding="utf-8")
    return path


def _markdown(block: Block, folder: Path) -> str:
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


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="{_anchor(text)}">{escape(text)}</h{level}>'
        case Text(text, warning):
            kind = ' class="warning"' if warning else ""
            return f"<p{kind}>{escape(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            alt = escape(_first_sentence(caption))
            image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
            return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
        case TableBlock():
            return _html_table(block)


def _html_table(grid: TableBlock) -> str:
    names = [str(name) for name in grid.table.columns]
    sides = [' class="n"' if name in grid.formats else "" for name in names]
    columns = zip(names, sides, strict=True)
    head = "".join(f'<th scope="col"{side}>{escape(name)}</th>' for name, side in columns)
    body = "\n".join(
        "<tr>" + "".join(_html_cell(c, s) for c, s in zip(row, sides, strict=True)) + "</tr>"
        for row in grid.rows()
    )
    return (
        f'<div class="wide"><table><caption>{escape(grid.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _html_cell(text: str, side: str) -> str:
    kind = ' class="long"' if len(text) > _LONG else side
    return f"<td{kind}>{escape(text)}</td>"


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
body { margin: 0; background: #fbfbfa; color: #2b2b2b;
  font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; }
h2 { margin-top: 2.8rem; padding-bottom: .25rem; border-bottom: 1px solid #d9dcdf; }
p, li { max-width: 46rem; }
nav ul { columns: 16rem 3; padding-left: 1.1rem; }
a { color: #005a8f; }
.warning { padding: .6rem .9rem; border-left: 4px solid #b3261e; background: #fbeceb; }
figure { margin: 1.5rem 0; }
img { width: 100%; height: auto; background: white; }
figcaption, caption { max-width: 46rem; color: #50565c; font-size: .9rem; text-align: left; }
caption { caption-side: top; padding-bottom: .4rem; }
.wide { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; text-align: left; border-bottom: 1px solid #e6e8ea; }
th { border-bottom: 1.5px solid #8a8f94; vertical-align: bottom; }
td { white-space: nowrap; }
td.long { white-space: normal; min-width: 16rem; }
.n { text-align: right; }
tbody tr:hover { background: #f0f3f5; }
"""
