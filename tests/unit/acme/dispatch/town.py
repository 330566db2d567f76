"""Workers behind real sockets, good ones and hostile ones, for tests of calls between processes."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset

from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import ANONYMOUS, CALL, Call, IdempotencyKey, Principal
from acme.contract import Service
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.placement.v1 import DescribeReply, Served
from acme.contracts.projects.v1 import ProjectsStub
from acme.dispatch import Directory, Host, Pipeline, Remote, Server
from acme.dispatch.exchange import framed
from acme.dispatch.place import Settings
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.errors import Unauthenticated, Unavailable
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import free_port
from tests.services import ANN, CONTRACTS, Authority, Projects

T = TypeVar("T")

AUTHORITY: Final = CONTRACTS.service_of(AuthorityStub)
PROJECTS: Final = CONTRACTS.service_of(ProjectsStub)
TOKEN: Final = "ann's token"
QUICK: Final = Settings(
    connect=0.5,
    backoff=0.02,
    most=0.1,
    quiet=0.1,
    silent=0.05,
    dead=0.3,
    stranger=0.2,
    tick=0.02,
    kick=0.02,
    troubles=1000,
)
"""Times for tests."""


class Believing:
    """Tokens by name, in place of a verifier."""

    def __init__(self) -> None:
        self.fresh = True
        self.known = {TOKEN: ANN}
        self.verified = 0
        self.seen = 3
        self.caught_up: list[int] = []
        """Changes that it was asked to know."""

    async def catch_up(self, seen: int = 0) -> None:
        self.caught_up.append(seen)
        self.seen = max(self.seen, seen)

    def cached(self, token: str) -> Principal | None:
        return None

    async def verify(self, token: str) -> Principal:
        self.verified += 1
        if not self.fresh:
            raise Unavailable("Not now.", reason="tokens_unavailable")
        if token not in self.known:
            raise Unauthenticated("No.", reason="invalid_token")
        return self.known[token]


@dataclass
class Worker:
    """A server with an authority and projects, whose handlers are scripts."""

    server: Server
    address: str
    authority: Authority = field(default_factory=Authority)
    projects: Projects = field(default_factory=Projects)
    calls: list[Any] = field(default_factory=list)
    """Requests that the authority answered with `latest` = the worker's number."""


class Town:
    """What callers and workers stand on, and all that was started."""

    def __init__(self, folder: Path, tasks: Tasks, metrics: Metrics) -> None:
        self.folder, self.tasks, self.metrics = folder, tasks, metrics
        self.cipher = Vault(b"a master secret for the tests, 32+")
        self.tokens = Believing()
        self.pipeline = Pipeline(CONTRACTS, Wire(CONTRACTS), Checks(CONTRACTS), metrics, SystemClock())
        self.remotes: list[Remote] = []
        self.workers: list[Worker] = []

    async def worker(self, listen: str = "", **options: Any) -> Worker:
        """A good worker; a unix socket unless it says where. Its authority answers with its number."""
        number = len(self.workers) + 1
        server = Server(self.pipeline, options.pop("cipher", self.cipher), self.tokens, self.metrics, self.tasks)
        worker = Worker(server, await server.start(listen or f"grpc+unix://{self.folder}/{number}.sock", **options))

        async def answer(message: ChangesRequest) -> ChangesReply:
            worker.calls.append(message)
            return ChangesReply(latest=number)

        worker.authority.script = answer
        server.host(Host(AUTHORITY, worker.authority, "users", version="1.0"))
        server.host(Host(PROJECTS, worker.projects, "projects"))
        self.workers.append(worker)
        return worker

    def remote(self, *addresses: str, settings: Settings = QUICK, **options: Any) -> Remote:
        remote = Remote(
            ",".join(addresses), self.pipeline, self.cipher, self.metrics, self.tasks, settings=settings, **options
        )
        self.remotes.append(remote)
        return remote

    def client(self, stub: type[T], remote: Remote, caller: str = "tokens") -> T:
        """A client that calls through `remote`, in the name of `caller`."""
        directory = Directory(self.pipeline)
        directory.connect(CONTRACTS.service_of(stub), remote)
        return directory.named(caller).client(stub)

    async def close(self) -> None:
        for remote in self.remotes:
            await remote.close()
        for worker in self.workers:
            await worker.server.close()

    def counted(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        total = 0.0
        for line in self.metrics.render().decode().splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """A town that is gone at the end of the block."""
    metrics = Metrics()
    async with Tasks("town", metrics) as tasks:
        made = Town(folder, tasks, metrics)
        try:
            yield made
        finally:
            await made.close()


@contextmanager
def asking(
    principal: Principal = ANN, *, token: str = TOKEN, key: str = "", seconds: float = 10.0, service: str = "gateway"
) -> Iterator[Call]:
    """The context that the gateway makes for a request that bears a token."""
    idempotency = IdempotencyKey(key, b"fingerprint") if key else None
    when = time.monotonic() + seconds
    call = Call("", principal, "req_1", when, service, "192.0.2.1", "00-trace", idempotency, credentials=token)
    before = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(before)


def nobody(**options: Any) -> Any:
    """`asking` as nobody."""
    return asking(ANONYMOUS, token="", **options)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


def soon(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Runs it beside the test."""
    return asyncio.get_running_loop().create_task(work)


# ---- hostile ones ----------------------------------------------------------------------------------------------------


class Wild:
    """One connection to a worker that speaks HTTP/2 as far as the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="ascii"))
        self.paths: dict[int, str] = {}
        self.reset_codes: dict[int, Any] = {}
        self.received = 0

    def called(self) -> list[str]:
        """Paths of the calls that came, without what a pool asks on its own account."""
        return [path for path in self.paths.values() if "placement" not in path and "health" not in path]

    def headers(self, stream: int, *more: tuple[str, str], end: bool = False, first: bool = True) -> None:
        """Response headers, or trailers when not `first`."""
        head = [(":status", "200"), ("content-type", "application/grpc")] if first else []
        self.h2.send_headers(stream, [*head, *more], end_stream=end)
        self.flush()

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        while data or end:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0 and data:
                return  # as much as one can make somebody take
            self.h2.send_data(stream, data[:room], end_stream=end and len(data) <= room)
            data = data[room:]
            if not data:
                break
        self.flush()

    def answer(self, stream: int, message: bytes, status: str = "0") -> None:
        """A whole answer."""
        self.headers(stream)
        self.data(stream, framed(message))
        self.headers(stream, ("grpc-status", status), end=True, first=False)

    def refuse(self, stream: int, status: str, *more: tuple[str, str]) -> None:
        self.headers(stream, ("grpc-status", status), *more, end=True)

    def reset(self, stream: int, code: ErrorCodes) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def goaway(self, last: int, code: int = 0) -> None:
        """GOAWAY, without h2 taking its own connection for closed."""
        self.flush()
        self.writer.write(struct.pack("!HBBBLLL", 0, 8, 7, 0, 0, last, code))

    def drop(self) -> None:
        """Cuts the connection, with a reset where the socket knows one."""
        raw = self.writer.get_extra_info("socket")
        if raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())


