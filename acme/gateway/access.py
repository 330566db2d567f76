"""The access log: one JSON line a request.

Lines are encoded by msgspec and written in batches, since a request is worth 1 µs of logging and not 20: a hundred at a
time, at most 100 ms after the request, and at the drain. More at a time would leave the processor's caches before they are
written. The query string is left out, and so is the path of a route that carries personal data in it: the template stands
for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, TextIO

import msgspec

EVERY: Final = 0.1
"""Seconds a line waits at most."""
_MOST: Final = 100
"""Lines that wait."""
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


class AccessLog:
    """Keeps lines, and writes them to `stream`; `None` logs nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        """Where lines go from now on."""
        self._lines: list[Line] = []
        self._armed = False
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
        if millis != self._millis:
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
            self._armed = True
            asyncio.get_running_loop().call_later(EVERY, self._late)

    def _late(self) -> None:
        self._armed = False
        self.flush()

    def flush(self) -> None:
        """Writes what is buffered."""
        if self._lines and self.stream is not None:
            lines, self._lines = self._lines, []
            self.stream.write(self._encode(lines).decode())
            self.stream.flush()


def _stamp(millis: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000)) + f".{millis % 1000:03d}Z"
