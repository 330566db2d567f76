"""A gateway and a worker of blobs, each a process: `python -m tests.transfers worker|gateway SOCKET FOLDER [SETTINGS]`.

FOLDER holds the generated contracts, SETTINGS is `[gateway]` as JSON. Prints one line of JSON when it is ready, and ends
with its standard input, in order.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import uvloop

from acme import drivers
from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import ANONYMOUS, Kind, Principal, current
from acme.contract import load
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Host, Pipeline, Remote, Server
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.gateway.app import Gateway
from acme.gateway.endpoints import Info
from acme.gateway.settings import GatewaySettings
from acme.tasks import Tasks
from acme.telemetry import Metrics, configure_logs
from acme.tokens import POLL_EVERY, TokenSettings, Verifier
from tests import blobs
from tests.trial import PACKAGE
from tests.unit.acme.authority import Authority


class Anybody:
    """Takes every token for Ann's: the gateway has checked it."""

    fresh = True
    seen = 0

    async def catch_up(self, seen: int = 0) -> None: ...

    def cached(self, token: str) -> Principal | None:
        return Principal(Kind.USER, "usr_ann", scopes=frozenset({"*"})) if token else ANONYMOUS

    async def verify(self, token: str) -> Principal:
        return ANONYMOUS


def service() -> Any:
    """Blobs of zeros, and sums of what was put. What is put as "held" is not read, and ticks do not tick, until somebody
    puts "go"."""
    m = blobs.module()
    gate = asyncio.Event()

    class Blobs(m.BlobsBase):  # type: ignore[misc, name-defined]  # generated while the tests run
        async def put(self, message: AsyncIterator[Any]) -> Any:
            current().decided = True
            size = crc = 0
            async for one in message:
                if one.name == "held":
                    await gate.wait()
                data = one.content.data
                size, crc = size + len(data), zlib.crc32(data, crc)
                if one.name == "go":
                    gate.set()
            return m.Blob(size=size, note=f"{crc:08x}")

        async def watch(self, message: Any) -> AsyncIterator[Any]:
            """One tick, and another when somebody has said go; or many large ones."""
            current().decided = True
            for value in range(int(message.after or 0) + 1, abs(message.count) + 1):
                if value > 1 and message.count > 0:
                    await gate.wait()
                yield m.Tick(id=str(value), text="x" * 60_000 if message.count < 0 else "")

        async def get(self, message: Any) -> AsyncIterator[Any]:
            current().decided = True
            left = size = int(message.name)
            while left:
                data = bytes(min(left, blobs.CHUNK))  # anew each time, as bytes from a disk are
                reply = m.GetReply(content=blobs.body("application/octet-stream", data))
                if left == size:
                    reply.length = size
                left -= len(data)
                yield reply

    return Blobs()


async def run(role: str, path: str, settings: str) -> None:
    contracts, metrics = load("acme.contracts", PACKAGE), Metrics()
    wire, cipher = Wire(contracts), Vault(b"a master secret for the tests, 32+")
    pipeline = Pipeline(contracts, wire, Checks(contracts), metrics, SystemClock())
    declared = contracts.services["blobs.v1.Blobs"]
    said: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks(role, metrics))
        if role == "worker":
            server = Server(pipeline, cipher, Anybody(), metrics, tasks)
            stack.push_async_callback(server.close)
            server.host(Host(declared, service(), "blobs"))
            await server.start(f"grpc+unix://{path}")
        else:
            remote = Remote(f"grpc+unix://{path}", pipeline, cipher, metrics, tasks)
            stack.push_async_callback(remote.close)
            authority, directory = Authority(), Directory(pipeline)
            directory.connect(declared, remote)
            directory.host(Host(contracts.service_of(AuthorityStub), authority, "users"))
            client = directory.named("tokens").client(AuthorityStub)
            verifier = Verifier(client, authority.clock, TokenSettings(), metrics)
            await verifier.poll()
            tasks.loop("tokens", verifier.poll, pause=POLL_EVERY)
            gateway = Gateway(
                [declared],
                directory.named("gateway"),
                Json(contracts),
                wire,
                verifier,
                metrics,
                drivers.open_limiter("memory:", clock=authority.clock, tasks=tasks, metrics=metrics),
                msgspec.json.decode(settings, type=GatewaySettings),
                Info(),
                dict,
            )
            stack.push_async_callback(gateway.close)
            said["port"] = await gateway.start(socket.create_server(("127.0.0.1", 0)))
            said["token"] = authority.token()
        print(json.dumps(said), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        if role == "gateway":
            await gateway.drain(10.0)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[3])
    configure_logs(json=True, level="error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1], sys.argv[2], "{}" if len(sys.argv) < 5 else sys.argv[4]))
