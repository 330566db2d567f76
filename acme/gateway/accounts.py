"""What is kept of every request once it has ended: a line of the access log, and its duration by route, verb and status."""

from __future__ import annotations

import time

from aiohttp import hdrs

from acme.errors import Code
from acme.gateway.access import AccessLog
from acme.gateway.exchange import Exchange
from acme.gateway.transfers import Download
from acme.telemetry import Histogram, Metrics


class Accounts:
    """Of one gateway."""

    def __init__(self, metrics: Metrics, access: AccessLog) -> None:
        self._access = access
        self._durations = metrics.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests.",
            ("http_request_method", "http_route", "http_response_status_code"),
        )
        self._breaks = metrics.counter(
            "http_server_broken_downloads_total", "Answers that broke off in the middle.", ("http_route", "error_type")
        )
        self._others: dict[tuple[str, str], dict[int, Histogram]] = {}
        """Durations of what has no series of its own: no route, and HEAD."""

    def add(self, exchange: Exchange, status: int, size: int, now: float, broken: str = "") -> None:
        """A request that ended at `now`, in seconds since the Unix epoch, with so many bytes of body; `broken` says why its
        answer broke off."""
        route, bound, seconds = exchange.route, exchange.bound, time.monotonic() - exchange.started
        method, series = exchange.message.method, exchange.series
        if series is None:
            series = self._others.setdefault((method, route), {})
        try:
            durations = series[status]
        except KeyError:
            label = method if method in hdrs.METH_ALL else "_OTHER"
            durations = series[status] = self._durations.bind(label, route, str(status))
        durations.observe(seconds)
        path = route if bound is not None and bound.private else exchange.path
        name, principal, address = exchange.request_id, exchange.principal.id, exchange.address
        self._access.add(now, method, route, path, status, seconds, size, name, principal, address, broken)

    def broken(self, exchange: Exchange, download: Download, code: Code, why: str) -> None:
        """One of which the answer broke off in the middle, just now."""
        self._breaks.bind(exchange.route, code.value).add()
        self.add(exchange, download.status, download.body_length, time.time(), why)
