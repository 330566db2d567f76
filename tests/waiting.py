"""What tests wait for, and what they read off the metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from acme.telemetry import Metrics

BUSY: Final = 5.0
"""Seconds that a machine with much else to do may add to anything: what has to be quick is compared with so much more, and
what would be wrong takes longer still."""


async def until(true: Callable[[], Awaitable[bool]], limit: float = 15.0) -> float:
    """Seconds until it came true. Whoever asks for quickness names a limit; the default is for what never comes true."""
    started = time.monotonic()
    while not await true():
        assert time.monotonic() < started + limit, "it did not come true in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def sample(metrics: Metrics, line: str) -> float:
    """The value of a series."""
    return next(float(row.rpartition(" ")[2]) for row in metrics.render().decode().splitlines() if row.startswith(line))
