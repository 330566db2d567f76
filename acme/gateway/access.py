"""The access log: one JSON line a request.

Lines are encoded by msgspec and written in batches, since a request is worth 1 µs of logging and not 20: a hundred at a
time, at most 100 ms after the request, and at the drain. More at a time would leave the processor's caches before they are
written. The query string is left out, and so is the path of a route that carries personal data in it: the template stands
for it.

What never became a request (`Unread`) has a line too, with nothing in it that the client sent, and as long as there are few:
whoever sends nonsense as fast as a connection takes it must not fill the disk. Those that are left out, and what is refused
where there is no time for a line each, are counted together, a line a second and reason (`Tally`) while it lasts.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final, TextIO

import msgspec

from acme.gcra import Limit, admit

EVERY: Final = 0.1
"""Seconds a line waits at most."""
_MOST: Final = 100
"""Lines that wait."""
TOGETHER: Final = 1.0
"""Seconds of which one line tells what has none of its own."""
UNREAD: Final = Limit(rate=10, burst=100)
"""Lines of what never became a request, of one process."""
_LONGEST: Final = 500


class Line(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A request as it is logged, in this order."""

    time: str
    """When it ended: RFC 3339, UTC, milliseconds."""
    method: str
    route: str
    """Template of the route; "" when none matched."""
    path: str
    """Without the query."""
    status: int
    """What the client was told; of an answer that broke off, what it was told when that began."""
    duration_ms: float
    bytes: int
    """Of the body sent."""
    request_id: str
    principal: str
    """Id of who asked, "" for nobody."""
    address: str
    broken: str = ""
    """Why the answer broke off in the middle, such as "slow_client". Only on lines of answers that did."""


class Unread(msgspec.Struct, frozen=True, gc=False):
    """What the gateway answered without having understood a request, in this order; otherwise as `Line`."""

    time: str
    status: int
    duration_ms: float
    bytes: int
    request_id: str
    address: str
    refused: str
    """Why, as the problem's `code`, such as "malformed_request" or "slow_head"."""
    method: str = ""
    route: str = ""
    path: str = ""
    principal: str = ""


class Tally(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How many were refused for one reason in the last second, without lines of their own."""

    time: str
    reason: str
    """Why, such as "overloaded" or "per_address"."""
    shed: int = 0
    """Requests, or connections, for which there was no time or place."""
    suppressed: int = 0
    """Lines of what never became a request, which were left out."""


class AccessLog:
    """Keeps lines, and writes them to `stream`; `None` logs nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        """Where lines go from now on."""
        self._lines: list[Line | Unread | Tally] = []
        self._armed = False
        self._shed: Counter[str] = Counter()
        self._suppressed: Counter[str] = Counter()
        """By reason, in this second."""
        self._allowed = 0
        """What is left of `UNREAD`, as a theoretical arrival time."""
        self._encode = msgspec.json.Encoder().encode_lines
        self._millis, self._stamp = -1, ""

    def add(
        self,
        now: float,
        method: str,
        route: str,
        path: str,
        status: int,
        seconds: float,
        size: int,
        request_id: str,
        principal: str,
        address: str,
        broken: str = "",
    ) -> None:
        """A request that ended at `now`, in seconds since the Unix epoch, and took `seconds`."""
        if self.stream is None:
            return
        millis = int(now * 1000)
        if millis != self._millis:  # as `_time`, whose call would cost every request 0.1 µs
            self._millis, self._stamp = millis, _stamp(millis)
        if not path.isascii() or len(path) > _LONGEST:
            path = path[:_LONGEST].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        lines = self._lines
        took = int(seconds * 1e6) / 1000  # whole microseconds; round(…, 3) takes 0.2 µs more
        line = Line(self._stamp, method, route, path, status, took, size, request_id, principal, address, broken)
        lines.append(line)
        if len(lines) >= _MOST:
            self.flush()
        elif not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(EVERY, self._late)

    def _late(self) -> None:
        self._armed = False
        self.flush()

    def unread(
        self, now: float, status: int, seconds: float, size: int, request_id: str, address: str, why: str
    ) -> None:
        """What came never became a request, and was answered with `status`. Otherwise as `add`."""
        if self.stream is None:
            return
        self._allowed, spare = admit(self._allowed, time.monotonic_ns(), UNREAD)
        if spare < 0:
            self._tally(self._suppressed, why)
            return
        took = int(seconds * 1e6) / 1000
        self._append(Unread(self._time(now), status, took, size, request_id, address, why))

    def shed(self, reason: str) -> None:
        """A request or a connection has been refused that gets no line of its own."""
        if self.stream is not None:
            shed = self._shed
            if shed:  # the first of a second says when it is told
                shed[reason] += 1
            else:
                self._tally(shed, reason)

    def _tally(self, counts: Counter[str], reason: str) -> None:
        if not (self._shed or self._suppressed):
            asyncio.get_running_loop().call_later(TOGETHER, self._tell)
        counts[reason] += 1

    def _tell(self) -> None:
        """Lines of what was counted together."""
        stamp = self._time(time.time())
        for reason, count in self._shed.items():
            self._append(Tally(stamp, reason, shed=count))
        for reason, count in self._suppressed.items():
            self._append(Tally(stamp, reason, suppressed=count))
        self._shed.clear()
        self._suppressed.clear()

    def _append(self, line: Unread | Tally) -> None:
        self._lines.append(line)
        if not self._armed:
            self._arm()

    def _time(self, now: float) -> str:
        millis = int(now * 1000)
        if millis != self._millis:
            self._millis, self._stamp = millis, _stamp(millis)
        return self._stamp

    def close(self) -> None:
        """Writes all there is to be told."""
        self._tell()
        self.flush()

    def flush(self) -> None:
        """Writes what is buffered."""
        if self._lines and self.stream is not None:
            lines, self._lines = self._lines, []
            self.stream.write(self._encode(lines).decode())
            self.stream.flush()


def _stamp(millis: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000)) + f".{millis % 1000:03d}Z"
