"""docker/Dockerfile, read instruction by instruction (no engine is needed)."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest


class Instruction(NamedTuple):
    stage: int
    verb: str
    rest: str


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[Instruction]:
    lines = (root / "docker" / "Dockerfile").read_text().splitlines()
    kept = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    stage, found = -1, []
    for line in kept.replace("\\\n", " ").splitlines():
        if line.strip():
            verb, _, rest = line.strip().partition(" ")
            stage += verb == "FROM"
            found.append(Instruction(stage, verb, " ".join(rest.split())))
    return found


@pytest.fixture(scope="module")
def final(instructions: list[Instruction]) -> list[Instruction]:
    return [row for row in instructions if row.stage == instructions[-1].stage]


def rests(rows: list[Instruction], verb: str) -> list[str]:
    return [row.rest for row in rows if row.verb == verb]


def test_the_base_is_pinned(instructions: list[Instruction]) -> None:
    defaults = dict(rest.split("=", 1) for rest in rests(instructions, "ARG"))
    for rest in rests(instructions, "FROM"):
        base = rest.split()[0]
        named = defaults[base[2:-1]] if base.startswith("${") else base
        assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", named)


def test_the_final_stage_has_no_compiler_and_installs_no_package_of_python(
    final: list[Instruction],
) -> None:
    commands = " ".join(rests(final, "RUN"))
    assert not re.search(r"\b(gcc|g\+\+|build-essential|-dev|pip)\b", commands)


def test_it_runs_as_a_user_without_rights(final: list[Instruction]) -> None:
    (user,) = rests(final, "USER")
    assert int(user) > 0
    verbs = [row.verb for row in final]
    assert verbs.index("USER") < verbs.index("ENTRYPOINT")


def test_it_is_the_command_line_and_stops_as_by_ctrl_c(final: list[Instruction]) -> None:
    assert [json.loads(rest) for rest in rests(final, "ENTRYPOINT")] == [["upscale"]]
    assert rests(final, "STOPSIGNAL") == ["SIGINT"]


def test_the_command_starts_while_the_image_is_built(final: list[Instruction]) -> None:
    assert '["upscale", "--help"]' in rests(final, "RUN")


def test_copied_sources_exist_and_reach_the_builder(
    root: Path, instructions: list[Instruction]
) -> None:
    ignore = (root / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in ignore if line.startswith("!")]
    copies = [rest.split() for rest in rests(instructions, "COPY") if "--from" not in rest]
    assert copies
    for source in (source for *sources, _ in copies for source in sources):
        assert (root / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in sent), f"{source}: .dockerignore"


def test_no_secret_is_baked_in(instructions: list[Instruction]) -> None:
    text = " ".join(rests(instructions, "ENV") + rests(instructions, "ARG"))
    assert not re.search(r"(?i)secret|password|token|access_key", text)
