"""Whom the gateway serves when there is more to do than it can: as many as it can in time, and the others hear so at once.

A gateway that takes on whatever comes answers nobody: each request waits for all others, and when its turn has come its
client has gone. Requests wait in two places.

- **For the event loop**, at each of their steps. How long, is how late a timer comes that rings a hundred times a second. A
  moment of it means nothing (a large reply, a collection of garbage); when even the least in a tenth of a second is beyond
  `[gateway.overload] queue`, everybody waits (Controlled Delay, RFC 8289). Then the number of requests under way is bounded:
  by an eighth less than there are, and an eighth less each time; by a tenth more each time when they do not wait. Streams
  are not counted.
- **For a connection to the database** of their service, where that is hosted here. How long, is how many wait, by how many a
  second have got one. Who would wait for longer than `wait`, or than a quarter of the time it has (`X-Request-Timeout`, or
  the route's own), is refused instead. What waits for a service that is elsewhere is bounded by its lane (`lanes.py`).

Refused is 503 `overloaded` with Retry-After, where that costs least (`sieve.py`), and counted in `acme_gateway_shed_total`.
`/healthz`, `/readyz`, `/metrics` and whatever else no contract describes is always answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp.http import RawRequestMessage

from acme.errors import Refused, Unavailable
from acme.gateway.deadlines import Deadlines
from acme.gateway.endpoints import Fixed
from acme.gateway.headers import X_REQUEST_TIMEOUT, timeout
from acme.gateway.lanes import Lane, Lanes
from acme.gateway.overload_settings import OverloadSettings
from acme.gateway.routing import Routes
from acme.gateway.sieve import Sieve, refusal
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

TICK: Final = 0.01
"""Seconds between two looks at how long requests wait."""
WINDOW: Final = 0.1
"""Seconds after which the bound follows."""
LEAST: Final = 64
"""Requests under way that are always let in; so many of a service, where it is about that."""
CALM: Final = 5
"""Windows in which nobody was refused, after which it is over."""
NOTICED: Final = 0.05
"""Seconds of waiting for a store from which on requests are looked at in their connection."""

Queue = Callable[[], tuple[int, int]]
"""How many wait, and how many have waited and had their turn, ever."""


class Store:
    """A queue, and the lanes of the services whose calls wait in it."""

    __slots__ = ("_lanes", "_read", "_served", "_speed")

    def __init__(self, read: Queue, lanes: list[Lane]) -> None:
        self._read, self._lanes = read, lanes
        self._served = read()[1]
        self._speed = 0.0
        """How many have their turn in a second, as of the last window in which anybody waited."""

    def look(self) -> float:
        """Seconds that who comes now will wait; its lanes know it from now on."""
        waiting = self._read()[0]
        delay = waiting / self._speed if waiting and self._speed else 0.0
        for lane in self._lanes:
            lane.delay = delay
        return delay

    def pass_window(self, seconds: float) -> None:
        """Measures how fast it is. When nobody has had a turn, it is half as fast as it was."""
        waiting, served = self._read()
        count, self._served = served - self._served, served
        if count:
            self._speed = (self._speed or count / seconds) / 2 + count / seconds / 2
        elif waiting:
            self._speed = max(self._speed / 2, 1.0)


class Overload:
    """Of one gateway."""

    def __init__(
        self,
        settings: OverloadSettings,
        deadlines: Deadlines,
        lanes: Lanes,
        routes: Routes[Any],
        sieve: Sieve,
        queues: Mapping[str, Queue],
        metrics: Metrics,
    ) -> None:
        """`deadlines` have the requests under way, of which `lanes` know the streams; `queues` are those that calls of a
        service wait in, by the service."""
        self._deadlines, self._active = deadlines, deadlines.active
        self._lanes, self._routes, self._sieve = lanes, routes, sieve
        self.most = settings.requests
        """Requests under way at present, streams counted: a further one is refused."""
        self.queued = 0
        """Requests that were let in by their connection while others are refused, and are not under way yet."""
        self.shedding = False
        """Whether more comes than the event loop can serve."""
        self._settings, self._limit = settings, settings.requests
        self._stores = [
            Store(read, [lane for name, of in queues.items() if of == read for lane in lanes.serving(name)])
            for read in dict.fromkeys(queues.values())
        ]
        self._watching, self._due, self._late = False, 0.0, 0.0
        self._least, self._looks, self._since = 0.0, 0, 0.0
        self._refused, self._calm, self._began = 0, 0, 0.0
        shed = metrics.counter(
            "acme_gateway_shed_total",
            "Requests refused because there was too much to do: more than the process can serve in time (queue), than may be"
            " under way (requests), or too long a wait for the time they had (deadline).",
            ("reason",),
        )
        self._shed = {reason: shed.bind(reason) for reason in ("queue", "requests", "deadline")}
        metrics.gauge(
            "acme_gateway_queue_seconds",
            "What each step of a request waited for the event loop, at least, in the last tenth of a second of work.",
            (),
            lambda: {(): max(0.0, self._late)},
        )
        metrics.gauge(
            "acme_gateway_requests_limit",
            "Requests that may be under way at present, streams not counted.",
            (),
            lambda: {(): float(self._limit)},
        )

    def configure(self, settings: OverloadSettings) -> None:
        """From now on."""
        self._settings = settings
        self._bound(self._limit if self.shedding else settings.requests)

    # ---- who is let in ------------------------------------------------------------------------------------------

    def refusal(self) -> Unavailable:
        """What a request is told beyond `most`."""
        self._count("queue" if self.shedding else "requests")
        return refusal()

    def weigh(self, lane: Lane, seconds: float) -> None:
        """Raises Unavailable where a call that may take so long would wait for too much of it."""
        if self._too_long(lane, seconds):
            self._count("deadline")
            raise refusal()

    def refuses(self, message: RawRequestMessage) -> bool:
        """Whether a plain request that has just come is refused, with nothing done for it."""
        path = message.path
        leaf = self._routes.literal.get(path)
        if leaf is None and (found := self._routes.find(path.partition("?")[0])) is not None:
            leaf = found[0]
        target = None if leaf is None else leaf.targets.get(message.method)
        if isinstance(target, Fixed):
            return False
        if self.shedding and len(self._active) + self.queued >= self.most:
            self._count("queue")
            return True
        if target is not None and target.lane.delay:
            seconds = target.policy.timeout
            if X_REQUEST_TIMEOUT in message.headers:
                try:
                    seconds = timeout(message.headers, target.policy.most)
                except Refused:
                    return False
            if self._too_long(target.lane, seconds):
                self._count("deadline")
                return True
        self.queued += 1
        return False

    def _too_long(self, lane: Lane, seconds: float) -> bool:
        return lane.delay > min(self._settings.wait, seconds / 4) and lane.active > LEAST

    def _count(self, reason: str) -> None:
        self._refused += 1
        self._shed[reason].add()

    # ---- how long it takes --------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Looks how long requests wait, for as long as there are any. Called when `deadlines` begin to look."""
        if not self._watching:
            self._watching = True
            self._begin(time.monotonic())
            self._arm()

    def _arm(self) -> None:
        self._due = time.monotonic() + TICK
        asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self._least = min(self._least, now - self._due)
        self._looks += 1
        if now - self._since >= WINDOW and self._looks > 1:
            for store in self._stores:
                store.pass_window(now - self._since)
            self.judge(self._least)
            self._begin(now)
        waits = max([store.look() for store in self._stores], default=0.0)
        if self.shedding or waits > NOTICED:
            self._sieve.close(self.refuses)
        else:
            self._sieve.open()
        self._watching = self._deadlines.sweeping or bool(self._active) or self.shedding
        if self._watching:
            self._arm()

    def _begin(self, now: float) -> None:
        self._least, self._looks, self._since = 60.0, 0, now

    def judge(self, waited: float) -> None:
        """Sets the bound after a window in which each step waited so many seconds at least."""
        self._late, limit = waited, self._limit
        if waited > self._settings.queue:
            under_way = len(self._active) - self._lanes.streams
            if not self.shedding and under_way > LEAST:
                self.shedding, self._began, limit = True, time.monotonic(), under_way
                log.warning("more comes than can be served: requests are refused", under_way=under_way)
            if self.shedding:
                limit = limit * 7 // 8
            self._calm = 0
        elif self.shedding:
            limit += limit // 10 + 4
            self._calm = 0 if self._refused else self._calm + 1
            if self._calm >= CALM:
                self.shedding, limit = False, self._settings.requests
                log.info("all requests are served again", after=round(time.monotonic() - self._began, 1))
        self._refused = self.queued = 0  # of whoever went away meanwhile, nobody counts down
        self._bound(limit)

    def _bound(self, limit: int) -> None:
        self._limit = min(self._settings.requests, max(LEAST, limit))
        self.most = self._limit + self._lanes.streams
