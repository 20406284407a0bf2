"""Connections that are closed where a name has led to an address that is not public."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from upscale.remote.errors import ArchiveError
from upscale.remote.locations import is_public


def _require_public(connection: HTTPConnection) -> None:
    """Close a connection that a name has led elsewhere since it was checked."""
    address = str(connection.sock.getpeername()[0]) if connection.sock is not None else ""
    if not is_public(address):
        connection.close()
        raise ArchiveError(f"{connection.host}: expected a public address, found {address}")


class _PublicHTTP(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _require_public(self)


class _PublicHTTPS(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _require_public(self)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class PublicAdapter(HTTPAdapter):
    """Connections to public addresses alone; a proxy, which looks names up itself, is believed."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
