"""Checksums as catalogues write them, and those of local files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Codes of multihash (https://github.com/multiformats/multicodec) and the names of hashlib.
_MULTIHASH = {0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0xD5: "md5"}
_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class Checksum:
    """The checksum that a file must have: an algorithm of hashlib, and hexadecimal digits."""

    algorithm: str
    digits: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digits}"

    def of(self, path: Path) -> Checksum:
        """The checksum of a local file by the same algorithm."""
        return Checksum(self.algorithm, digits_of(path, self.algorithm))


def digits_of(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a local file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def named_checksum(entry: Mapping[str, Any] | None) -> Checksum | None:
    """A checksum as the Common Metadata Repository gives it: Algorithm and Value."""
    entry = entry or {}
    algorithm = str(entry.get("Algorithm", "")).lower().replace("-", "")
    digits = str(entry.get("Value", "")).lower()
    return _checked(algorithm, digits)


def hex_checksum(text: str) -> Checksum | None:
    """A checksum in hexadecimal: a multihash (STAC), or the bare digits of a usual one.

    None where no algorithm of this module computes it.
    """
    text = text.lower()
    if not re.fullmatch(r"(?:[0-9a-f]{2})+", text):
        return None
    bare = _BY_LENGTH.get(len(text))
    return _multihash(bytes.fromhex(text)) or (_checked(bare, text) if bare else None)


def _multihash(content: bytes) -> Checksum | None:
    code, rest = _varint(content)
    size, digest = _varint(rest)
    if len(digest) != size:
        return None
    return _checked(_MULTIHASH.get(code, ""), digest.hex())


def _varint(content: bytes) -> tuple[int, bytes]:
    value = 0
    for place, byte in enumerate(content[:9]):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, content[place + 1 :]
    return -1, b""


def _checked(algorithm: str, digits: str) -> Checksum | None:
    right = algorithm in _MULTIHASH.values() and _BY_LENGTH.get(len(digits)) == algorithm
    return Checksum(algorithm, digits) if right and re.fullmatch("[0-9a-f]+", digits) else None
