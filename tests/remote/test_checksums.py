"""Checksums as catalogues write them."""

from __future__ import annotations

import hashlib

import pytest

from upscale.remote.checksums import Checksum, hex_checksum, named_checksum

CONTENT = bytes(range(256))


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
def test_multihashes_and_bare_digits_are_read(name: str) -> None:
    code = {"md5": "d501", "sha1": "11", "sha256": "12", "sha512": "13"}[name]
    digest = hashlib.new(name, CONTENT)
    expected = Checksum(name, digest.hexdigest())
    assert hex_checksum(f"{code}{digest.digest_size:02x}{digest.hexdigest()}") == expected
    assert hex_checksum(digest.hexdigest().upper()) == expected


@pytest.mark.parametrize("text", ["", "zz", "abc", "1220ff", "9e00", "ff" * 9])
def test_other_checksums_are_none(text: str) -> None:
    assert hex_checksum(text) is None


def test_checksums_of_the_metadata_repository_are_read() -> None:
    digits = hashlib.md5(CONTENT).hexdigest()
    assert named_checksum({"Algorithm": "MD5", "Value": digits}) == Checksum("md5", digits)
    assert named_checksum({"Algorithm": "SHA-256", "Value": digits}) is None
    assert named_checksum({"Algorithm": "Adler-32", "Value": "0bad"}) is None
    assert named_checksum(None) is None
