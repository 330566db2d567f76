"""The processes of beside.py: `python -m tests.bench.remote serve KIND SOCKET`, and `call KIND SOCKET`.

Message, codec, metadata, proof of identity, token, the callee's pipeline and uvloop are ours in both kinds; what differs is
what carries them. grpc.aio is faster on uvloop than on asyncio's own loop, by 6 % of its CPU time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop

from acme.authorise import authorise
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import CALL, Call, Kind, Principal
from acme.contract import Method, load
from acme.contracts.projects.v1 import ListProjectsReply, ListProjectsRequest, ProjectsBase, ProjectsStub
from acme.dispatch import Directory, Host, Pipeline, Remote, Server, loopback
from acme.dispatch.identity import Identity, bearer, deadline, metadata
from acme.dispatch.serve import serve
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.bench.calls import project

TOKEN: Final = "e30." + "a" * 600 + ".c2lnbmF0dXJl"
"""As long as an access token."""
ANN: Final = Principal(Kind.USER, "usr_01h455vb4pex5vsknk084sn02q", scopes=frozenset({"*"}))

Ask = Callable[[], Awaitable[Any]]


class Projects(ProjectsBase):
    """The same 50, always."""

    def __init__(self) -> None:
        self._reply = ListProjectsReply(projects=[project() for _ in range(50)])

    async def list_projects(self, message: ListProjectsRequest) -> ListProjectsReply:
        authorise.own("projects.read")
        return self._reply


class Believing:
    """A verifier whose cache holds the one token."""

    fresh = True
    seen = 0

    async def catch_up(self, seen: int = 0) -> None: ...

    def cached(self, token: str) -> Principal | None:
        return ANN if token == TOKEN else None

    async def verify(self, token: str) -> Principal:
        raise AssertionError


@dataclass
class Side:
    """What both processes of both kinds are made of."""

    metrics: Metrics = field(default_factory=Metrics)
    cipher: Vault = field(default_factory=lambda: Vault(b"a master secret of the bench's own"))

    def __post_init__(self) -> None:
        contracts = load("acme.contracts")
        self.pipeline = Pipeline(contracts, Wire(contracts), Checks(contracts), self.metrics, SystemClock())
        self.identity = Identity(self.cipher, self.pipeline.clock)
        self.service = contracts.service_of(ProjectsStub)
        self.method: Method = next(one for one in self.service.methods if one.attr == "list_projects")


# ---- the worker ------------------------------------------------------------------------------------------------------


async def _serve_ours(side: Side, host: Host, path: str) -> None:
    async with Tasks("bench", side.metrics) as tasks:
        server = Server(side.pipeline, side.cipher, Believing(), side.metrics, tasks)
        server.host(host)
        await server.start(f"grpc+unix://{path}")
        await _until_told()
        await server.close()


async def _serve_grpc(side: Side, host: Host, path: str) -> None:
    import grpc.aio  # type: ignore[import-untyped]  # has no stubs

    method, tokens = side.method, Believing()
    served = serve(side.pipeline, host, method, loopback.carriage(side.pipeline, method, "grpc"))

    async def handle(request: bytes, context: Any) -> bytes:
        headers = {name.encode(): value.encode() for name, value in context.invocation_metadata()}
        token = bearer(headers)
        principal = tokens.cached(token) or await tokens.verify(token)
        service = side.identity.caller(method.path.encode(), headers)
        when = deadline({}, context.time_remaining())
        request_id = headers[b"x-request-id"].decode()
        call = Call(method.path[1:], principal, request_id, when, service, permission=method.permission)
        reply: bytes = await served(call, request)
        return reply

    handler = grpc.unary_unary_rpc_method_handler(handle)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(method.service, {method.name: handler}),))
    server.add_insecure_port(f"unix://{path}")
    await server.start()
    await _until_told()
    await server.stop(None)


async def _until_told() -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _serving(kind: str, path: str) -> None:
    side = Side()
    host = Host(side.service, Projects(), "projects")
    uvloop.run((_serve_ours if kind == "ours" else _serve_grpc)(side, host, path))


# ---- the callers -----------------------------------------------------------------------------------------------------


async def _call_ours(side: Side, path: str) -> None:
    async with Tasks("bench", side.metrics) as tasks:
        remote = Remote(f"grpc+unix://{path}", side.pipeline, side.cipher, side.metrics, tasks)
        directory = Directory(side.pipeline)
        directory.connect(side.service, remote)
        client = directory.named("gateway").client(ProjectsStub)
        request = ListProjectsRequest(page_size=50)
        await _rounds(lambda: client.list_projects(request))
        await remote.close()


async def _call_grpc(side: Side, path: str) -> None:
    import grpc.aio

    method, request = side.method, ListProjectsRequest(page_size=50)
    write, read = side.pipeline.wire.encoder(method.request), side.pipeline.wire.decoder(method.reply)
    async with grpc.aio.insecure_channel(f"unix://{path}") as channel:
        multi = channel.unary_unary(method.path, request_serializer=write, response_deserializer=read)

        def ask() -> Awaitable[Any]:
            call = CALL.get()
            sent = metadata(call)
            sent[b"acme-identity"] = side.identity.prove("gateway", method.path, sent)
            pairs = tuple((name.decode(), value.decode()) for name, value in sent.items())
            answer: Awaitable[Any] = multi(request, metadata=pairs, timeout=call.deadline - time.monotonic())
            return answer

        await _rounds(ask)


async def _rounds(ask: Ask) -> None:
    """Each line on standard input is a round: [calls at a time, seconds]. Answers with calls a second."""
    CALL.set(Call("", ANN, "bench-0123456789", time.monotonic() + 3600, "gateway", "192.0.2.1", credentials=TOKEN))
    if len((await ask()).projects) != 50:
        raise AssertionError("that is no list of 50")
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        at_a_time, seconds = json.loads(line)
        calls, until = 0, time.perf_counter() + seconds

        async def caller(until: float) -> int:
            made = 0
            while time.perf_counter() < until:
                await ask()
                made += 1
            return made

        started = time.perf_counter()
        calls = sum(await asyncio.gather(*[caller(until) for _ in range(at_a_time)]))
        print(json.dumps([calls, time.perf_counter() - started]), flush=True)


def _calling(kind: str, path: str) -> None:
    uvloop.run((_call_ours if kind == "ours" else _call_grpc)(Side(), path))


def main(arguments: Sequence[str]) -> None:
    """Is one of the processes."""
    role, kind, path = arguments
    (_serving if role == "serve" else _calling)(kind, path)


if __name__ == "__main__":
    main(sys.argv[1:])
