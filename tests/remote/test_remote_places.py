"""Places that may be read, those that are refused, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.http import token_for
from upscale.remote.locations import (
    check_addresses,
    check_catalogue_url,
    check_place,
    is_public,
    is_store,
    name_of,
)


@pytest.mark.parametrize(
    "place",
    ["a.hdf", "/data/2020/*.hdf", "file:///data/a.hdf", "http://h/a.hdf", "https://h:8443/a b.hdf",
     "s3://bucket/a?.hdf", "gs://b_1/x", "az://container/x", "C3:12.hdf"],
)  # fmt: skip
def test_paths_and_plain_urls_may_be_read(place: str) -> None:
    check_place(place)


@pytest.mark.parametrize(
    "place",
    ["reference://x.json", "simplecache::s3://b/k", "simplecache:x", "memory://x", "data:,x",
     "ftp://h/x.hdf", "zip://a.hdf::https://h/b.zip", "github://a:b@c/d", "local://x",
     "filecache://s3://b/k", "dask::s3://b/k", "S3://b/k", "javascript://x"],
)  # fmt: skip
def test_other_schemes_and_chained_urls_are_refused(place: str) -> None:
    with pytest.raises(ArchiveError, match="found another scheme"):
        check_place(place)


@pytest.mark.parametrize(
    "place",
    ["https://good.org\\@evil.org/x", "https://good.org\n.evil.org/x", "https://good.org /x",
     "https://gооd.org/x", "https:///x", "file://host/x", "https://h:port/x", "s3:///key"],
)  # fmt: skip
def test_urls_that_may_be_read_in_two_ways_are_refused(place: str) -> None:
    with pytest.raises(ArchiveError, match="expected"):
        check_place(place)


def test_credentials_in_a_url_are_refused_and_not_shown() -> None:
    with pytest.raises(ArchiveError, match=r"\.netrc") as error:
        check_place("https://me:geheim@h/x.hdf")
    assert "geheim" not in str(error.value)
    assert "me" not in str(error.value).split("://")[1].split("/")[0]


HOSTS = ("nasa.gov", "lp-prod-protected", "8.8.8.8")


@pytest.mark.parametrize("url", ["s3://lp-prod-protected/a.hdf", "https://8.8.8.8/a.hdf"])
def test_a_catalogue_may_name_allowed_hosts_and_buckets(url: str) -> None:
    check_catalogue_url(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    ["https://evilnasa.gov/a", "https://nasa.gov.evil.org/a", "https://evil.org/nasa.gov",
     "s3://lp-prod-protected.evil/a", "https://evil.org#.nasa.gov", "https://evil.org?.nasa.gov"],
)  # fmt: skip
def test_a_catalogue_may_not_name_hosts_that_only_look_allowed(url: str) -> None:
    with pytest.raises(ArchiveError, match="expected one of the hosts"):
        check_catalogue_url(url, HOSTS)


@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "a.hdf", "ftp://nasa.gov/a"])
def test_a_catalogue_may_not_name_files_of_this_machine(url: str) -> None:
    with pytest.raises(ArchiveError, match="expected https, s3, gs or az"):
        check_catalogue_url(url, HOSTS)


def test_http_is_for_listed_hosts_of_our_own_alone() -> None:
    check_catalogue_url("http://127.0.0.1:8000/a", ["127.0.0.1"])
    with pytest.raises(ArchiveError, match="expected https, found http"):
        check_catalogue_url("http://8.8.8.8/a", HOSTS)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "169.254.169.254", "10.0.0.1", "192.168.1.1",
             "[fd00:ec2:0:0:0:0:0:254]", "[0:0:0:0:0:ffff:7f00:1]", "0.0.0.0", "100.64.0.1"]
)  # fmt: skip
def test_private_addresses_are_no_archives(host: str) -> None:
    with pytest.raises(ArchiveError, match="found a private or local one"):
        check_addresses(f"https://{host}/latest/meta-data", listed=False)


def test_an_address_of_our_own_must_be_listed_under_its_full_name() -> None:
    with pytest.raises(ArchiveError, match=r"'127\.0\.0\.1' itself"):
        check_catalogue_url("https://127.0.0.1/a", ["0.0.1"])
    check_catalogue_url("https://127.0.0.1/a", ["127.0.0.1"])
    check_catalogue_url("https://localhost/a", ["LOCALHOST"])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
                "fe80::1%eth0", "224.0.0.1", "0.0.0.0", "::7f00:1", "::ffff:0:7f00:1", "fec0::1",
                "64:ff9b:1::7f00:1", "168.63.129.16", "192.0.0.192", "192.88.99.1", "2001:db8::1"]
)  # fmt: skip
def test_local_addresses_are_seen_in_every_dress(address: str) -> None:
    assert not is_public(address)


def test_public_addresses_are_seen_in_every_dress() -> None:
    assert all(map(is_public, ("8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808")))


def test_an_unknown_host_is_told_from_a_forbidden_one() -> None:
    with pytest.raises(RemoteError, match=r"no address of 'nowhere\.invalid'"):
        check_catalogue_url("https://nowhere.invalid/a", ["nowhere.invalid"])


def test_a_file_keeps_its_published_name() -> None:
    name = "MOD13A2.A2016145.h18v04.006.2016166145124.hdf"
    assert name_of(f"https://h/x/{name}?token=1#x") == name_of(f"s3://b/{name}") == name
    assert name_of("https://h/x/a%20b.nc") == "a b.nc"
    assert name_of("s3://b/a?#%20b.nc") == "a?#%20b.nc"


@pytest.mark.parametrize(
    "url", ["https://h/..", "https://h/%2e%2e", "https://h/x%2F..", "https://h"]
)
def test_no_name_leads_out_of_its_folder(url: str) -> None:
    assert name_of(url) == "file"


def test_a_long_name_is_cut_to_what_a_disk_takes(tmp_path: Path) -> None:
    name = name_of("https://h/" + "%E2%82%AC" * 300 + ".hdf")
    (tmp_path / f"{name}.part").touch()
    assert set(name) == {"€"}
    assert name_of("s3://b/a\ud800.hdf") == "a?.hdf"


def test_stores_are_known_by_name() -> None:
    assert is_store("s3://b/x.zarr/")
    assert is_store("gs://b/full_37-1h-0p25deg-chunk-1.zarr-v3")
    assert is_store("https://h/x.zarr?token=1")
    assert not is_store("https://h/x.hdf?a=.zarr")


def test_the_token_is_for_hosts_of_earthdata_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "5ecret")
    assert token_for("https://data.lpdaac.earthdatacloud.nasa.gov/a") == "5ecret"
    assert token_for("https://urs.earthdata.nasa.gov/oauth") == "5ecret"
    for url in ("http://urs.earthdata.nasa.gov/a", "https://evilearthdata.nasa.gov/a",
                "https://earthdata.nasa.gov.evil.org/a", "https://nasa.gov/a"):  # fmt: skip
        assert token_for(url) == ""
