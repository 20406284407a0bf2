"""Earthdata as it is laid out: a log-in, a catalogue, a host that asks for a token, and a cloud.

A proxy on loopback stands for the hosts of the open internet, with certificates of its own.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests

from upscale.fetch.plan import make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.run import FetchOutcome, Speed, fetch
from upscale.ingest.config import parse_ingest
from upscale.remote.retries import Patience
from upscale.testing.archives import Archive, content_of
from upscale.testing.servers.cmr import serve_cmr
from upscale.testing.servers.stac import Answering

x509 = pytest.importorskip("cryptography.x509")

DATA, LOGIN, CMR, CLOUD = (
    "data.lpdaac.earthdatacloud.nasa.gov",
    "urs.earthdata.nasa.gov",
    "cmr.earthdata.nasa.gov",
    "d1nklfio7vscoe.cloudfront.net",
)
USER, PASSWORD, TOKEN = "somebody", "SECRET-password-55d0", "SECRET-token-a9e1"
HASTY = Speed(4, 1000, Patience(attempts=2, wait=0.01))


def write_certificate(path: Path) -> Path:
    """A key and a certificate for all hosts, signed by itself."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made")])
    now = dt.datetime.now(dt.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName(h) for h in (DATA, LOGIN, CMR, CLOUD)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(pem))
    return path


@dataclass
class Internet:
    """The hosts behind the proxy. seen: host, path and Authorization of every request."""

    files: dict[str, bytes]
    cmr: Answering
    cloud: str = CLOUD
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def answer(
        self, host: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        auth = headers.get("authorization", "")
        self.seen.append((host, path, auth))
        name = path.partition("?")[0].lstrip("/")
        if host == CMR:
            said = requests.get(f"{self.cmr.url}{path}", headers=headers, proxies={"http": ""})
            return said.status_code, {}, said.content
        if host == LOGIN:
            right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if auth != f"Basic {right}":
                return 401, {}, json.dumps({"error": "invalid_credentials", "was": auth}).encode()
            return 200, {}, json.dumps({"access_token": TOKEN, "expiration_date": "1"}).encode()
        if host == DATA:
            if auth != f"Bearer {TOKEN}":
                return 401, {}, b""
            return 303, {"Location": f"https://{self.cloud}/{name}?Signature=SECRET-signed"}, b""
        return 200, {"ETag": '"1"'}, self.files[name]

    def authorised(self) -> set[str]:
        """Hosts that were sent any credentials."""
        return {host for host, _, auth in self.seen if auth}


@pytest.fixture
def internet(whole: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    certificate = write_certificate(tmp_path / "made.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    files = {path.name: path.read_bytes() for path in (whole.folder / "fapar").iterdir()}

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", 0)  # type: ignore[assignment]
                self.close_connection = False
                while not self.close_connection:
                    self.handle_one_request()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, told, body = made.answer(self.host, self.path, headers)
            self.send_response(status)
            for name, value in {**told, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent."""

    with (
        serve_cmr(files, f"https://{DATA}") as cmr,
        ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as running,
    ):
        made = Internet(files, cmr)
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{running.server_address[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "NETRC"):
            monkeypatch.delenv(name, raising=False)
        yield made
        running.shutdown()


def fetched(archive: Archive) -> FetchOutcome:
    source = {"from": "earthdata", "collection": "061"}
    content = content_of(archive, archive.folder / "cube.zarr")
    content["satellite"] = [
        {"files": str(archive.folder / "fapar"), "products": ["MCD15A2H"], "fetch": source}
    ]
    plan = make_plan(parse_ingest(content, "earthdata"))
    return fetch(plan, make_progress(1e9, StringIO()), HASTY)


def log_in_by(way: str, home: Path, monkeypatch: pytest.MonkeyPatch, word: str = PASSWORD) -> None:
    if way == "token":
        monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    elif way == "environment":
        monkeypatch.setenv("EARTHDATA_USERNAME", USER)
        monkeypatch.setenv("EARTHDATA_PASSWORD", word)
    else:
        path = home / ".netrc"
        path.write_text(f"machine {LOGIN} login {USER} password {word}\n")
        path.chmod(0o600)


@pytest.mark.parametrize("way", ["token", "environment", "netrc"])
def test_files_come_by_every_kind_of_account(
    half: Archive, internet: Internet, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in_by(way, tmp_path, monkeypatch)
    outcome = fetched(half)
    assert (outcome.failed, outcome.absent, len(outcome.fetched)) == ((), (), 4)
    for name, content in internet.files.items():
        assert (half.folder / "fapar" / name).read_bytes() == content
    assert internet.authorised() == ({DATA} if way == "token" else {DATA, LOGIN})
    ledger = (half.folder / "fapar" / ".fetched.jsonl").read_text()
    assert "SECRET" not in ledger
    assert f"https://{DATA}/" in ledger


@pytest.mark.parametrize("way", ["environment", "netrc"])
def test_a_wrong_password_is_told_without_being_shown(
    half: Archive, internet: Internet, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    log_in_by(way, tmp_path, monkeypatch, "SECRET-wrong")
    (failure,) = fetched(half).failed
    said = capsys.readouterr()
    texts = [failure.reason, said.out, said.err, caplog.text]
    assert "expected an account" in failure.reason
    coded = base64.b64encode(f"{USER}:SECRET-wrong".encode()).decode()
    assert not [text for text in texts if "SECRET" in text or coded in text]
    assert not any(host == DATA for host, _, _ in internet.seen)


def test_a_cloud_at_another_host_is_not_followed(
    half: Archive, internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in_by("token", tmp_path, monkeypatch)
    internet.cloud = "files.example.org"
    outcome = fetched(half)
    assert len(outcome.failed) == 4
    assert all("found 'files.example.org'" in failure.reason for failure in outcome.failed)
    assert not any("SECRET" in failure.reason for failure in outcome.failed)
