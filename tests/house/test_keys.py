"""The tables of keys in the reference: every key, its default and its meaning, from the schema."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from upscale.engine.config import Run
from upscale.ingest.config import Ingest
from upscale.training.config import TrainConfig

FILES = [Run, Ingest, TrainConfig]


@pytest.fixture(scope="module")
def keys(root: Path) -> Iterator[ModuleType]:
    """The script that makes the tables."""
    sys.path.insert(0, str(root / "docs"))
    import keys

    yield keys
    sys.path.remove(str(root / "docs"))


def inside(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in getattr(annotation, "__args__", ()) for one in inside(part)]


def leaves(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Any]]:
    """Full name of every key that holds a value, and the field behind it."""
    for name, field in model.model_fields.items():
        sections = inside(field.annotation)
        for one in sections:
            yield from leaves(one, f"{before}{name}.")
        if not sections:
            yield before + (field.alias or name), field


@pytest.mark.parametrize("model", FILES, ids=lambda model: model.__name__)
def test_every_key_stands_in_the_tables_with_its_meaning(
    keys: ModuleType, model: type[BaseModel]
) -> None:
    rows = [row for section in keys.sections(model) for row in section.rows]
    assert {name for name, _ in leaves(model)} <= {row.key for row in rows}
    assert [row.key for row in rows if not row.meaning.endswith(".")] == []
    assert [row.key for row in rows if not row.value] == []


@pytest.mark.parametrize("model", FILES, ids=lambda model: model.__name__)
def test_a_default_is_the_one_that_a_file_gets_without_the_key(
    keys: ModuleType, model: type[BaseModel]
) -> None:
    rows = [row for section in keys.sections(model) for row in section.rows]
    shown = {(row.key, row.default.strip("`")) for row in rows}
    for key, field in leaves(model):
        values = [value for name, value in shown if name == key]
        if field.is_required():
            assert "required" in values, key
        elif not key.endswith("_stage.epochs"):
            default = field.get_default(call_default_factory=True)
            plain = list(default) if isinstance(default, tuple) else default
            assert plain in [yaml.safe_load(value) for value in values], key


def test_a_section_shows_the_defaults_that_it_has_where_it_is_left_out(keys: ModuleType) -> None:
    shown = {row.key: row.default for s in keys.sections(TrainConfig) for row in s.rows}
    for stage in ("decoder_stage", "joint_stage"):
        given = TrainConfig.model_fields[stage].default
        assert shown[f"{stage}.epochs"] == f"`{given.epochs}`"
    assert shown["decoder_stage.epochs"] != shown["joint_stage.epochs"]


def test_links_to_sections_lead_to_headings(keys: ModuleType) -> None:
    for model in FILES:
        text = keys.key_tables(model)
        headings = re.findall(r"\{ #([\w-]+) \}", text)
        assert len(headings) == len(set(headings))
        assert set(re.findall(r"\]\(#([\w-]+)\)", text)) == set(headings)


@pytest.mark.parametrize("page", ["run-yaml", "ingest-yaml", "train-yaml"])
def test_the_pages_name_the_schema_that_reads_their_file(root: Path, page: str) -> None:
    text = (root / "docs" / "reference" / f"{page}.md").read_text()
    (named,) = re.findall(r"^<!-- keys: (\S+) -->$", text, re.MULTILINE)
    module, name = named.split(":")
    assert getattr(import_module(module), name) in FILES
    assert f"`{name}` in `{module.replace('.', '/')}.py`" in " ".join(text.split())
