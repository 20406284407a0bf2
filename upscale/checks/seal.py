"""The seal over a finished store: what a run has written beside its work items, and their entries.

A digest in the ledger guards the arrays of a work item. The seal guards all else: root attributes,
the metadata of every array, static layers, axes and their bounds, and the ledger itself. It lies
with the ledger, where no reader of Zarr stumbles on it; the store names it by its digest, in the
attribute `seal`, so that neither can be exchanged alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import zarr

from upscale.checks.metadata import item_arrays
from upscale.checks.piece import UNREADABLE, extent
from upscale.checks.report import Check, repair, verdict
from upscale.jobs.ledger import Ledger, Status
from upscale.jobs.settings import digest_of
from upscale.product.cube import open_flux_group
from upscale.product.growth import IN_THE_MAKING
from upscale.product.layout import item_from_id
from upscale.product.reader import FluxCube, open_flux_cube
from upscale.stores.arrays import values_digest
from upscale.stores.documents import read_documents, read_root

#: Name of the object beside the ledger's entries.
SEAL = "seal.json"
#: Root attribute that names the seal of a store.
NAMED = "seal"
#: Version of the form of the seal.
FORM = 1

#: Root attributes that may differ from the seal: they tell when the store was made or changed, not
#: what is in it. So one run gives one seal, whenever it is made.
MAY_CHANGE = frozenset(("complete", "date_created", "date_modified", "history", NAMED))
#: Root attributes that no seal holds.
_UNSEALED = MAY_CHANGE | frozenset(IN_THE_MAKING)

#: What stands for the digest of an array that cannot be read, and of one that is not there.
UNREADABLE_VALUES, NO_ARRAY = "unreadable", "missing"


class SealedEntry(Protocol):
    """What the seal takes from the ledger entry of a work item."""

    @property
    def item(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def release(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def identity(self) -> str: ...
    @property
    def digests(self) -> dict[str, str]: ...
    @property
    def totals(self) -> dict[str, list[list[float]]]: ...


def seal_store(
    store: str, ledger: Ledger[Any], entries: Mapping[str, SealedEntry] | None = None
) -> str:
    """Write the seal of a store; returns its digest, for the attribute `seal`.

    entries: the ledger entries of all work items; None as long as the store is not finished.
    """
    seal = make_seal(store, entries)
    ledger.write_object(SEAL, seal)
    return digest_of(seal)


def make_seal(store: str, entries: Mapping[str, SealedEntry] | None) -> dict[str, Any]:
    """What the seal of a store says, as plain values.

    attributes: of the root; metadata: the document of every array; values: a digest of every array
    that no work item writes; entries: a digest for each work item, None in a store that is not
    finished.
    """
    cube = open_flux_cube(store)
    documents = read_documents(store)
    return {
        "form": FORM,
        "attributes": sealed_attributes(store),
        "metadata": documents,
        "values": {name: digest_of_array(cube.group, name) for name in _kept(cube, documents)},
        "entries": None if entries is None else _digests(entries),
    }


def _digests(entries: Mapping[str, SealedEntry]) -> dict[str, str]:
    return {name: digest_of_entry(entry) for name, entry in sorted(entries.items())}


def sealed_attributes(store: str) -> dict[str, Any]:
    """The root attributes that the seal guards."""
    attributes = read_root(store).get("attributes", {})
    return {key: value for key, value in attributes.items() if key not in _UNSEALED}


def _kept(cube: FluxCube, names: Iterable[str]) -> list[str]:
    """Arrays that no work item writes."""
    return sorted(set(names) - set(item_arrays(cube)))


def digest_of_array(group: zarr.Group, name: str) -> str:
    """sha256 of all values in C order; `unreadable` where they cannot be read, `missing` where
    there is no such array."""
    if name not in group:
        return NO_ARRAY
    try:
        return values_digest(group[name])
    except UNREADABLE:
        return UNREADABLE_VALUES


def digest_of_entry(entry: SealedEntry) -> str:
    """What makes an entry the one of its item: its end, its arrays, its totals, its origin."""
    made = [entry.release, entry.version, entry.revision, entry.identity]
    return digest_of([entry.item, entry.status, made, entry.digests, entry.totals])[:32]


def read_seal(store: str, ledger: Ledger[Any]) -> tuple[dict[str, Any] | None, str]:
    """The seal of a store, and what is wrong with it: empty where nothing is.

    None without a fault where a store was finished by a version that made no seals.
    """
    named = open_flux_group(store).attrs.get(NAMED)
    seal = ledger.read_object(SEAL)
    if named is None:
        return None, "" if seal is None else "the store does not name the seal of its ledger"
    if seal is None:
        return None, f"the store names a seal that is not in {ledger.url}"
    if digest_of(seal) != named:
        return None, f"{ledger.url}/{SEAL} is not the one that the store names"
    return dict(seal), ""


def seal_faults(
    store: str, ledger: Ledger[Any], entries: Mapping[str, SealedEntry]
) -> Iterator[Check]:
    """Checks of a store against its seal; one that was never sealed says so and passes."""
    yield _agreement(store, entries)
    seal, fault = read_seal(store, ledger)
    if seal is None:
        found = fault or "none: it was finished by a version that made none; attributes, static "
        found += "" if fault else "layers and axes are not guarded"
        yield Check("seal", not fault, found, _unsealed(store), told=True)
        return
    sealed = seal["entries"]
    count = "no entries before it is finished" if sealed is None else f"{len(sealed)} entries"
    yield Check("seal", True, f"{len(seal['metadata'])} arrays, {count}")
    yield from _fixed(store, seal)
    if sealed is not None:
        yield _entries(open_flux_cube(store), sealed, entries)


def altered(store: str, ledger: Ledger[Any]) -> list[str]:
    """What of a store is not as its run left it, besides the values of work items and the number of
    its revision; empty where nothing is, and where the run was one of a version that made no seal
    before the end."""
    seal, fault = read_seal(store, ledger)
    if seal is None:
        return [fault] if fault else []
    number = open_flux_group(store).attrs.get("revision")
    known = seal["attributes"] | ({} if number is None else {"revision": number})
    seal = seal | {"attributes": known}
    return [check.found for check in _fixed(store, seal) if not check.passed]


def _fixed(store: str, seal: Mapping[str, Any]) -> Iterator[Check]:
    """Checks of all that no work item writes."""
    yield _attributes(store, seal["attributes"])
    yield _metadata(store, seal["metadata"])
    yield _layers(open_flux_cube(store), seal["values"])


def _unsealed(store: str) -> str:
    return f"{repair(store)}, which seals it again where all work items are whole"


def _attributes(store: str, sealed: dict[str, Any]) -> Check:
    found = sealed_attributes(store)
    good, faults = f"{len(sealed)} attributes of the root as sealed", _differences(sealed, found)
    return verdict("attributes", [*faults, *_left_over(store)], good, repair(store))


def _left_over(store: str) -> list[str]:
    """Attributes of a revision in the making in a store that is finished."""
    attributes = read_root(store).get("attributes", {})
    left = [name for name in IN_THE_MAKING if name in attributes and attributes.get("complete")]
    return [f"{name} is there, and the store is finished" for name in left]


def _differences(sealed: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(sealed.keys() | found.keys()):
        if key not in found:
            yield f"{key} is gone, sealed as {_short(sealed[key])}"
        elif key not in sealed:
            yield f"{key} = {_short(found[key])} was not there"
        elif found[key] != sealed[key]:
            yield f"{key} is {_short(found[key])}, sealed as {_short(sealed[key])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _metadata(store: str, sealed: dict[str, Any]) -> Check:
    """Every array with the metadata that it was sealed with, named down to the attribute."""
    found, faults = read_documents(store), []
    for name in sorted(sealed.keys() | found.keys()):
        old, new = sealed.get(name), found.get(name)
        if old is None or new is None:
            faults.append(f"{name} {'was not there' if old is None else 'is gone'}")
        else:
            faults += [f"{name}: {text}" for text in _differences(_flat(old), _flat(new))]
    return verdict("metadata", faults, f"{len(sealed)} arrays as sealed", repair(store))


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with its attributes beside its other keys."""
    rest = {key: value for key, value in document.items() if key != "attributes"}
    return rest | dict(document.get("attributes", {}))


