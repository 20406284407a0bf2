"""Errors of archives and of remote files."""

from __future__ import annotations


class ArchiveError(ValueError):
    """A file that cannot be read as what it claims to be: expected X, found Y, do Z."""


class WrongFileError(ArchiveError):
    """A remote file that is not the one that was listed, or not the one that was begun."""


class RemoteError(OSError):
    """A server that does not answer, or does not give what it listed."""
