"""Whom the gateway serves when there is more to do than it can: as many as it can in time, and the others hear so at once.

A gateway that takes on whatever comes answers nobody: each request waits for all others, and when its turn has come its
client has gone. So the number of requests under way is bounded, and the bound follows the time that they wait.

- **Queue time** is what a step of a request waits for its turn on the event loop: what a timer that rings a hundred times a
  second is late. A moment of it means nothing (a large reply, a collection of garbage). When even the least in a tenth of a
  second is beyond `[gateway.overload] queue`, everybody waits (Controlled Delay, RFC 8289), and the bound goes down, to what
  was under way and then by an eighth each time; when it is not, the bound goes up by a tenth. Streams are not counted.
- What comes beyond the bound is refused where that costs least: in the connection, when its head has been read. There is no
  task then, no route and no log line, and the connection goes on. So it is with plain requests: without a body, an Origin,
  or any header that needs a second look. Others are refused in the pipeline.
- A request with less time left than a step now waits is refused too (`X-Request-Timeout`, or the route's time).
- `/healthz`, `/readyz`, `/metrics` and whatever else no contract describes is always answered.

Refused is 503 `overloaded` with Retry-After, and counted in `acme_gateway_shed_total`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Set
from typing import Any, Final

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr

from acme.errors import Unavailable
from acme.gateway.connection import Connection
from acme.gateway.headers import LONGEST_ID, RequestIds
from acme.gateway.lanes import Lanes
from acme.gateway.overload_settings import OverloadSettings
from acme.gateway.peers import Peers
from acme.gateway.problems import problem
from acme.gateway.server import PROBLEM
from acme.gateway.strict import Strict
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

TICK: Final = 0.01
"""Seconds between two looks at how late the event loop is."""
WINDOW: Final = 0.1
"""Seconds after which the bound follows."""
LEAST: Final = 64
"""Requests under way that are always let in."""
CALM: Final = 5
"""Windows in which nobody was refused, after which it is over."""

_ORIGIN: Final = istr("Origin")
_TOLD: Final = "There is too much to do: try again in a moment."
_ID: Final = "\0"
"""Stands for the id of a request."""
_RETRY: Final = b"\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"


class Overload:
    """Of one gateway."""

    def __init__(
        self,
        settings: OverloadSettings,
        active: Set[object],
        lanes: Lanes,
        peers: Peers,
        strict: Strict,
        ids: RequestIds,
        metrics: Metrics,
    ) -> None:
        """`active` are the requests under way, of which `lanes` knows the streams."""
        self._active, self._lanes = active, lanes
        self.spared: Collection[str] = ()
        """Paths that are always answered."""
        self._peers, self._strict, self._ids = peers, strict, ids
        self.most = 0
        """Requests under way at present, streams counted: a further one is refused."""
        self.delay = 0.0
        """Seconds that each step of a request waits at least; 0 where that is nothing to speak of."""
        self.queued = 0
        """Requests that were let in by their connection while some are refused, and are not under way yet."""
        self._limit, self._settings = 0, settings
        self._told = Unavailable(_TOLD, reason="overloaded")
        self._watching, self._due = False, 0.0
        self._least, self._looks, self._since = 0.0, 0, 0.0
        self._refused, self._calm, self._began = 0, 0, 0.0
        told = problem(self._told, _ID).body
        self._before, _, self._after = told.partition(b"\\u0000")
        length = len(self._before) + len(self._after)
        self._lines = [_RETRY % (length + more) for more in range(LONGEST_ID + 1)]
        """By the length of the request's id."""
        shed = metrics.counter(
            "acme_gateway_shed_total",
            "Requests refused because there was too much to do: more than can be served in time (queue), than may be under"
            " way (requests), or no time left (deadline).",
            ("reason",),
        )
        self._shed = {reason: shed.bind(reason) for reason in ("queue", "requests", "deadline")}
        metrics.gauge(
            "acme_gateway_queue_seconds",
            "What each step of a request waited for its turn, at least, in the last tenth of a second of work.",
            (),
            lambda: {(): max(0.0, self._last)},
        )
        metrics.gauge(
            "acme_gateway_requests_limit",
            "Requests that may be under way at present, streams not counted.",
            (),
            lambda: {(): float(self._limit)},
        )
        self._last = 0.0
        self.configure(settings)

    def configure(self, settings: OverloadSettings) -> None:
        """From now on."""
        self._settings = settings
        self._bound(min(self._limit, settings.requests) if self.shedding else settings.requests)

    @property
    def shedding(self) -> bool:
        """Whether more comes than can be served."""
        return self._peers.sift is not None

    def refusal(self, reason: str = "") -> Unavailable:
        """What a request is told for which there is no time or place."""
        self._refused += 1
        self._shed[reason or ("queue" if self.shedding else "requests")].add()
        return Unavailable(_TOLD, reason="overloaded")

    # ---- how long it takes --------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Looks at the event loop for as long as anything is under way."""
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
            self.judge(self._least)
            self._begin(now)
        self._watching = bool(self._active) or self.shedding
        if self._watching:
            self._arm()

    def _begin(self, now: float) -> None:
        self._least, self._looks, self._since = 60.0, 0, now

    def judge(self, waited: float) -> None:
        """Sets the bound after a window in which each step waited so many seconds at least."""
        self._last = waited
        late, limit = waited > self._settings.queue, self._limit
        self.delay = waited if late else 0.0
        if late:
            if not self.shedding:
                self._enter()
                limit = len(self._active) - self._lanes.streams
            limit = limit * 7 // 8
            self._calm = 0
        elif self.shedding:
            limit += limit // 10 + 4
            self._calm = 0 if self._refused else self._calm + 1
            if self._calm >= CALM:
                self._leave()
                limit = self._settings.requests
        self._refused = self.queued = 0  # of whoever went away meanwhile, nobody counts down
        self._bound(limit)

    def _bound(self, limit: int) -> None:
        self._limit = min(self._settings.requests, max(LEAST, limit))
        self.most = self._limit + self._lanes.streams

    def _enter(self) -> None:
        self._peers.sift = self.sift
        self._began = time.monotonic()
        log.warning("more comes than can be served: requests are refused", under_way=len(self._active))

    def _leave(self) -> None:
        self._peers.sift = None
        log.info("all requests are served again", after=round(time.monotonic() - self._began, 1))

    # ---- in the connection --------------------------------------------------------------------------------------

    def sift(self, connection: Connection, message: Any, payload: object) -> bytes | None:
        """The refusal of a request that has just come; `None` where it goes its way."""
        if (
            type(message) is not RawRequestMessage
            or payload is not EMPTY_PAYLOAD
            or message.should_close
            or message.upgrade
            or message.method == "HEAD"
            or message.version is not HttpVersion11
            or not self._strict.plain(message.headers)
            or _ORIGIN in message.headers
            or message.path.partition("?")[0] in self.spared
        ):
            return None
        if len(self._active) + self.queued < self.most:
            self.queued += 1
            return None
        self._refused += 1
        self._shed["queue"].add()
        request_id = self._ids.of(message.headers)
        head, id_bytes = connection.head_until_id(503, PROBLEM, time.time()), request_id.encode()
        return b"".join((head, id_bytes, self._lines[len(request_id)], self._before, id_bytes, self._after))