def _layers(cube: FluxCube, sealed: dict[str, str]) -> Check:
    words = {NO_ARRAY: "is gone", UNREADABLE_VALUES: "cannot be read"}
    faults = [
        f"{name} {words.get(found, 'holds other values than were sealed')}"
        for name, digest in sealed.items()
        if (found := digest_of_array(cube.group, name)) != digest
    ]
    good = f"{len(sealed)} static layers, axes and bounds as sealed"
    return verdict("fixed", faults, good, repair(cube.url))


def _entries(cube: FluxCube, sealed: dict[str, str], entries: Mapping[str, SealedEntry]) -> Check:
    """Every entry of the ledger is the one that was sealed; an item without one is named by the
    check of the ledger."""
    bad = [name for name, entry in entries.items() if sealed.get(name) != digest_of_entry(entry)]
    faults = (f"entry {name} ({extent(cube.layout, item_from_id(name))})" for name in bad)
    check = verdict("entries", faults, f"{len(sealed)} entries as sealed", repair(cube.url), bad)
    return check


def _agreement(store: str, entries: Mapping[str, SealedEntry]) -> Check:
    """All work items are done, by one release, and those of one revision by one version of the
    code: a store outlives versions."""
    ended = [name for name, entry in entries.items() if entry.status != "done"]
    faults = [f"{name} is {entries[name].status}, in a file that says it is done" for name in ended]
    bad = set(ended)
    releases = {name: entry.release for name, entry in entries.items()}
    odd = dict(_odd("release", releases))
    for revision in sorted({entry.revision for entry in entries.values()}):
        same = {n: e.version for n, e in entries.items() if e.revision == revision}
        odd |= dict(_odd("version", same))
    good = f"{len(entries)} work items of one release, each revision of one version"
    return verdict("agreement", [*faults, *odd.values()], good, repair(store), {*bad, *odd})


def _odd(key: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Items whose value is not the one that most have, and what is to be said of them."""
    most = max(set(values.values()), key=list(values.values()).count, default="")
    for name, value in values.items():
        if value != most:
            yield name, f"{name} is of {key} {value[:16]}, others of {most[:16]}"
