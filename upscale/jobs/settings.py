"""Files of keys (YAML) read strictly: unknown keys are refused, every fault is named at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

M = TypeVar("M", bound=BaseModel)


class ConfigError(ValueError):
    """A file of keys that cannot be worked with; the message names the key and the remedy."""


class Strict(BaseModel):
    """A section of a file of keys: unknown keys are refused, values do not change.

    The text under a key is its description in the schema, and so in the reference pages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def expand_user(place: str) -> str:
    """A path with `~` expanded; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser())


def absolute(place: str) -> str:
    """A path that workers with another working directory understand; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def digest_of(content: Any) -> str:
    """sha256 of plain values as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_yaml(path: Path, overrides: Sequence[str], kind: str) -> dict[str, Any]:
    """The keys of a YAML file with `key=value` overrides; ConfigError where it is none.

    kind: what the file should be, in words.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of {kind}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected the keys of {kind}, found none")
    for override in overrides:
        _override(content, override)
    return content


def parse(model: type[M], content: dict[str, Any], failing: str) -> M:
    """A model of plain values; ConfigError names every fault after the words of `failing`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(map(str, fault['loc'])) or model.__name__.lower()}: {_advice(fault)}"
            for fault in error.errors()
        )
        raise ConfigError(f"{failing}:\n{faults}") from None


def _advice(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if fault["type"] == "missing":
        return "this key is required; add it"
    return f"{fault['msg']} (found {fault['input']!r})"


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"expected key=value, found {override!r}")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{override!r}: {parent} holds a value, not keys")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML: {error}") from None
