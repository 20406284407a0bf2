"""Connections that are closed at once where a host turns out to have no public address."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from upscale.remote.errors import ArchiveError
from upscale.remote.locations import is_public


def _require_public(connection: HTTPConnection) -> None:
    """Close a connection to an address that is not public: names may change after their check."""
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
    """Connects to public addresses only; a proxy, which looks names up itself, is trusted."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
