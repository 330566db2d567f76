"""gRPC for other processes: the same pipeline as in this one, behind a socket.

    server = Server(pipeline, cipher, verifier, metrics, tasks)
    server.host(Host(service, instance, plugin="projects", work=units))
    address = await server.start("grpc+unix:///run/acme/projects.sock")     # what others put into [services]

A request becomes a `Call`: who calls is proved (identity.py), the user's token is verified again, the time that is left
becomes this process' deadline. From there it goes the way of every placement (serve.py). Clients of any make are welcome;
what they get wrong is answered with a status of gRPC, and says nothing of this process.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Final, Protocol, cast
from urllib.parse import quote

from acme.context import ANONYMOUS, Call, Principal
from acme.contract import Method, Service
from acme.contracts.placement.v1 import WorkerBase
from acme.dispatch import address, health, loopback, status
from acme.dispatch.accepted import Accepted
from acme.dispatch.calls import LIMIT, within
from acme.dispatch.describe import Worker
from acme.dispatch.exchange import Exchange
from acme.dispatch.headers import Header, written
from acme.dispatch.health import Health
from acme.dispatch.http2 import WINDOW, Link
from acme.dispatch.identity import Identity, bearer, deadline, idempotency, seen, service_principal, text, traced
from acme.dispatch.inbox import TooLong
from acme.dispatch.messages import Messages
from acme.dispatch.serve import Host, Pipeline, Serve, check_hostable, serve, too_large
from acme.dispatch.status import UNREACHABLE
from acme.dispatch.streams import Streamed, serve_stream, streams
from acme.errors import Code, Malformed, Refused, Unavailable
from acme.ids import new_id
from acme.ports import Cipher
from acme.tasks import Tasks
from acme.telemetry import Metrics

PATIENCE: Final = 20.0
"""Seconds that a request may take to arrive."""

_TYPE: Final = b"application/grpc"
_HEAD: Final[list[Header]] = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]
_WELL: Final = written(_HEAD)
_OK: Final = written([(b"grpc-status", b"0")])
_LONGEST: Final = 1000
"""Characters of `grpc-message`; the whole message is in the details."""


class Tokens(Protocol):
    """Who turns tokens into principals: `acme.tokens.Verifier`."""

    @property
    def fresh(self) -> bool: ...
    @property
    def seen(self) -> int: ...
    async def catch_up(self, seen: int = 0) -> None: ...
    def cached(self, token: str) -> Principal | None: ...
    async def verify(self, token: str) -> Principal: ...


class Server:
    """Serves hosted services to other processes, at one address or more.

    `verifier` is `None` where no user's token ever comes. `windows` is how many bytes a stream may send unread.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        cipher: Cipher,
        verifier: Tokens | None,
        metrics: Metrics,
        tasks: Tasks,
        *,
        windows: int = WINDOW,
    ) -> None:
        self._pipeline, self._verifier, self._tasks, self._window = pipeline, verifier, tasks, windows
        self._identity = Identity(cipher, pipeline.clock)
        self._hosts: dict[str, Host] = {}
        self._methods: dict[bytes, tuple[Method, Serve | Streamed]] = {}
        self._uploads: set[bytes] = set()
        """Paths of methods whose requests are streams."""
        self._links: set[Accepted] = set()
        self._listeners: list[asyncio.Server] = []
        self._quiet, self._closed = asyncio.Event(), False
        self.health: Final = Health(self._hosts.keys(), self._able)
        metrics.gauge(
            "rpc_server_active_requests",
            "Calls from other processes in flight.",
            (),
            lambda: {(): float(self.in_flight)},
        )
        metrics.gauge(
            "rpc_server_connections", "Connections of other processes.", (), lambda: {(): float(len(self._links))}
        )
        service = pipeline.contracts.service_of(WorkerBase)
        self._add(Host(service, Worker(self._hosts), "platform"))

    @property
    def in_flight(self) -> int:
        """Calls being served."""
        return sum(len(link.exchanges) for link in self._links)

    @property
    def hosts(self) -> Mapping[str, Host]:
        """What is served, by full name of the service."""
        return MappingProxyType(self._hosts)

    def host(self, host: Host) -> None:
        """Serves a service from now on.

        Raises:
            ValueError: it is served already.
            TypeError, NotImplementedError: it cannot be hosted; see `check_hostable`.
        """
        name = host.service.name
        if name in self._hosts:
            raise ValueError(f"{name} of plugin {host.plugin} is kept by {self._hosts[name].plugin}")
        check_hostable(host)
        self._add(host)
        self._hosts[name] = host
        self.health.changed()

    def _add(self, host: Host) -> None:
        for method in host.service.methods:
            carriage = loopback.carriage(self._pipeline, method, "grpc")
            made = serve_stream if streams(method) else serve
            self._methods[method.path.encode()] = method, made(self._pipeline, host, method, carriage)
            if method.client_streaming:
                self._uploads.add(method.path.encode())

    def withdraw(self, service: Service) -> None:
        """Refuses new calls of a service. Calls being served go on."""
        del self._hosts[service.name]
        for method in service.methods:
            del self._methods[method.path.encode()]
            self._uploads.discard(method.path.encode())
        self.health.changed()

    # ---- coming and going ---------------------------------------------------------------------------------------

    async def start(self, listen: str, tls: ssl.SSLContext | None = None) -> str:
        """Listens at an address (acme/dispatch/address.py) and returns the one that others on this machine use: a port 0
        is filled in. `tls` belongs to "grpcs", and decides whose certificates are believed.

        Raises:
            ValueError: it is no address, or `tls` is missing, or does not belong to it.
            OSError: nobody can listen there.
        """
        where = address.parse_one(listen)
        if (tls is not None) != where.tls:
            raise ValueError(f"{listen}: {'grpcs:// needs' if where.tls else 'only grpcs:// takes'} certificates")
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        if where.path:
            listener = await loop.create_unix_server(self._accept, where.path)
            self._listeners.append(listener)
            return listen
        listener = await loop.create_server(self._accept, where.host, where.port, ssl=tls, backlog=512)
        self._listeners.append(listener)
        port = listener.sockets[0].getsockname()[1]
        return str(where.at(_local(where.host), port))

    async def drain(self, grace: float) -> None:
        """Takes no new calls, and waits up to `grace` seconds for those being served. Clients are told to go elsewhere
        (GOAWAY); what is on its way to us is still served."""
        self.health.draining = True
        self.health.changed()
        self._stop_listening()
        for link in list(self._links):
            link.leave()
        try:
            async with asyncio.timeout(grace):
                while self._links:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Ends everything, calls being served included: their handlers are cancelled."""
        self._closed = True
        self._stop_listening()
        running = [e.task for link in self._links for e in link.exchanges.values() if e.task is not None]
        for link in list(self._links):
            link.abort("the server is closed")
        if running:
            await asyncio.wait(running)
        for listener in self._listeners:
            await listener.wait_closed()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _able(self) -> bool:
        return self._verifier is None or self._verifier.fresh

    def _accept(self) -> Accepted:
        return Accepted(self._window, self._gone, self._begin, self._oversized, PATIENCE, self._streams, self._made)

    def _made(self, link: Accepted) -> None:
        """The loop may have taken a connection, and hand it over, when nobody listens any more."""
        self._links.add(link)
        if self._closed:
            link.abort("the server is closed")
        elif self.health.draining:
            link.leave()

    def _gone(self, link: Link, why: str) -> None:
        self._links.discard(link)
        if not self._links:
            self._quiet.set()

    # ---- a call -------------------------------------------------------------------------------------------------

    def _begin(self, link: Accepted, exchange: Exchange) -> None:
        exchange.task = self._tasks.spawn("rpc", self._exchange(link, exchange))
        exchange.task.add_done_callback(lambda _: link.end(exchange))

    def _oversized(self, link: Accepted, exchange: Exchange) -> None:
        link.refuse(exchange, refusal_headers(too_large("request")))

    async def _exchange(self, link: Accepted, exchange: Exchange) -> None:
        headers = dict(exchange.head)
        path = headers.get(b":path", b"")
        found = self._methods.get(path)
        if found is None or not headers.get(b"content-type", b"").startswith(_TYPE):
            await self._other(link, exchange, headers, path)
            return
        method, served = found
        try:
            if streams(method):
                await self._converse(link, exchange, method, cast(Streamed, served), path, headers)
                return
            request = _request(exchange)
            call = await self._call(method, path, headers)
            reply = await within(call.deadline, cast(Serve, served)(call, request))
        except Refused as refusal:
            link.refuse(exchange, refusal_headers(refusal))
            return
        await link.answer(exchange, _WELL, reply, _OK)

    async def _converse(
        self,
        link: Accepted,
        exchange: Exchange,
        method: Method,
        served: Streamed,
        path: bytes,
        headers: Mapping[bytes, bytes],
    ) -> None:
        """A call that streams. Whatever ends it ends the handler.

        Raises:
            Refused: so it is, perhaps after some replies.
        """
        requests = Messages(_received(exchange))
        call = await self._call(method, path, headers)
        try:
            await within(call.deadline, link.stream(exchange, _WELL, served(call, requests), _OK))
        except asyncio.CancelledError:
            if isinstance(requests.failure, Refused):
                raise requests.failure from None
            raise

    def _streams(self, exchange: Exchange) -> bool:
        if not self._uploads:
            return False
        headers = dict(exchange.head)
        return headers.get(b":path") in self._uploads and headers.get(b"content-type", b"").startswith(_TYPE)

    async def _call(self, method: Method, path: bytes, headers: Mapping[bytes, bytes]) -> Call:
        """The call, as far as it is proved.

        Raises:
            Refused: the token proves nothing, or `grpc-timeout` cannot be read.
        """
        try:
            when = deadline(headers, LIMIT)
        except ValueError as error:
            raise Malformed(f"{error}.") from None
        service = self._identity.caller(path, headers)
        token = bearer(headers)
        known = seen(headers) if service else 0
        principal: Principal = ANONYMOUS
        if token:
            principal = await within(when, self._verify(token, known))
        elif acting := service_principal(service, headers):
            principal = acting
        request_id = text(headers.get(b"x-request-id", b"")) if service else ""
        request_id = request_id or new_id("req", self._pipeline.clock)
        caused = text(headers.get(b"traceparent", b"")) if service else ""
        return Call(
            method.path[1:],
            principal,
            request_id,
            when,
            service,
            text(headers.get(b"acme-address", b"")) if service else "",
            caused,
            idempotency(headers) if service else None,
            method.permission,
            credentials=token,
            seen=known,
            trace=traced(self._pipeline.tracer, request_id, caused, headers),
            span=0,
            parent=-1,
        )

    async def _verify(self, token: str, known: int) -> Principal:
        """The principal of a token, as of the change `known` at least."""
        verifier = self._verifier
        if verifier is None:
            raise Unavailable("Access tokens cannot be checked right now: try again.", reason="tokens_unavailable")
        if known > verifier.seen:
            await verifier.catch_up(known)
        return (verifier.cached(token) if verifier.fresh else None) or await verifier.verify(token)

    async def _other(self, link: Accepted, exchange: Exchange, headers: Mapping[bytes, bytes], path: bytes) -> None:
        """Health, and everything that is nothing of ours."""
        if headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(_TYPE):
            link.refuse(exchange, [(b":status", b"415")])
            return
        try:
            request = _request(exchange)
            if path == health.CHECK.encode():
                reply = self.health.check(request)
                if reply is None:
                    raise status.refused(Code.NOT_FOUND, "There is no such service.")
                await link.answer(exchange, _WELL, reply, _OK)
            elif path == health.WATCH.encode():
                await link.stream(exchange, _WELL, self.health.watch(request), _OK)
            else:
                raise self._missing(path)
        except Refused as refusal:
            link.refuse(exchange, refusal_headers(refusal))

    def _missing(self, path: bytes) -> Refused:
        """A method that is not served: of a contract we know, it was and will be; else nobody knows it."""
        service = path.decode("latin-1").rpartition("/")[0].removeprefix("/")
        if service in self._pipeline.contracts.services:
            return Unavailable(f"{service} is not running here.", reason=UNREACHABLE)
        return status.refused(Code.UNIMPLEMENTED, "There is no such method.")


def refusal_headers(refusal: Refused) -> list[Header]:
    """A refusal as an answer that is headers only."""
    number = status.STATUS[refusal.code].value
    details = base64.b64encode(status.encode(refusal)).rstrip(b"=")
    return [
        *_HEAD,
        (b"grpc-status", b"%d" % number),
        (b"grpc-message", quote(refusal.message[:_LONGEST].strip(), safe=_SAFE).encode()),
        (b"grpc-status-details-bin", details),
    ]


_SAFE: Final = "".join(map(chr, range(0x20, 0x25))) + "".join(map(chr, range(0x26, 0x7F)))
"""What `grpc-message` holds as it is."""


def _request(exchange: Exchange) -> bytes:
    try:
        message = exchange.message()
    except ValueError as error:
        raise Malformed(f"The request is {error}.") from None
    if message is None:
        raise Malformed("The request holds no message.")
    return message


async def _received(exchange: Exchange) -> AsyncGenerator[bytes, None]:
    """The requests of a stream.

    Raises:
        Refused: they end in the middle, or what comes is none.
    """
    if exchange.inbox is None:
        yield _request(exchange)
        return
    try:
        while (message := await exchange.inbox.next()) is not None:
            yield message
    except TooLong:
        raise too_large("request") from None
    except ValueError as error:
        raise Malformed(f"The request is {error}.") from None


def _local(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
