"""The gateway: one pipeline, and the life of the server around it.

`Gateway._serve` is the order of things. A step that refuses raises `Refused`; `problems.settled` is the only place where
anything unexpected is caught; the answer, the log line and the metrics come after it, whatever happened.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TextIO, cast

from multidict import istr

from acme.authorise import require_step_up
from acme.codec.json import Json
from acme.codec.wire import Wire
from acme.context import Call
from acme.contract import Service
from acme.errors import DeadlineExceeded, Exhausted, NotFound, Refused
from acme.gateway import strict
from acme.gateway.access import AccessLog
from acme.gateway.accounts import Accounts
from acme.gateway.addresses import Addresses
from acme.gateway.answers import Answers
from acme.gateway.auth import authenticate, bearer, known, proof
from acme.gateway.bodies import check_size, read_body
from acme.gateway.cors import Cors
from acme.gateway.deadlines import Deadlines
from acme.gateway.endpoints import Answered, Fixed, Info, Readiness, endpoints
from acme.gateway.exchange import Exchange
from acme.gateway.headers import (
    TRACEPARENT,
    X_REQUEST_TIMEOUT,
    RequestIds,
    check_content,
    check_encoding,
    idempotency,
    state,
    timeout,
    trace,
)
from acme.gateway.lanes import PATIENT, Lanes
from acme.gateway.limits import Limits
from acme.gateway.listening import Doors, Listening
from acme.gateway.overload import Overload
from acme.gateway.problems import Rejected, settled
from acme.gateway.queues import Queue
from acme.gateway.refusals import Refusals
from acme.gateway.routing import Leaf
from acme.gateway.served import Served, Target
from acme.gateway.server import Reply, require_c_parser
from acme.gateway.settings import GatewaySettings
from acme.gateway.sieve import Sieve
from acme.gateway.streams import Streams
from acme.gateway.strict import Strict
from acme.gateway.transfers import Download
from acme.ports import Front, Limiter
from acme.telemetry import Metrics, logger
from acme.tokens import Assertions, Verifier
from acme.traces import UNTRACED, Trace, Tracer

log: Final = logger(__name__)

_IF_NONE_MATCH: Final = istr("If-None-Match")


class Gateway:
    """Serves the routes of `services` over HTTP/1.1, through clients of `directory`.

    `directory` calls as "gateway". `health` gives each plugin's state: "ok", "quarantined", or what is wrong with it;
    `stores` that of what requests can do without, for the details of readiness. `refusals` hears what the gateway refuses,
    `tracer` what every request does; nobody without one. `queues` are those that calls of a service wait in, by its name.
    """

    def __init__(
        self,
        services: Iterable[Service],
        directory: Front,
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
        tracer: Tracer | None = None,
        assertions: Assertions | None = None,
        queues: Mapping[str, Queue] | None = None,
    ) -> None:
        require_c_parser()
        self._services, self._directory = tuple(services), directory
        self._verifier, self._settings = verifier, settings
        self._metrics, self._limiter, self._log_to = metrics, limiter, log_to or sys.stderr
        self._access = AccessLog(self._log_to if settings.access_log else None)
        self.readiness: Final = Readiness(verifier, health, stores)
        self.doors: Final = Doors(settings, assertions, metrics)
        self._strict = Strict()
        self._deadlines = Deadlines()
        self._active = self._deadlines.active
        self._ids = RequestIds()
        self._addresses = Addresses(settings.proxies, settings.forwarded)
        self._now = verifier.now
        self._limits = Limits(limiter, settings.limits, metrics)
        self._cors = Cors(settings.cors, self._services) if settings.cors.origins else None
        self._tracer = tracer = tracer or Tracer(UNTRACED)
        tracer.running.append(lambda: [t for each in self._active if (t := cast(Exchange, each).trace) is not None])
        self._accounts = accounts = Accounts(metrics, self._access)
        self._answers = Answers(self.readiness, accounts, refusals, self._active, self._cors, settings.write_timeout)
        self._streams = Streams(settings, self.readiness, verifier, self._answers.lines, metrics)
        self._lanes = Lanes(self._services, settings.services, metrics)
        metrics.gauge(
            "http_server_active_requests",
            "HTTP requests in flight.",
            ("http_request_method", "url_scheme"),
            lambda: accounts.active(cast(Iterable[Exchange], self._active)),
        )
        own = partial(endpoints, info.title, info.version, self.readiness, metrics, verifier)
        self._served = Served(
            self._services, directory, json, wire, self._lanes, accounts, own, info, settings, self._limits
        )
        self._routes = self._served.routes
        self.doors.peers.refused = self._access.shed
        sieve = Sieve(self.doors.peers, self._strict, self._ids, self._access.shed)
        self._overload = Overload(
            settings.overload, self._deadlines, self._lanes, self._routes, sieve, queues or {}, metrics, self._verified
        )
        self._coming = self._overload.coming

    def prepare(self, settings: GatewaySettings) -> Callable[[], None]:
        """What puts these settings in the place of the present ones, between two requests: connections stay, and a request
        that is under way keeps what it has been given. All that may be wrong with them is found now.

        Raises:
            ValueError: they do not fit the services, a line a fault. Nothing has changed.
        """
        limits = Limits(self._limiter, settings.limits, self._metrics)
        serve = self._served.prepare(settings, limits)
        addresses = Addresses(settings.proxies, settings.forwarded)
        cors = Cors(settings.cors, self._services) if settings.cors.origins else None

        def commit() -> None:
            serve()
            self._settings, self._limits, self._addresses = settings, limits, addresses
            self._cors = self._answers.cors = cors
            self._answers.wait = settings.write_timeout
            self._access.close()
            self._access.stream = self._log_to if settings.access_log else None
            self.doors.configure(settings)
            self._streams.configure(settings)
            self._lanes.configure(settings.services)
            self._overload.configure(settings.overload)

        return commit

    # ---- the pipeline -------------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange) -> Answered | Download:
        """The order of things. Each step lets the request pass or raises `Refused`."""
        head = exchange.known
        if head is None or not head.strict:
            self._strict.check(exchange)
            if head is not None:
                head.strict = not exchange.message.should_close
        message, headers = exchange.message, exchange.headers
        leaf, values, query = self._find(exchange, message.path)
        exchange.route = leaf.template
        target = leaf.targets.get(message.method)
        if target is not None:
            exchange.series = target.series
        elif message.method == "HEAD" and "GET" in leaf.targets:
            target = leaf.targets["GET"]
        elif self._cors is not None and self._cors.asked(message.method, headers):
            return 204, "", b"", self._cors.preflight(leaf, headers)
        else:
            if message.upgrade:  # of CONNECT: what follows is not HTTP
                strict.end(exchange)
            raise Rejected(405, "method_not_allowed", f"Allowed here: {leaf.allow}.", Allow=leaf.allow)
        has_body, settings = exchange.has_body, self._settings
        if isinstance(target, Fixed):
            if has_body:
                check_size(headers, settings.max_body)
            return *target.answer(), target.lines
        exchange.bound = bound = target.bound or target.bind()
        if len(self._active) > self._overload.most and not bound.streams:
            raise self._overload.refusal()
        caused, tracer = trace(headers) if TRACEPARENT in headers else "", self._tracer
        recorded = None
        if tracer.on:
            exchange.trace = recorded = Trace(exchange.request_id, tracer, caused, state(headers) if caused else "")
        own, now = target.policy, self._now()
        gate = own.gate
        try:
            exchange.charge(gate.address, exchange.network, now)
        except Exhausted:
            shares = bound.permission and gate.address.shares(exchange.network)
            if not (shares and known(headers, exchange.connection.client, self._verifier, exchange.started, now)):
                raise
        if has_body:
            check_size(headers, own.max_body)
        token, permission, verifier = "", bound.permission, self._verifier
        if permission:
            client = exchange.connection.client
            if client is not None:
                token = proof(headers, client, now)
            elif head is None:
                token = bearer(headers)
            elif not (token := head.token):
                token = head.token = bearer(headers)
            principal = verifier.known(token, exchange.started, now)
            if principal is None or not principal.covers(permission):
                principal = await authenticate(token, verifier, permission, recorded)
            exchange.principal = principal
            exchange.charge(gate.only or gate.principal(principal), principal.id, now)
            if bound.step_up:
                require_step_up(principal, verifier.now())
        if recorded is not None:
            recorded.let_in = time.monotonic()
        seconds = timeout(headers, own.most) if X_REQUEST_TIMEOUT in headers else own.timeout
        lane = target.lane
        if lane.delay:
            self._overload.weigh(lane, seconds)
        self._deadlines.limit(exchange, exchange.started, seconds)
        try:
            body = b""
            if has_body:
                (check_encoding if bound.raw else check_content)(headers)
                if not bound.uploads:
                    body = await read_body(exchange, own.max_body, settings)
            asked = bound.request(values, query, headers, body)
            call = Call(  # by position: a keyword more would cost 0.09 µs
                bound.name,
                exchange.principal,
                exchange.request_id,
                exchange.due,
                "gateway",
                exchange.address,
                caused,
                None if bound.reads else idempotency(headers, bound, asked),
                permission,
                False,
                verifier.seen,
                {},
                token,
                (),
                recorded,
            )
            left = seconds
            if has_body or exchange.alarm is not None:
                left = exchange.due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded("There was no time left for the call.")
            if lane.free < 1:
                await lane.enter(exchange.due)
            lane.free -= 1
            exchange.called = True
            try:
                if bound.entry is None:
                    reply = await self._streams.answer(exchange, bound, own, call, asked)
                    if not bound.downloads:
                        reply = bound.reply(reply)
                else:
                    reply = await bound.entry.send(call, asked)
            except BaseException as error:
                lane.left(error, left > PATIENT * own.timeout, exchange.alarm)
                raise
            lane.free += 1
            if lane.eventful:
                lane.answered()
        except Refused:
            # A refusal may have ended something: a refresh token that came back ends its session.
            if bound.changes_access:
                await verifier.catch_up()
            raise
        except asyncio.CancelledError:
            if exchange.alarm is not None and exchange.alarm.caused():
                told = f"There was no answer within {seconds:g} seconds. Whether it was done is not known."
                raise DeadlineExceeded(told) from None
            raise
        finally:
            self._deadlines.over(exchange)
        if bound.changes_access:
            await verifier.catch_up()
        if bound.downloads:
            return cast(Download, reply)
        content, lines = reply
        if bound.tagged and _IF_NONE_MATCH in headers and bound.unchanged(lines, headers):
            return 304, own.bare, b"", lines
        return bound.status, own.kind if content and not bound.raw_out else own.bare, content, lines

    def handle(self, exchange: Exchange) -> Awaitable[Reply | Download]:
        """Answers one request, and accounts for it."""
        exchange.begin(self._ids, self._addresses)
        self._active.add(exchange)
        coming = self._coming
        if coming.count:
            coming.count -= 1
        if not self._deadlines.sweeping:
            self._deadlines.sweep()
            self._overload.watch()
        return settled(self._serve, exchange, self._answers.settle, self._answers.cancelled)

    def _find(self, exchange: Exchange, target: str) -> tuple[Leaf[Target], Sequence[str], str]:
        """The matched path, its variables and the query, all raw."""
        literal = self._routes.literal.get(target)
        if literal is not None:
            exchange.path = target
            return literal, (), ""
        if target[:1] != "/":  # what proxies get: RFC 9112, section 3.2
            exchange.path = target.partition("?")[0]
            target = strict.path(exchange)
        path, _, query = target.partition("?")
        exchange.path = path
        found = self._routes.find(path)
        if found is None:
            raise NotFound("There is no such route: /v1/openapi.json lists them.", reason="route_not_found")
        return *found, query

    def _verified(self, token: str) -> bool:
        """Whether it was verified already."""
        return self._verifier.known(token, time.monotonic(), self._now()) is not None

    def _unreadable(self, exchange: Exchange, refusal: Refused) -> Reply:
        """The answer to what the HTTP parser refuses, when there is no request to speak of."""
        exchange.begin(self._ids, self._addresses)
        return self._answers.unread(exchange, refusal)

    # ---- life ---------------------------------------------------------------------------------------------------

    async def start(
        self, listener: socket.socket, tls: ssl.SSLContext | None = None, further: Iterable[Listening] = ()
    ) -> int:
        """Accepts connections on a bound socket, and on `further` ones, which are closed with the gateway; returns the
        port of the first."""
        port = await self.doors.open(self.handle, self._unreadable, Exchange, Listening(listener, tls), *further)
        self.readiness.started = True
        return port

    @property
    def in_flight(self) -> int:
        """Requests being served."""
        return len(self._active)

    async def drain(self, grace: float, *, notice: float = 0.0) -> None:
        """Ends in order: not ready, `notice` seconds in which everything is still served and answers say
        `Connection: close`, no new connections, idle ones closed, and up to `grace` seconds for requests in flight."""
        self.readiness.draining = True
        if notice:
            await asyncio.sleep(notice)
        self._overload.drain()
        self.doors.shut()
        self._streams.drain()
        self._answers.quiet.clear()
        if self._active:
            try:
                async with asyncio.timeout(grace):
                    await self._answers.quiet.wait()
            except TimeoutError:
                log.warning("requests were cut off at the end of the drain", requests=len(self._active))
        await self.close()

    async def close(self) -> None:
        """Ends at once; requests in flight are cancelled."""
        self.readiness.draining = True
        await self.doors.close()
        self._access.close()
