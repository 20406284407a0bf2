"""An S3 server on loopback for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
         "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip


@contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Run a server with an empty bucket, set it in the environment as for any S3-compatible
    server, and give the URL of the bucket. Needs `moto[server]`."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ.update(_KEYS, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(name)
        yield f"s3://{name}"
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()
