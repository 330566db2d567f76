"""The gateway: one pipeline, and the life of the server around it.

`Gateway._serve` is the order of things. A step that refuses raises `Refused`; `problems.caught` is the only place where
anything unexpected is caught; the answer, the log line and the metrics come after it, whatever happened.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TextIO

from aiohttp import hdrs, web
from multidict import istr

from acme.authorise import require_step_up
from acme.codec.json import Json
from acme.codec.wire import Wire
from acme.context import CALL, Call
from acme.contract import Method, Route, Service
from acme.errors import Code, DeadlineExceeded, NotFound, Refused
from acme.gateway import openapi
from acme.gateway.access import AccessLog
from acme.gateway.addresses import Addresses, network
from acme.gateway.auth import authenticate, bearer, known
from acme.gateway.binding import Bound, Lazy, unfit
from acme.gateway.cors import Cors
from acme.gateway.deadlines import Deadlines
from acme.gateway.endpoints import Fixed, Readiness, endpoints
from acme.gateway.exchange import Exchange
from acme.gateway.headers import (
    Hosts,
    RequestIds,
    check_content,
    check_encoding,
    check_version,
    idempotency,
    timeout,
    trace,
)
from acme.gateway.limits import Gate, Limits
from acme.gateway.problems import Rejected, caught, problem
from acme.gateway.refusals import Refusals
from acme.gateway.routing import Leaf, Routes
from acme.gateway.server import (
    JSON,
    PROBLEM,
    Reply,
    Server,
    check_size,
    header_lines,
    read_body,
    require_c_parser,
)
from acme.gateway.settings import GatewaySettings
from acme.gateway.transfers import Download, pieces
from acme.ports import Directory, Limiter
from acme.telemetry import Histogram, Metrics, logger
from acme.tokens import Verifier

log: Final = logger(__name__)

_Target = Fixed | Lazy
_IF_NONE_MATCH: Final = istr("If-None-Match")


@dataclass(frozen=True, slots=True)
class Info:
    """What the gateway says of itself."""

    title: str = "Acme Platform"
    version: str = "0.1.0"


class Gateway:
    """Serves the routes of `services` over HTTP/1.1, through clients of `directory`.

    `directory` calls as "gateway". `health` gives each plugin's state: "ok", "quarantined", or what is wrong with it;
    `stores` that of what requests can do without, for the details of readiness. `refusals` hears what the gateway refuses.
    """

    def __init__(
        self,
        services: Iterable[Service],
        directory: Directory,
        json: Json,
        wire: Wire,
        verifier: Verifier,
        metrics: Metrics,
        limiter: Limiter,
        settings: GatewaySettings,
        info: Info,
        health: Callable[[], Mapping[str, str]],
        log_to: TextIO | None = None,
        stores: Callable[[], Mapping[str, str]] = dict,
        refusals: Refusals | None = None,
    ) -> None:
        require_c_parser()
        self._services, self._directory = tuple(services), directory
        self._json, self._wire, self._verifier = json, wire, verifier
        self._settings, self._info = settings, info
        self._refusals = refusals
        self._access = AccessLog((log_to or sys.stderr) if settings.access_log else None)
        self.readiness: Final = Readiness(verifier, health, stores)
        self._routes: Routes[_Target] = Routes()
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None
        self._active = 0
        self._document = b""
        self._quiet = asyncio.Event()
        self._hosts = Hosts()
        self._deadlines = Deadlines()
        self._ids = RequestIds()
        self._addresses = Addresses(settings.proxies)
        self._limits = Limits(limiter, settings.limits, metrics)
        self._cors = Cors(settings.cors, self._services) if settings.cors.origins else None
        self._durations = metrics.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests.",
            ("http_request_method", "http_route", "http_response_status_code"),
        )
        self._breaks = metrics.counter(
            "http_server_broken_downloads_total", "Answers that broke off in the middle.", ("http_route", "error_type")
        )
        self._series: dict[tuple[str, str, int], Histogram] = {}
        metrics.gauge("http_server_active_requests", "HTTP requests in flight.", (), lambda: {(): float(self._active)})
        self._add_routes(metrics)

    def _add_routes(self, metrics: Metrics) -> None:
        for service in self._services:
            client: Any = self._directory.client(service.stub)
            for method in service.methods:
                for route in method.routes:
                    self._add(method, route, client)
        info, docs = self._info, self._settings.docs
        fixed = endpoints(info.title, info.version, self.readiness, metrics, self._verifier, self._openapi, docs=docs)
        for path, endpoint in fixed.items():
            self._routes.add("GET", path, endpoint)

    def _add(self, method: Method, route: Route, client: Any) -> None:
        if why := unfit(method, route):
            log.warning("a route is not served", method=method.path, route=f"{route.verb} {route.template}", why=why)
            return
        gate = self._limits.gate(method.rate_class)
        target = Lazy(lambda: Bound(method, route, names, client, self._json, self._wire), gate)
        names = self._routes.add(route.verb, route.template, target)

    def _openapi(self) -> bytes:
        if not self._document:
            self._document = openapi.render(self._services, self._settings, self._info.title, self._info.version)
        return self._document

    # ---- the pipeline -------------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange) -> Reply | Download:
        """The order of things. Each step lets the request pass or raises `Refused`."""
        request, headers = exchange.request, exchange.headers
        check_version(exchange.message.version)
        self._hosts.check(headers)
        leaf, values, query = self._find(exchange.message.path)
        exchange.route = leaf.template
        method = exchange.message.method
        target = leaf.targets.get("GET" if method == "HEAD" else method)
        if target is None:
            if self._cors is not None and self._cors.asked(method, headers):
                return self._reply(exchange, 204, "", b"", self._cors.preflight(leaf, headers))
            raise Rejected(405, "method_not_allowed", f"Allowed here: {leaf.allow}.", Allow=leaf.allow)
        has_body = request.body_exists
        settings = self._settings
        if isinstance(target, Fixed):
            if has_body:
                check_size(headers, settings.max_body)
            return self._reply(exchange, *target.answer(), target.lines)
        exchange.bound = bound = target.bound or target.bind()
        gate: Gate = target.gate
        exchange.charge(gate.address, network(exchange.address))
        if has_body:
            check_size(headers, settings.max_upload if bound.uploads else settings.max_body)
        token = ""
        if bound.permission:
            token = bearer(headers)
            principal = known(token, self._verifier, bound.permission)
            exchange.principal = principal = principal or await authenticate(token, self._verifier, bound.permission)
            exchange.charge(gate.only or gate.principal(principal), principal.id)
            if bound.step_up:
                require_step_up(principal, self._verifier.now())
        seconds = timeout(headers, settings, transfer=bound.uploads or bound.downloads)
        alarm = self._deadlines.start(exchange.task, seconds)
        outside = None
        try:
            body = b""
            if has_body:
                (check_encoding if bound.raw else check_content)(headers)
                if not bound.uploads:
                    body = await read_body(request, settings)
            message = bound.request(values, query, headers, body)
            outside = CALL.set(
                Call(
                    "",
                    exchange.principal,
                    exchange.request_id,
                    exchange.started + seconds,
                    "gateway",
                    exchange.address,
                    trace(headers),
                    idempotency(headers, bound, message),
                    credentials=token,
                    seen=self._verifier.seen,
                )
            )
            exchange.called = True
            if bound.uploads:
                message = bound.uploaded(message, pieces(request, settings))
            if bound.downloads:
                return await self._download(exchange, bound, message)
            reply = await bound.call(message)
        except Refused:
            if (
                bound.changes_access
            ):  # a refusal may have ended something: a refresh token that came back ends its session
                await self._verifier.catch_up()
            raise
        except asyncio.CancelledError:
            if alarm.caused():
                message = f"There was no answer within {seconds:g} seconds. Whether it was done is not known."
                raise DeadlineExceeded(message) from None
            raise
        finally:
            alarm.stop()
            if outside is not None:
                CALL.reset(outside)  # the task may serve the connection's next request too
        if bound.changes_access:
            await self._verifier.catch_up()
        if bound.tagged and _IF_NONE_MATCH in headers and bound.unchanged(reply, headers):
            return self._reply(exchange, 304, "", b"", bound.lines(reply))
        content, lines = bound.reply(reply)
        return self._reply(exchange, bound.status, JSON if content and not bound.raw_out else "", content, lines)

    async def _download(self, exchange: Exchange, bound: Bound, message: Any) -> Download:
        """An answer in pieces: until the first is there, a refusal is answered as any other."""
        async with aclosing(bound.stream(message)) as replies:
            first = await anext(replies, None)
            length, lines = (0, b"") if first is None else (bound.length(first), bound.reply(first)[1])
            keep, wait = not self.readiness.draining, self._settings.write_timeout
            lines = self._lines(exchange, lines)
            download = Download(exchange.request, exchange.request_id, bound.status, lines, length, keep, wait)

            async def data() -> AsyncGenerator[bytes, None]:
                if first is not None:
                    yield bound.data(first)
                    async for reply in replies:
                        yield bound.data(reply)

            exchange.download = download
            connection: Any = exchange.request.protocol
            async with aclosing(data()) as body:
                await download.run(connection, body)
        return download

    async def handle(self, request: web.BaseRequest) -> Reply | Download:
        """Answers one request, and accounts for it."""
        exchange = Exchange(request, self._ids, self._addresses)
        self._active += 1
        try:
            reply = await caught(self._serve, exchange, exchange.request_id)
            if isinstance(reply, Refused):
                if self._refusals is not None:
                    self._refusals.add(exchange, reply)
                if exchange.download is not None:
                    return self._broken(exchange, exchange.download, reply)
                reply = self._refusal(exchange, reply)
        except asyncio.CancelledError:
            if exchange.download is not None:
                self._account_broken(exchange, exchange.download, Code.CANCELLED, "client_gone")
            else:
                self._account(exchange, 499, 0)
            raise
        finally:
            self._active -= 1
            if not self._active:
                self._quiet.set()
        self._account(exchange, reply.status, reply.body_length)
        return reply  # type: ignore[no-any-return]  # caught() returns what _serve does

    def _find(self, target: str) -> tuple[Leaf[_Target], Sequence[str], str]:
        """The matched path, its variables and the query, all raw."""
        path, _, query = target.partition("?")
        if path[:1] != "/":  # absolute-form: RFC 9112, section 3.2.2
            path = "/" + path.partition("://")[2].partition("/")[2]
        found = self._routes.find(path)
        if found is None:
            raise NotFound("There is no such route: /v1/openapi.json lists them.", reason="route_not_found")
        return *found, query

    # ---- answers ------------------------------------------------------------------------------------------------

    def _reply(self, exchange: Exchange, status: int, content_type: str, body: bytes, lines: bytes = b"") -> Reply:
        keep, wait = not self.readiness.draining, self._settings.write_timeout
        if exchange.quota is not None or self._cors is not None:
            lines = self._lines(exchange, lines)
        return Reply(exchange.request, exchange.request_id, status, content_type, body, lines, keep, wait)

    def _lines(self, exchange: Exchange, lines: bytes) -> bytes:
        """Header lines of an answer: its own, what is left of a limit, and for whose pages it is."""
        if exchange.quota is not None:
            lines += exchange.quota.lines(exchange.spare)
        return lines if self._cors is None else lines + self._cors.lines(exchange.headers)

    def _refusal(self, exchange: Exchange, refusal: Refused) -> Reply:
        bound = exchange.bound
        if bound is not None:
            refusal = bound.placed(refusal)
        answer = problem(refusal, exchange.request_id, permission=bound.permission if bound is not None else "")
        return self._reply(exchange, answer.status, PROBLEM, answer.body, header_lines(answer.headers))

    def _broken(self, exchange: Exchange, download: Download, refusal: Refused) -> Reply:
        """An answer that had begun ends in the middle. The connection is reset: this reply is for nobody."""
        log.warning("a stream broke off", request_id=exchange.request_id, why=refusal.reason)
        self._account_broken(exchange, download, refusal.code, refusal.reason)
        reply = self._refusal(exchange, refusal)
        reply.mute()
        return reply

    def _account_broken(self, exchange: Exchange, download: Download, code: Code, why: str) -> None:
        self._breaks.bind(exchange.route, code.value).add()
        self._account(exchange, download.status, download.body_length, why)

    def _unreadable(self, request: web.BaseRequest, refusal: Refused) -> Reply:
        """The answer to what the HTTP parser refuses, when there is no request to speak of."""
        exchange = Exchange(request, self._ids, self._addresses)
        reply = self._refusal(exchange, refusal)
        self._account(exchange, reply.status, reply.body_length)
        return reply

    def _account(self, exchange: Exchange, status: int, size: int, broken: str = "") -> None:
        message, route, bound = exchange.message, exchange.route, exchange.bound
        method = message.method
        seconds = time.monotonic() - exchange.started
        series = self._series.get((method, route, status))
        if series is None:
            label = method if method in hdrs.METH_ALL else "_OTHER"
            series = self._series[method, route, status] = self._durations.bind(label, route, str(status))
        series.observe(seconds)
        path = route if bound is not None and bound.private else message.path.partition("?")[0]
        principal = exchange.principal.id
        name, address = exchange.request_id, exchange.address
        self._access.add(method, route, path, status, seconds, size, name, principal, address, broken)

    # ---- life ---------------------------------------------------------------------------------------------------

    async def start(self, listener: socket.socket) -> int:
        """Accepts connections on a bound socket, which is closed with the gateway; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = Server(self.handle, self._unreadable, self._settings)
        self._listener = await loop.create_server(self._server, sock=listener, backlog=1024)
        self.readiness.started = True
        port: int = listener.getsockname()[1]
        return port

    @property
    def in_flight(self) -> int:
        """Requests being served."""
        return self._active

    async def drain(self, grace: float, *, notice: float = 0.0) -> None:
        """Ends in order: not ready, `notice` seconds in which everything is still served and answers say
        `Connection: close`, no new connections, idle ones closed, and up to `grace` seconds for requests in flight."""
        self.readiness.draining = True
        if notice:
            await asyncio.sleep(notice)
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.close_idle()
        self._quiet.clear()
        if self._active:
            try:
                async with asyncio.timeout(grace):
                    await self._quiet.wait()
            except TimeoutError:
                log.warning("requests were cut off at the end of the drain", requests=self._active)
        await self.close()

    async def close(self) -> None:
        """Ends at once; requests in flight are cancelled."""
        self.readiness.draining = True
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await self._server.shutdown(0.1)
        self._access.flush()
