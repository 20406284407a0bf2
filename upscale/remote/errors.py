"""What goes wrong with files of others: they are not what they say, or cannot be had."""

from __future__ import annotations


class ArchiveError(ValueError):
    """A file that cannot be read as what it says it is: expected X, found Y, do Z."""


class RemoteError(OSError):
    """A server that does not answer, or does not give what it listed."""
