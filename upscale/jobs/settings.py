"""YAML read strictly: unknown keys are refused, and all faults are named at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from upscale.stores.broken import BROKEN, in_short
from upscale.stores.location import check_store_place, is_url

M = TypeVar("M", bound=BaseModel)

#: What the parser raises: also for bytes of another encoding, numbers of thousands of digits and
#: brackets thousands deep.
_NO_YAML = (yaml.YAMLError, ValueError, RecursionError)

#: Faults that are listed, and characters of a key in them: a longer list helps nobody.
_MOST_FAULTS, _MOST_KEY = 20, 60

#: Shows what was found in a part of a line, however long or deep it is.
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 100


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the remedy."""


class Strict(BaseModel):
    """A section of a configuration: unknown keys are refused, and its values never change.

    The text under a key is its description in the schema, and so in the reference pages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def expand_user(place: str) -> str:
    """A path with `~` expanded; a URL as it is. ValueError for what is neither."""
    try:
        return place if is_url(place) else str(Path(check_store_place(place)).expanduser())
    except RuntimeError:
        raise ValueError(f"{place[:200]!r}: expected a home folder, found none") from None


def absolute(place: str) -> str:
    """A path that workers with another working directory understand; a URL as it is."""
    return place if is_url(place) else str(Path(place).expanduser().absolute())


#: Made once: `json.dumps` would make one for each of the thousands of items of a plan.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def digest_of(content: Any) -> str:
    """sha256 of plain values as canonical JSON."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


def read_yaml(path: Path, overrides: Sequence[str], kind: str) -> dict[str, Any]:
    """The keys of a YAML file with `key=value` overrides, dots for nested keys, values in YAML.

    kind: what the file should be, in words. ConfigError where the file is not there, is not YAML
    or holds no keys, and where an override cannot be applied.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of {kind}") from None
    except _NO_YAML as error:
        raise ConfigError(f"{path} is not YAML: {str(error)[:500]}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected the keys of {kind}, found none")
    return with_overrides(content, overrides)


def with_overrides(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Keys with `key=value` overrides; ConfigError where one cannot be applied."""
    for override in overrides:
        _override(content, override)
    return content


def parse(model: type[M], content: dict[str, Any], failing: str) -> M:
    """A model of plain values; ConfigError names every fault after the words of `failing`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [_fault(fault) for fault in error.errors(include_url=False)]
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        listed = "\n".join(f"  {fault}" for fault in [*faults[:_MOST_FAULTS], *more])
        raise ConfigError(f"{failing}:\n{listed}") from None
    except BROKEN as error:
        raise ConfigError(f"{failing}: a key has a value of another type: {in_short(error)}") from (
            error
        )


def _fault(fault: Any) -> str:
    """One fault in a line: the key, what is wrong with it, and what was found."""
    key = ".".join(str(part)[:_MOST_KEY] for part in fault["loc"])
    return f"{key}: {_advice(fault)}" if key else _advice(fault)


def _advice(fault: Any) -> str:
    """What is wrong; where a section as a whole is, its keys are not printed once more."""
    if fault["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if fault["type"] == "missing":
        return "this key is required; add it"
    text = str(fault["msg"]).removeprefix("Value error, ")[:600]
    return (
        text
        if isinstance(fault["input"], dict)
        else f"{text} (found {_SHORT.repr(fault['input'])})"
    )


def _override(content: dict[str, Any], override: str) -> None:
    """Put the value of `key=value` under its key, in a section that is made where missing."""
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"expected key=value, found {override!r}; nested keys have dots")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{override!r}: {parent} holds a value, not keys; set {parent}=...")
    try:
        place[last] = yaml.safe_load(text)
    except _NO_YAML as error:
        raise ConfigError(f"{override[:200]!r}: the value is not YAML: {error}") from None
