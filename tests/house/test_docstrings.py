"""What is longer than ten lines says in a line what it does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Longest body of a function that may speak for itself, in lines.
LONGEST = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, before: str = "") -> Iterator[tuple[str, Function]]:
    """Every function and method below a node, with its full name."""
    for child in ast.iter_child_nodes(node):
        name = before
        if isinstance(child, Function | ast.ClassDef):
            name = f"{before}{child.name}."
        if isinstance(child, Function):
            yield name.rstrip("."), child
        yield from functions(child, name)


def body_lines(function: Function) -> int:
    """Lines from the first statement to the last."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def silent(source: str) -> list[str]:
    """Long functions without a docstring."""
    return [
        f"{name}, {body_lines(one)} lines"
        for name, one in functions(ast.parse(source))
        if ast.get_docstring(one) is None and body_lines(one) > LONGEST
    ]


def test_long_functions_have_a_docstring(root: Path) -> None:
    files = sorted((root / "upscale").rglob("*.py"))
    assert len(files) > 200
    found = {str(file.relative_to(root)): silent(file.read_text("utf-8")) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("lines", "text", "found"),
    [(10, "", []), (11, "", ["A.f, 11 lines"]), (11, '"""Says it."""', []), (40, '"""So."""', [])],
)
def test_the_rule_counts_lines_of_the_body(lines: int, text: str, found: list[str]) -> None:
    body = "\n".join(f"        x{i} = {i}" for i in range(lines))
    assert silent(f"class A:\n    def f(self):\n        {text}\n{body}\n") == found
