"""Tables of the keys of a YAML file, made from the schema that reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

TABLE = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
PLAIN = {"boolean": "true or false", "string": "text", "integer": "whole number", "null": ""}


@dataclass(frozen=True)
class Row:
    """A key by its full name: what it may hold, its default, and what it means."""

    key: str
    value: str
    default: str
    meaning: str

    def __str__(self) -> str:
        return f"| `{self.key}` | {self.value} | {self.default} | {self.meaning} |"


@dataclass(frozen=True)
class Section:
    """The keys of one model. `kind` tells models apart that may stand under one key."""

    name: str
    kind: str
    text: str
    rows: list[Row] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return "-".join(filter(None, (self.name, self.kind))).replace(".", "-")

    def __str__(self) -> str:
        title = f"`{self.name}`" + (f" from `{self.kind}`" if self.kind else "")
        head = f"## {title} {{ #{self.anchor} }}\n\n{self.text}\n\n" if self.name else ""
        return head + TABLE + "\n".join(map(str, self.rows)) + "\n"


def key_tables(model: type[BaseModel]) -> str:
    """One table for the keys of a model, and one for each section in it, as Markdown."""
    return "\n".join(map(str, sections(model)))


def sections(
    model: type[BaseModel], name: str = "", kind: str = "", given: BaseModel | None = None
) -> Iterator[Section]:
    """The keys of a model and then, section by section, those inside them.

    given: the values that a section has where it is left out.
    """
    shown = Section(name, kind, " ".join((model.__doc__ or "").split()))
    inside: list[Iterator[Section]] = []
    schema = model.model_json_schema()["properties"]
    for attribute, one in model.model_fields.items():
        key = ".".join(filter(None, (name, one.alias or attribute)))
        default = _default_of(one, attribute, given)
        below = [
            (inner, _kind(inner), default if isinstance(default, inner) else None)
            for inner in _models(one.annotation)
        ]
        links = [Section(key, kind, "").anchor for _, kind, _ in below]
        words = _either([f"[its keys](#{link})" for link in links])
        value = words or _words(schema[one.alias or attribute])
        meaning = " ".join((one.description or "").split())
        shown.rows.append(Row(key, value, _shown(default, section=bool(below)), meaning))
        inside += [sections(inner, key, kind, usual) for inner, kind, usual in below]
    yield shown
    for parts in inside:
        yield from parts


def _kind(model: type[BaseModel]) -> str:
    """The value of `from`, where a model has this key."""
    return str(model.model_json_schema()["properties"].get("from", {}).get("const", ""))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation, those in a list or a union among them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inside = (one for part in getattr(annotation, "__args__", ()) for one in _models(part))
    return list(dict.fromkeys(inside))


def _default_of(one: FieldInfo, attribute: str, given: BaseModel | None) -> Any:
    return (
        one.get_default(call_default_factory=True) if given is None else getattr(given, attribute)
    )


def _shown(default: Any, section: bool) -> str:
    """A default as it would stand in the file; empty for a section, whose keys have their own."""
    if default is PydanticUndefined:
        return "required"
    if section:
        return "" if isinstance(default, BaseModel) else "none"
    plain = json.loads(json.dumps(default, default=str))
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _words(schema: dict[str, Any]) -> str:
    """What a value may be: "whole number (1 to 1000) or `auto`"."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _either([f"`{value}`" for value in schema["enum"]])
    if "anyOf" in schema:
        return _either([_words(one) for one in schema["anyOf"]])
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'])}"
    if schema.get("type") == "object":
        return "names with texts"
    if schema.get("format") in ("date", "path"):
        return str(schema["format"])
    plain = PLAIN.get(schema["type"], schema["type"])
    bounds = _bounds(schema)
    return f"{plain} ({bounds})" if bounds else str(plain)


def _either(words: list[str]) -> str:
    words = [word for word in words if word]
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    marks = {"minimum": "from", "maximum": "up to", "exclusiveMinimum": "above",
             "exclusiveMaximum": "below"}  # fmt: skip
    return ", ".join(f"{word} {schema[key]:g}" for key, word in marks.items() if key in schema)
