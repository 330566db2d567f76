"""The placement "grpc": what is hosted here is called through a socket, by this very process. For tests.

Everything that a call to another process goes through, it goes through: metadata, proof of identity, the token verified
again, HTTP/2, status. What it does not have is another process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme.dispatch.directory import Directory
from acme.dispatch.remote import Remote
from acme.dispatch.serve import Pipeline
from acme.dispatch.server import Server, Tokens
from acme.ports import Cipher
from acme.tasks import Tasks
from acme.telemetry import Metrics


@asynccontextmanager
async def socketed(
    directory: Directory,
    pipeline: Pipeline,
    cipher: Cipher,
    tokens: Tokens | None,
    metrics: Metrics,
    tasks: Tasks,
    listen: str,
) -> AsyncIterator[tuple[Server, Remote]]:
    """Lets `directory` host in the placement "grpc" as long as the block lasts. The socket is made at `listen`."""
    server = Server(pipeline, cipher, tokens, metrics, tasks)
    remote = Remote(await server.start(listen), pipeline, cipher, metrics, tasks)
    directory.through(server, remote)
    try:
        yield server, remote
    finally:
        await remote.close()
        await server.close()
