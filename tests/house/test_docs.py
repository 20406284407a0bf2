"""What the documents say is run: YAML, Python, command lines, keys, links, figures of skill."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml

from upscale.commands import COMMANDS, make_app
from upscale.engine.config import parse_run
from upscale.grid import load_grid
from upscale.ingest.config import parse_ingest
from upscale.planet import write_planet
from upscale.product.cube import consolidate
from upscale.testing.flux_cubes import MADE_UNCERTAINTY, make_flux_cube, small_layout
from upscale.training.config import TrainConfig

FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)\s]*)\)|<img [^>]*src=\"(?!\w+:)([^\"]+)\"")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: str
    language: str
    text: str


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "docker" / "README.md"])


def blocks(*languages: str) -> list[Block]:
    return [
        Block(str(path.relative_to(ROOT)), language, text)
        for path in documents()
        for _, language, text in FENCE.findall(path.read_text())
        if language in languages
    ]


def named(found: list[Block]) -> list[Any]:
    return [pytest.param(b, id=f"{b.document}-{i}") for i, b in enumerate(found)]


@pytest.fixture(scope="module")
def smallest() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "run.yaml").read_text())
    return content


@pytest.mark.parametrize("block", named(blocks("yaml")))
def test_yaml_is_accepted_by_the_model_it_is_written_for(
    block: Block, smallest: dict[str, Any]
) -> None:
    content = yaml.safe_load(block.text)
    if "features" in content or "data" in content:
        assert TrainConfig.model_validate(content)
    elif "cube" in content:
        assert parse_ingest(content, block.document)
    else:  # a part of a RUN.yaml stands for the smallest one with it
        assert parse_run(smallest | content, block.document)


def test_the_readme_shows_the_smallest_run(smallest: dict[str, Any]) -> None:
    shown = [yaml.safe_load(b.text) for b in blocks("yaml") if b.document == "README.md"]
    assert smallest in shown


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a flux cube and a driver cube in it, as a run leaves them."""
    folder = tmp_path_factory.mktemp("results")
    store = str(folder / "fluxes.zarr")
    year = small_layout(dt.date(2012, 1, 1), dt.date(2012, 12, 31))
    make_flux_cube(store, year, uncertainty=MADE_UNCERTAINTY)
    consolidate(store)
    grid = load_grid("global-1p0").crop(slice(40, 52), slice(185, 199))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    write_planet(str(folder / "drivers.zarr"), grid, load_grid("nodes-2p0"), period, tile=5)
    return folder


@pytest.mark.parametrize("document", sorted({b.document for b in blocks("python")}))
def test_python_runs_from_top_to_bottom(
    document: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if block.document == document:
            exec(compile(block.text, document, "exec"), names)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Document and words of every line that calls upscale, also inside a longer command."""
    for block in blocks("sh", "bash", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            starts = [i for i, word in enumerate(words) if word == "upscale"]
            if starts and "build" not in words:
                called = words[starts[-1] + 1 :]
                yield block.document, called[: called.index(">") if ">" in called else None]


@pytest.mark.parametrize(
    "words", [pytest.param(w, id=f"{d}: {' '.join(w)}"[:70]) for d, w in command_lines()]
)
def test_command_lines_name_commands_and_options_that_exist(words: list[str]) -> None:
    app = typer.main.get_command(make_app(list(COMMANDS)))
    if words == ["--help"]:
        return
    command = app.commands.get(words[0])  # type: ignore[attr-defined]
    assert command is not None, f"no command {words[0]}; known: {', '.join(COMMANDS)}"
    command.make_context(words[0], list(words[1:]))  # raises where an argument does not fit


def test_make_targets_in_documents_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = re.findall(r"(?:^|`)(?:\w+=\S+ )?make ([a-z]+)", "\n".join(
        path.read_text() for path in documents()), re.MULTILINE)  # fmt: skip
    assert used
    assert set(used) <= set(targets)


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in documents()]
)
def test_links_and_pictures_lead_to_files_of_the_repository(
    path: Path, tracked: list[Path]
) -> None:
    for one, other in LINK.findall(path.read_text()):
        name, _, anchor = (one or other).partition("#")
        target = (path.parent / name).resolve() if name else path
        inside = target.relative_to(ROOT)
        assert target.is_dir() or inside in tracked, f"{path}: no {name}"
        if anchor:
            assert anchor in anchors(target), f"{path}: no section {anchor} in {inside}"


def test_figures_of_skill_in_the_readme_are_those_of_the_shipped_release() -> None:
    skill = pd.read_csv(ROOT / "models" / "tamrl-v2" / "skill.csv")
    skill = skill[skill["split"] == "cross-validation"]
    named = {
        "TAM-RL": "tamrl",
        "XGBoost": "xgboost",
        "LightGBM": "lightgbm",
        "mean seasonal cycle": "seasonal-cycle",
    }
    rows = re.findall(
        rf"^\| ({'|'.join(named)}) \| (GPP|RECO|NEE) \| ([\d.]+) \| (-?[\d.]+) \|",
        (ROOT / "README.md").read_text(), re.MULTILINE,
    )  # fmt: skip
    assert len(rows) == 12
    for model, flux, rmse, r2 in rows:
        part = skill[(skill["model"] == named[model]) & (skill["flux"] == flux.lower())]
        assert f"{part['rmse'].mean():.2f}" == rmse, (model, flux)
        assert f"{part['r2'].median():.2f}" == r2, (model, flux)
