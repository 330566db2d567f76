"""A gateway before a service that streams, and what raw sockets need to talk to it."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from acme import drivers
from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Host, Pipeline
from acme.gateway.app import Gateway
from acme.gateway.endpoints import Info
from acme.gateway.settings import GatewaySettings
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens import POLL_EVERY, TokenSettings, Verifier
from tests import blobs
from tests.unit.acme.authority import Authority
from tests.unit.acme.gateway.rig import UNLIMITED, Rig


@asynccontextmanager
async def running(trial: Contracts, placement: Any = "loopback", **settings: Any) -> AsyncIterator[Any]:
    """A gateway before a service of blobs."""
    authority, metrics, service = Authority(), Metrics(), blobs.make()
    wire = Wire(trial)
    directory = Directory(Pipeline(trial, wire, Checks(trial), metrics, authority.clock))
    for plugin, instance in (("blobs", service), ("users", authority)):
        directory.host(Host(trial.service_of(instance), instance, plugin), placement)
    verifier = Verifier(directory.named("tokens").client(AuthorityStub), authority.clock, TokenSettings(), metrics)
    log = io.StringIO()
    gateway = Gateway(
        [host.service for host in directory.hosts.values()],
        directory.named("gateway"),
        Json(trial),
        wire,
        verifier,
        metrics,
        drivers.open_limiter("memory:", clock=authority.clock, tasks=Tasks("rig", metrics), metrics=metrics),
        GatewaySettings(**{"limits": UNLIMITED, **settings}),
        Info(),
        dict,
        log,
    )
    async with Tasks("transfers", metrics) as tasks:
        await verifier.poll()
        tasks.loop("tokens", verifier.poll, pause=POLL_EVERY)
        port = await gateway.start(socket.create_server(("127.0.0.1", 0)))
        rig: Any = Rig(gateway, port, authority, verifier, metrics, service, service, service, log, {})
        try:
            yield rig
        finally:
            await gateway.close()


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")


async def head_of(connection: Any) -> tuple[int, dict[str, str]]:
    async with asyncio.timeout(10):
        lines = (await connection.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:-2])}


async def to_the_end(connection: Any) -> None:
    async with asyncio.timeout(20):
        while await connection.reader.read(65536):
            pass


async def unchunked(connection: Any) -> bytes:
    """The chunked body of an answer, to its end."""
    body = b""
    async with asyncio.timeout(20):
        while size := int(await connection.reader.readline(), 16):
            body += await connection.reader.readexactly(size)
            assert await connection.reader.readexactly(2) == b"\r\n"
        assert await connection.reader.readexactly(2) == b"\r\n"
    return body
