"""Buckets for tests, and moto's server, which keeps them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def bucket(address: str, key: str, secret: str) -> Iterator[None]:
    """Makes the bucket "archive", which has object lock, and lets this process use it."""
    import boto3  # type: ignore[import-untyped]  # here: it is slow to load

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
        client.create_bucket(Bucket="archive", ObjectLockEnabledForBucket=True)
        client.close()
        yield


@contextmanager
def moto() -> Iterator[str]:
    """The address of moto's server, with the bucket."""
    from moto.server import ThreadedMotoServer  # here: it is slow to load

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with bucket(f"http://{host}:{port}", "test", "test"):
            yield f"http://{host}:{port}"
    finally:
        server.stop()
