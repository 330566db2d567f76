"""One request on its way through the pipeline."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from acme.context import ANONYMOUS, Principal
from acme.gateway.addresses import Addresses, network
from acme.gateway.binding import Bound
from acme.gateway.connection import Connection
from acme.gateway.deadlines import NEVER, Alarm
from acme.gateway.headers import RequestIds
from acme.gateway.limits import Quota
from acme.gateway.server import Request
from acme.gateway.transfers import Download
from acme.telemetry import Histogram
from acme.traces import Trace

_IN_TASKS: Final = sys.version_info >= (3, 12)
"""Whether aiohttp runs each request in a task of its own, within the connection's; see `one_task.py`."""


class Exchange(Request):
    """One request on its way, and what became known of it."""

    __slots__ = (
        "address",
        "alarm",
        "bound",
        "called",
        "download",
        "due",
        "known",
        "network",
        "path",
        "principal",
        "quota",
        "request_id",
        "route",
        "series",
        "spare",
        "started",
        "trace",
    )

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: Connection,
        _writer: object,
        task: asyncio.Task[Any],
    ) -> None:
        # What Request does is said again: a call of its own is 0.1 µs, and this runs for every request.
        self.message, self.payload, self.connection = message, payload, connection
        self.headers = headers = message.headers
        known = connection.known
        self.known = known if known is not None and known.headers is headers else None
        """What was found in these very header lines before, or will be."""
        self.has_body = payload is not EMPTY_PAYLOAD
        self._task = task
        self.started = connection.came or time.monotonic()
        if connection.came:
            connection.came = 0.0
        self.request_id = ""
        self.address, self.network = connection.address, connection.network
        """Who asks, and what counts as one address for limits; the gateway knows better where it has proxies."""
        self.path = self.route = ""
        """What was asked for, without the query, and the template of its route."""
        self.due = NEVER
        """When its time is up, and the alarm that was set for it or has rung; see deadlines.py."""
        self.alarm: Alarm | None = None
        self.download: Download | None = None
        """The answer in pieces, once that has begun."""
        self.bound: Bound | None = None
        self.series: tuple[dict[int, Histogram], dict[int, Histogram]] | None = None
        """Durations of its route and verb, by status, over HTTP and over HTTPS."""
        self.called = False
        """Whether the method was called: what is refused before, is refused by the gateway."""
        self.principal: Principal = ANONYMOUS
        self.trace: Trace | None = None
        """Where its steps are recorded, once its route is known."""
        self.quota: Quota | None = None
        """The limit that was asked last, and what it had left."""
        self.spare = 0

    @property
    def task(self) -> asyncio.Task[Any]:
        """The task that serves it."""
        return self._task

    def begin(self, ids: RequestIds, addresses: Addresses) -> None:
        """It is served from now on, by the current task."""
        known = self.known
        self.request_id = ids.new() if known is not None and not known.named else ids.of(self.headers)
        if addresses.believes:
            self.address = addresses.of(self.address, self.headers)
            self.network = network(self.address)
        if _IN_TASKS and (task := asyncio.current_task()) is not None:
            self._task = task

    def charge(self, quota: Quota, key: str, now: float) -> None:
        """Raises `Exhausted` (429) when there is nothing left for `key`. `now`: the platform's time, in seconds."""
        self.quota = quota
        self.spare = spare = quota.take(key, now)
        if spare < 0:
            raise quota.refusal(spare)
