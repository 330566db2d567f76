"""Open-loop load: requests come when they come, whether the ones before have been answered or not.

Each is sent on a connection that waits for no answer at the moment; where there is none, it counts as not answered. An
answer counts as good when it has the expected status and came within the patience of its client.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, cast

STEP: Final = 0.001
"""Seconds between two looks at what is due."""


@dataclass
class Offered:
    """What became of the requests."""

    good: int = 0
    late: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unsent: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds, of good answers."""
    last_bad: float = 0.0
    """`time.monotonic()` at which the last request was to be sent that got no good answer."""
    seconds: float = 0.0
    retry_after: int = 0
    """Of the answers with status 503, those that say when to come again."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    def quantile(self, part: float) -> float:
        """Milliseconds of good answers."""
        return sorted(self.latencies)[int(part * (len(self.latencies) - 1))] * 1e3 if self.latencies else float("nan")


class _Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._received = b""
        self._since = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._crowd.idle.append(self)

    def send(self, since: float) -> None:
        """The request that was due at `since`."""
        self._since = since
        if self.transport is not None:
            self.transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        at = received.find(b"Content-Length: ", 0, head)
        length = int(received[at + 16 : received.find(b"\r", at + 16)]) if at >= 0 else 0
        if len(received) >= head + 4 + length:
            self._received = b""
            self._crowd.answered(int(received[9:12]), self._since, b"\r\nRetry-After: " in received)
            self._crowd.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._crowd.lost += 1


class _Crowd:
    """All of them."""

    def __init__(self, request: bytes, status: int, patience: float) -> None:
        self.request, self._status, self._patience = request, status, patience
        self.idle: deque[_Wire] = deque()
        self.found = Offered()
        self.lost = 0

    def answered(self, status: int, since: float, told_when: bool) -> None:
        took, found = time.monotonic() - since, self.found
        found.statuses[status] += 1
        found.retry_after += status == 503 and told_when
        if status == self._status and took <= self._patience:
            found.good += 1
            found.latencies.append(took)
        else:
            found.late += status == self._status
            found.last_bad = max(found.last_bad, since)


async def offer(
    host: str,
    port: int,
    request: bytes,
    *,
    rate: float,
    seconds: float,
    patience: float = 1.0,
    connections: int = 900,
    status: int = 200,
) -> Offered:
    """Sends `rate` requests a second for so long, evenly, over so many connections."""
    crowd = _Crowd(request, status, patience)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Wire(crowd), host, port)
    wires, started, sent = list(crowd.idle), time.monotonic(), 0
    found, idle = crowd.found, crowd.idle
    while (now := time.monotonic()) < started + seconds:
        due = int((now - started) * rate)
        while sent < due:
            since = started + sent / rate
            sent += 1
            if idle:
                idle.popleft().send(since)
            else:
                found.unsent += 1
                found.last_bad = since
        await asyncio.sleep(STEP)
    found.seconds = time.monotonic() - started
    until = time.monotonic() + patience
    while len(idle) < len(wires) - crowd.lost and time.monotonic() < until:  # noqa: ASYNC110  a thousand senders
        await asyncio.sleep(STEP)
    for wire in wires:
        if wire.transport is not None:
            wire.transport.abort()
    return found
