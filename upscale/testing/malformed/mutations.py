"""Changes of valid files that get past a first look: the structure stays, and a part is wrong.

Every change is drawn from a `random.Random`, so that a seed gives the same files again.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import yaml

#: Stands in a document for brackets that are nested deeper than any parser descends.
_DEEP, _DEPTH = "put the deep brackets here", 5000

#: What takes the place of a value.
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 10**9, -(10**9), 2**31, 2**63, -(2**63), 10**18,
    10**30, 10**400, 1e308, -1e308, 1e-308, math.nan, math.inf, -math.inf, "", " ", "abc", "0",
    "1e9", "-1", "nan", "1" * 5000, "x" * 100_000, "../../etc/passwd", "a/b", "/", ".", "..",
    "\x00", "\ud7ff\uffff", "é", "Ⅷ", "%s{}{0}", "2012-01-01", "9999-12-31", "0001-01-01",
    "simplecache::file://x", "s3://", [], {}, [[]], [None], [0], [-1, -1], ["a", "a"], {"a": 1},
    {"": {}}, [1] * 10_000, [1e30] * 3, _DEEP,
)  # fmt: skip

#: What takes the place of a number or a word in a text.
_TOKENS = (
    "", "-9999", "nan", "inf", "-inf", "1e400", "1e9", "-1", "0", "999999999999999999999", "abc",
    '"', "'", ",", ";", "\t", "\x00", "é", "=", "(", ")", "((", "20121399", "00000000", "1" * 5000,
    "x" * 100_000,
)  # fmt: skip

Change = Callable[[Path, Random], None]


def change_json(path: Path, random: Random) -> None:
    """A JSON document with one to three wrong parts, or with wrong bytes."""
    if random.random() < 0.1:
        return change_bytes(path, random)
    content = _changed(json.loads(path.read_bytes()), random)
    return _write(path, _deepened(json.dumps(content)))


def change_yaml(path: Path, random: Random) -> None:
    """A YAML document with one to three wrong parts, wrong text or wrong bytes."""
    chance = random.random()
    if chance < 0.1:
        return change_bytes(path, random)
    if chance < 0.25:
        return change_text(path, random)
    content = _changed(yaml.safe_load(path.read_bytes()), random)
    return _write(path, _deepened(yaml.safe_dump(content, sort_keys=False, allow_unicode=True)))


def change_text(path: Path, random: Random) -> None:
    """A text with one to three wrong numbers, words or lines."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for _ in range(random.randint(1, 3)):
        text = changed_text(text, random)
    _write(path, text)


def change_bytes(path: Path, random: Random) -> None:
    """A file with flipped bits, cut, empty, with strange bytes in it, or in another encoding."""
    path.write_bytes(changed_bytes(path.read_bytes(), random))


def change_any(path: Path, random: Random) -> None:
    """The change that fits the name of a file."""
    by_name: dict[str, Change] = {
        ".json": change_json, ".yaml": change_yaml, ".csv": change_text, ".txt": change_text,
        ".jsonl": change_lines, ".safetensors": change_tensors,
    }  # fmt: skip
    by_name.get(path.suffix, change_bytes)(path, random)


def change_lines(path: Path, random: Random) -> None:
    """A file with a JSON document on each line, of which one is wrong."""
    lines = path.read_bytes().splitlines()
    if not lines or random.random() < 0.2:
        return change_bytes(path, random)
    place = random.randrange(len(lines))
    content = _changed(json.loads(lines[place]), random)
    lines[place] = _deepened(json.dumps(content)).encode(errors="surrogatepass")
    path.write_bytes(b"\n".join(lines) + b"\n")
    return None


def change_tensors(path: Path, random: Random) -> None:
    """A safetensors file with a wrong header, or with wrong bytes."""
    content = path.read_bytes()
    if random.random() < 0.2:
        return change_bytes(path, random)
    size = struct.unpack("<Q", content[:8])[0]
    header = _deepened(json.dumps(_changed(json.loads(content[8 : 8 + size]), random))).encode()
    claimed = random.choice([len(header)] * 8 + [0, 1, 2**40, 2**64 - 1, len(content) * 2])
    path.write_bytes(struct.pack("<Q", claimed) + header + content[8 + size :])
    return None


def changed_text(text: str, random: Random) -> str:
    """A text with one wrong number, word or line."""
    if random.random() < 0.3:
        lines = text.split("\n")
        place = random.randrange(len(lines))
        new = random.choice([[], [lines[place]] * 2, [lines[place][: len(lines[place]) // 2]]])
        return "\n".join([*lines[:place], *new, *lines[place + 1 :]])
    tokens = list(re.finditer(r"-?[\w.]+", text))
    if not tokens:
        return text + random.choice(_TOKENS)
    # half of the changes meet the first lines, where the names of columns are
    few = tokens if random.random() < 0.5 else tokens[: max(1, len(tokens) // 50)]
    token = random.choice(few)
    return text[: token.start()] + random.choice(_TOKENS) + text[token.end() :]


def changed_bytes(content: bytes, random: Random) -> bytes:
    """Bytes with one fault."""
    place = random.randrange(len(content) + 1)
    kind = random.randrange(8)
    if kind < 3 and content:
        few = bytearray(content)
        for _ in range(random.choice([1, 1, 4, 64])):
            few[random.randrange(len(few))] ^= 1 << random.randrange(8)
        return bytes(few)
    return [
        lambda: content[:place],
        lambda: content[place:],
        lambda: content[:place] + random.randbytes(random.choice([1, 4, 64])) + content[place:],
        lambda: content[:place] + b"\x00" * 16 + content[place + 16 :],
        lambda: content.decode("latin-1").encode("utf-16"),
    ][max(kind, 3) - 3]()


def _changed(content: Any, random: Random) -> Any:
    """A tree of plain values with one to three wrong parts."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        content = _once(content, random)
    return content


def _once(content: Any, random: Random) -> Any:
    """A tree of plain values with one wrong part: every node is as likely as any other."""
    places = list(_places(content))
    if not places or random.random() < 0.01:
        return deepcopy(random.choice(JUNK))
    inside, key = random.choice(places)
    kind = random.randrange(10)
    if kind < 5:
        inside[key] = deepcopy(random.choice(JUNK))
    elif kind == 5:
        del inside[key]
    elif kind == 6:
        inside[key] = _bent(inside[key], random)
    elif kind == 7:
        other, another = random.choice(places)
        inside[key] = json.loads(json.dumps(other[another], default=str))
    elif kind == 8 and isinstance(inside, dict):
        inside[f"{key}x"] = inside.pop(key)
    elif kind == 9 and isinstance(inside, list):
        inside.append(inside[key])
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a tree, as what holds it and its key there."""
    if isinstance(content, dict | list):
        rows = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in rows:
            yield content, key
            yield from _places(value)


def _bent(value: Any, random: Random) -> Any:
    """A value in another type, or another number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and random.random() < 0.6:
        factor = random.choice([-1, 0, 0.5, 2, 10, 1e9, 1e-9, 1e300])
        return value * factor if abs(value) < 1e300 else value
    return random.choice([[value], {"a": value}, str(value)[:50_000]])


def _deepened(text: str) -> str:
    """A document with the deep brackets where they belong."""
    return re.sub(f"[\"']?{_DEEP}[\"']?", "[" * _DEPTH + "]" * _DEPTH, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