Act = Callable[[Wild, int], Awaitable[None] | None]


async def _wild(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, act: Act, met: list[Wild], describe: Act | None
) -> None:
    wild = Wild(reader, writer)
    met.append(wild)
    wild.h2.initiate_connection()
    wild.flush()
    while data := await reader.read(65536):
        for event in wild.h2.receive_data(data):
            if isinstance(event, RequestReceived):
                wild.paths[event.stream_id] = dict(cast(Sequence[tuple[str, str]], event.headers))[":path"]
            elif isinstance(event, DataReceived):
                wild.received += len(event.data)
                wild.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, StreamReset):
                wild.reset_codes[event.stream_id] = event.error_code
            elif isinstance(event, StreamEnded):
                path = wild.paths[event.stream_id]
                if "placement" not in path and "health" not in path:
                    acted = act(wild, event.stream_id)
                elif describe is None or "health" in path:
                    wild.refuse(event.stream_id, "12")
                    continue
                else:
                    acted = describe(wild, event.stream_id)
                if acted is not None:
                    await acted
        if writer.transport.is_closing():
            return
        wild.flush()


@asynccontextmanager
async def hostile(act: Act, describe: Act | None = None) -> AsyncIterator[tuple[str, list[Wild]]]:
    """A worker's address, and its connections; `act` is what it does with each request: (connection, stream). It says
    that it knows nothing of `Describe`, or does `describe` with it."""
    met: list[Wild] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _wild(reader, writer, act, met, describe)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with _listening(serve) as address:
        yield address, met


@asynccontextmanager
async def raw(*sends: bytes, close: bool = False) -> AsyncIterator[str]:
    """The address of something that sends these bytes to whoever comes, and then closes or says nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for data in sends:
                writer.write(data)
            await writer.drain()
            if not close:
                await reader.read()
                while await reader.read(65536):
                    pass
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with _listening(serve) as address:
        yield address


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    writers: set[asyncio.StreamWriter] = set()
    ended: set[asyncio.Task[Any] | None] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        ended.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):  # at the end of the test
            await serve(reader, writer)

    listener = await asyncio.start_server(one, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        running = [task for task in ended if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def vacant() -> str:
    """An address where nobody listens."""
    return f"grpc://127.0.0.1:{free_port()}"


def service_named(name: str) -> Service:
    return CONTRACTS.services[name]


def describing(*served: Served) -> Act:
    """A worker that says it serves these."""
    return lambda wild, stream: wild.answer(stream, bytes(DescribeReply(services=list(served))))
