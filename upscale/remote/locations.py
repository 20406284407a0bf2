"""Which paths and URLs may be read: checked before anything is opened."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from fsspec import available_protocols

from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.redaction import redact

#: Schemes of URLs that may be read.
SCHEMES = ("http", "https", "s3", "gs", "az", "file")

#: Hosts that URLs may name, each with all below it ("nasa.gov" allows "e4ftl01.nasa.gov"); for
#: s3, gs and az the names of buckets. None: a person named the location, any host will do.
Hosts = Collection[str] | None

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Files that make a folder a Zarr store.
STORE_FILES = ("zarr.json", ".zmetadata", ".zgroup")

_WEB = ("http", "https")

#: Networks that are not public, although `ipaddress` says so in some version of Python: those for
#: protocols, sites and documentation, the metadata host of a cloud, and IPv4 addresses in IPv6.
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "::/96", "::ffff:0:0:0/96",
         "64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16"),
    )
)  # fmt: skip


def scheme_of(location: str) -> str:
    """The scheme of a URL, "" for a path."""
    return location.partition("://")[0] if "://" in location else ""


def host_of(url: str) -> str:
    """The host of a URL in small letters, "" where there is none."""
    return urlsplit(url).hostname or ""


def name_of(location: str) -> str:
    """The published name of a file, without folders, and safe as the name of a local file."""
    path = urlsplit(location).path if scheme_of(location) in _WEB else location
    last = PurePosixPath(unquote(path) if scheme_of(location) in _WEB else path).name
    safe = re.sub(r"[\x00-\x1f\x7f\\]", "_", last).lstrip(".").encode(errors="replace")
    return safe[:200].decode(errors="ignore") or "file"  # disks count bytes


def is_store(location: str) -> bool:
    """True where the name is that of a Zarr store; stores are read in place."""
    path = urlsplit(location).path if scheme_of(location) in _WEB else location
    return PurePosixPath(path).suffix.startswith(".zarr")


def check_place(location: str, hosts: Hosts = None) -> None:
    """Refuse what is neither a path nor a plain URL of `SCHEMES`, and hosts that are not allowed.

    Raises ArchiveError for another scheme, chained URLs, and for URLs that carry a user.
    """
    scheme = scheme_of(location)
    prefix = location.partition(":")[0] if ":" in location else ""
    other = scheme not in SCHEMES if scheme else prefix in available_protocols()
    if "::" in location or other:
        raise ArchiveError(
            f"{redact(location)}: expected a path or a URL of {', '.join(SCHEMES)}, found another "
            "scheme; fetch the file first"
        )
    if scheme:
        parts = _parts(location)
        if scheme != "file" and hosts is not None:
            _check_host(location, parts, hosts)


def check_location(location: str, hosts: Hosts = None) -> None:
    """`check_place` where a person named the location, else `check_catalogue_url`."""
    if hosts is None:
        check_place(location)
    else:
        check_catalogue_url(location, hosts)


def check_catalogue_url(url: str, hosts: Collection[str]) -> None:
    """Refuse a URL from a catalogue unless it leads to a public, allowed host.

    Allowed are https, s3, gs and az with a host (or bucket) in `hosts`. A host at an address that
    is not public (loopback, private, link-local) must be in `hosts` under its full name; plain
    http is allowed for such hosts only. Raises ArchiveError; RemoteError where the host has no
    address.
    """
    if scheme_of(url) not in ("https", "http", "s3", "gs", "az"):
        raise ArchiveError(f"{redact(url)}: expected https, s3, gs or az in a catalogue, found "
                           "another scheme; do not use this entry")  # fmt: skip
    check_place(url, hosts)
    parts = _parts(url)
    if parts.scheme in _WEB:
        check_addresses(url, listed=_host(parts) in {entry.lower() for entry in hosts})


def check_addresses(url: str, *, listed: bool) -> None:
    """Refuse http(s) to addresses that are not public unless `listed`, and http to public ones."""
    parts = _parts(url)
    public = all(is_public(address) for address in _addresses(url, _host(parts)))
    if not public and not listed:
        raise ArchiveError(
            f"{redact(url)}: expected a host at a public address, found a private or local one; "
            f"name {_host(parts)!r} itself among the allowed hosts if it is yours"
        )
    if public and parts.scheme != "https":
        raise ArchiveError(f"{redact(url)}: expected https, found http; do not use this entry")


def is_public(address: str) -> bool:
    """True for an address of the open internet, also where it is an IPv4 address within IPv6."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return all(
        each.is_global and not each.is_multicast and not any(each in net for net in _NOT_PUBLIC)
        for each in (found, _wrapped(found))
    )


def _wrapped(address: Address) -> Address:
    """The IPv4 address in an IPv6 one (mapped, 6to4, NAT64), else the same."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _parts(url: str) -> SplitResult:
    """A URL in its parts; ArchiveError where it can be read in two ways or carries a user."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for what is no port
    except ValueError:
        raise ArchiveError(f"{redact(url)}: expected a URL, found a broken one") from None
    if "@" in parts.netloc:
        raise ArchiveError(
            f"{redact(url)}: expected credentials in the environment or in .netrc, found them "
            "in the URL; take them out"
        )
    place = url.partition("://")[2].partition("/")[0] if parts.scheme not in _WEB else parts.netloc
    if re.search(r"[\x00-\x1f\x7f\\]", url) or not re.fullmatch(r"[\w.:\[\]-]*", place, re.ASCII):
        raise ArchiveError(f"{redact(url)!r}: expected a plain URL, found characters that no host "
                           "or path has; write them percent-encoded")  # fmt: skip
    if bool(place) == (parts.scheme == "file"):
        raise ArchiveError(f"{redact(url)}: expected scheme://host/path or file:///path")
    return parts


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".").lower()


def _check_host(url: str, parts: SplitResult, hosts: Collection[str]) -> None:
    host = _host(parts)
    entries = [entry.lower() for entry in hosts]
    if not any(host == entry or host.endswith(f".{entry}") for entry in entries if entry):
        raise ArchiveError(
            f"{redact(url)}: expected one of the hosts {', '.join(sorted(entries)) or 'none'}, "
            f"found {host!r}; add it to the allowed hosts if you trust it"
        )


def _addresses(url: str, host: str) -> Sequence[str]:
    """The addresses of a host; none where only a proxy can look them up."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        if getproxies():
            return ()
        raise RemoteError(
            f"{redact(url)}: expected a host that can be found, found no address of {host!r}; "
            "check its name and the network"
        ) from None
    return [str(row[4][0]) for row in found]
