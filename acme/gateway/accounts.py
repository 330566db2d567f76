"""What is kept of every request once it has ended: a line of the access log, and its duration by route, verb and status."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import hdrs

from acme.contract import Method, Route
from acme.errors import Code
from acme.gateway.access import AccessLog
from acme.gateway.exchange import Exchange
from acme.gateway.transfers import Download
from acme.telemetry import Histogram, Metrics
from acme.traces import HTTP

_THEIRS: Final = frozenset({"client_gone", "slow_client"})
"""Why an answer broke off through no fault of ours."""


def verb(method: str) -> str:
    """A request's verb as a label: clients make up as many as they like."""
    return method if method in hdrs.METH_ALL else "_OTHER"


def scheme(exchange: Exchange) -> str:
    """What a request came by, to this process: `url_scheme`."""
    return "https" if exchange.connection.secure else "http"


class Accounts:
    """Of one gateway."""

    def __init__(self, metrics: Metrics, access: AccessLog) -> None:
        self._access = access
        self._durations = metrics.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests.",
            ("http_request_method", "url_scheme", "http_route", "http_response_status_code"),
        )
        self._breaks = metrics.counter(
            "http_server_broken_downloads_total", "Answers that broke off in the middle.", ("http_route", "error_type")
        )
        self._hidden: tuple[str, ...] = ()
        """How paths begin that hold personal data: of those that lead nowhere, no more is logged."""
        self._others: dict[tuple[str, str], tuple[dict[int, Histogram], dict[int, Histogram]]] = {}
        """Durations of what has no series of its own: no route, and HEAD."""
        self._seen: dict[tuple[str, ...], float] = {}
        """Verbs and schemes of which requests were in flight at a scrape."""

    def hide(self, method: Method, route: Route, variables: Sequence[str]) -> None:
        """Learns of a route."""
        fields = {field.name: field for field in method.request.fields}
        private = [name for name in variables if fields[name].pii or fields[name].secret]
        if private:
            self._hidden = (*self._hidden, route.template.partition(f"{{{private[0]}")[0].partition("{")[0])

    def add(self, exchange: Exchange, status: int, size: int, now: float, broken: str = "") -> None:
        """A request that ended at `now`, in seconds since the Unix epoch, with so many bytes of body; `broken` says why its
        answer broke off."""
        route, bound, seconds = exchange.route, exchange.bound, time.monotonic() - exchange.started
        method, series = exchange.message.method, exchange.series
        if series is None:
            series = self._others.setdefault((method, route), ({}, {}))
        secure = exchange.connection.secure
        try:
            durations = series[secure][status]
        except KeyError:
            durations = series[secure][status] = self._durations.bind(
                verb(method), scheme(exchange), route, str(status)
            )
        durations.observe(seconds)
        path = exchange.path
        if bound is None:
            path = route or self._shown(path)
        elif bound.private:
            path = route
        if (trace := exchange.trace) is not None:
            started = exchange.started
            if not exchange.called:
                trace.called = False
            trace.spans.append((0, -1, HTTP, method, started, started + seconds, status, route))
            took = seconds if exchange.download is None else 0.0  # a stream lasts as long as its client likes
            trace.tracer.end(trace, took, status >= 500 or (broken != "" and broken not in _THEIRS))
        name, principal, address = exchange.request_id, exchange.principal.id, exchange.address
        self._access.add(now, method, route, path, status, seconds, size, name, principal, address, broken)

    def unread(self, exchange: Exchange, status: int, size: int, now: float, why: str) -> None:
        """What never became a request has been answered; nothing of what came is told. Otherwise as `add`."""
        seconds = time.monotonic() - exchange.started
        self._durations.bind("_OTHER", scheme(exchange), "", str(status)).observe(seconds)
        self._access.unread(now, status, seconds, size, exchange.request_id, exchange.address, why)

    def active(self, exchanges: Iterable[Exchange]) -> dict[tuple[str, ...], float]:
        """How many of these there are by verb and scheme, and of which there have been some."""
        counts = dict.fromkeys(self._seen, 0.0)
        for exchange in exchanges:
            key = verb(exchange.message.method), scheme(exchange)
            counts[key] = counts.get(key, 0.0) + 1
        self._seen = counts
        return counts

    def _shown(self, path: str) -> str:
        """What a path that leads nowhere shows in the log."""
        for start in self._hidden:
            if path.startswith(start):
                return f"{start}…"
        return path.partition("?")[0]

    def broken(self, exchange: Exchange, download: Download, code: Code, why: str) -> None:
        """One of which the answer broke off in the middle, just now."""
        self._breaks.bind(exchange.route, code.value).add()
        self.add(exchange, download.status, download.body_length, time.time(), why)
