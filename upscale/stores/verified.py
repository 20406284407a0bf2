"""A Zarr store that gives only what was sealed.

Every object that its manifest lists is read whole and its digest compared; what is not listed is
not there, and is never asked for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.storage import WrapperStore

from upscale.stores.manifest import Fault, Manifest, verified

#: The metadata of the root, which holds the seal and cannot be listed in it.
_ROOT = "zarr.json"


class VerifiedStore(WrapperStore[Store]):  # type: ignore[misc]  # zarr is not looked into
    """Reads the objects of `manifest` from `store`.

    where: URL or path of the store, for messages; fault: makes the exception that is raised where
    an object is lost, cut or changed.
    """

    def __init__(self, store: Store, manifest: Manifest, where: str, fault: Fault) -> None:
        super().__init__(store)
        self._manifest, self._where, self._fault = manifest, where, fault

    def _with_store(self, store: Store) -> VerifiedStore:
        return type(self)(store, self._manifest, self._where, self._fault)

    async def get(self, key: str, prototype: Any, byte_range: ByteRequest | None = None) -> Any:
        """The whole object, or a part of it; None where the manifest lists none."""
        if key == _ROOT:
            return await self._store.get(key, prototype, byte_range)
        expected = self._manifest.digest(key)
        if expected is None:
            return None
        found = await self._store.get(key, prototype)
        content = None if found is None else found.as_numpy_array()
        verified(f"{self._where}/{key}", content, expected, self._fault)
        assert found is not None
        return found if byte_range is None else found[_slice(byte_range, len(found))]

    async def get_partial_values(
        self,
        prototype: Any,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Any]:
        """Parts of objects, each from the whole."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def _get_many(
        self, requests: Iterable[tuple[str, Any, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Any], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)

    async def exists(self, key: str) -> bool:
        """Whether the manifest lists an object."""
        return key == _ROOT or self._manifest.digest(key) is not None

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names of groups and arrays in a group, from the manifest: nothing is asked for."""
        for name in self._manifest.children(prefix):
            yield name


def _slice(part: ByteRequest, size: int) -> slice:
    """The bytes that are asked for of an object."""
    if isinstance(part, RangeByteRequest):
        return slice(part.start, part.end)
    if isinstance(part, OffsetByteRequest):
        return slice(part.offset, size)
    assert isinstance(part, SuffixByteRequest)
    return slice(max(0, size - part.suffix), size)
