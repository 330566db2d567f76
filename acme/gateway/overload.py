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
  the route's own), is refused instead. When all wait for longer than `queue`, plain requests wait in line before they are
  read, so that few are under way (`queues.py`). What waits for a service that is elsewhere is bounded by its lane
  (`lanes.py`).

Refused is 503 `overloaded` with Retry-After, where that costs least (`sieve.py`), and counted in `acme_gateway_shed_total`.
`/healthz`, `/readyz`, `/metrics` and whatever else no contract describes is always answered.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp.http import RawRequestMessage

from acme.errors import Malformed, Unavailable
from acme.gateway.connection import Connection
from acme.gateway.deadlines import Deadlines
from acme.gateway.endpoints import Fixed
from acme.gateway.headers import X_REQUEST_TIMEOUT, timeout
from acme.gateway.lanes import Lane, Lanes
from acme.gateway.overload_settings import OverloadSettings
from acme.gateway.queues import Coming, Queue, Store
from acme.gateway.routing import Leaf, Routes
from acme.gateway.served import Target
from acme.gateway.sieve import KEPT, Said, Sieve, refusal
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
PART: Final = 0.25
"""Of the time that a request has, which it may spend waiting for a store."""
NOTICED: Final = 0.05
"""Seconds of waiting for a store from which on requests are looked at in their connection."""


class Overload:
    """Of one gateway."""

    def __init__(
        self,
        settings: OverloadSettings,
        deadlines: Deadlines,
        lanes: Lanes,
        routes: Routes[Target],
        sieve: Sieve,
        queues: Mapping[str, Queue],
        metrics: Metrics,
        known: Callable[[str], bool],
    ) -> None:
        """`deadlines` have the requests under way, of which `lanes` know the streams; `queues` are those that calls of a
        service wait in, by the service.
        `known` says of a token whether it was verified already."""
        self._known = known
        self._deadlines, self._active = deadlines, deadlines.active
        self._lanes, self._routes, self._sieve = lanes, routes, sieve
        self.most = settings.requests
        """Requests under way at present, streams counted: a further one is refused."""
        self.coming = Coming()
        self.shedding = False
        """Whether more comes than the event loop can serve."""
        self._settings, self._limit = settings, settings.requests
        self._stores = [
            Store(
                read,
                [lane for name, of in queues.items() if of == read for lane in lanes.serving(name)],
                self.coming,
                lambda: self._count("deadline"),
            )
            for read in dict.fromkeys(queues.values())
        ]
        self._leaves: dict[str, Leaf[Target]] = {}
        """Paths that were asked for lately → where they lead."""
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
        self._leaves.clear()
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

    def skimmed(self, connection: Connection, data: bytes, method: str, path: str, said: Said) -> bool | None:
        """What becomes of a plain request that has just come, before it is parsed: it is refused, goes its way (False), or
        waits in line (None). Only who bears a token that was verified already may wait: strangers would fill the line,
        before any limit is asked about them."""
        target = self._target(method, path)
        if isinstance(target, Fixed):
            return False
        if self._crowded:
            self._count("queue")
            return True
        store = None if target is None else target.lane.store
        if target is None or store is None or not store.full or not self._known(said.token):
            return False
        own, seconds = target.policy, said.seconds
        if seconds != seconds:  # it will hear that this is no time
            return False
        seconds = own.timeout if seconds == math.inf else min(seconds, own.most)
        if store.keep(connection, data, self._patience(seconds)):
            return None
        self._count("deadline")
        return True

    def sifted(self, message: RawRequestMessage) -> bool:
        """Whether a plain request that has been parsed is refused, with nothing done for it."""
        target = self._target(message.method, message.path)
        if isinstance(target, Fixed):
            return False
        if self._crowded:
            self._count("queue")
            return True
        if target is not None and target.lane.delay:
            try:
                headers, own = message.headers, target.policy
                seconds = timeout(headers, own.most) if X_REQUEST_TIMEOUT in headers else own.timeout
            except Malformed:
                return False
            if self._too_long(target.lane, seconds):
                self._count("deadline")
                return True
        self.coming.count += 1
        return False

    def drain(self) -> None:
        """Nobody waits in line any more."""
        for store in self._stores:
            store.clear()

    def _target(self, method: str, path: str) -> Target | None:
        """What answers a method of a path; `None` where nothing does."""
        leaf = self._leaves.get(path)
        if leaf is None:
            leaf = self._routes.literal.get(path)
            if leaf is None and (found := self._routes.find(path.partition("?")[0])) is not None:
                leaf = found[0]
            if leaf is None:
                return None
            if len(self._leaves) >= KEPT:
                self._leaves.clear()
            self._leaves[path] = leaf
        return leaf.targets.get(method)

    @property
    def _crowded(self) -> bool:
        return self.shedding and len(self._active) + self.coming.count >= self.most

    def _patience(self, seconds: float) -> float:
        """How long who has so many seconds may wait for a store."""
        return min(self._settings.wait, seconds * PART)

    def _too_long(self, lane: Lane, seconds: float) -> bool:
        delay = lane.delay  # compared with both that `_patience` is the least of: a `min` takes as long as all of this
        return (delay > seconds * PART or delay > self._settings.wait) and lane.active > LEAST

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
                store.pass_window(now - self._since, self._settings.queue)
            self.judge(self._least)
            self._begin(now)
        waits = max([store.look() for store in self._stores], default=0.0)
        if self.shedding or waits > NOTICED or any(store.standing for store in self._stores):
            self._sieve.close(self.skimmed, self.sifted)
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
        self._refused = self.coming.count = 0  # of whoever went away meanwhile, nobody counts down
        self._bound(limit)

    def _bound(self, limit: int) -> None:
        self._limit = min(self._settings.requests, max(LEAST, limit))
        self.most = self._limit + self._lanes.streams
