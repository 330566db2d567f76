"""Addresses without number ask one gateway, and somebody who is known among them.

`python -m tests.flood URL [ADDRESSES]`, with a limiter at URL; a million when left out, and room for a tenth of them in each
class, as everybody has for a million. In a process of its own, so that its memory is that of the flood. Prints as JSON what
came of it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from acme import drivers
from acme.context import Kind, Principal
from acme.drivers.clock import SystemClock
from acme.gateway.addresses import network
from acme.gateway.limits import Limits
from acme.gateway.settings import LimitSettings
from acme.tasks import Tasks
from acme.telemetry import Metrics

MILLION: Final = 1_000_000
CLASSES: Final = ("default", "credentials", "refresh")
"""Of the platform's contracts."""
KNOWN: Final = Principal(Kind.USER, "usr_known")
NOW: Final = 1_800_000_000.0
"""The platform's time, which stands still: no bucket fills meanwhile, and none gives way. The worst there is."""


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def address(number: int, addresses: int) -> str:
    """All different, a million of them from nearly all over the internet; one in thirty-two of IPv6."""
    scattered = number * 2_654_435_761 % (addresses << 11)
    if number % 32:
        return str(IPv4Address(0x0B000000 + scattered))
    return str(IPv6Address((0x2A00 << 112) + (scattered << 66) + 1))


async def flood(url: str, addresses: int) -> dict[str, float]:
    """What so many addresses come to, each of which asks once."""
    metrics = Metrics()
    async with Tasks("flood", metrics) as tasks:
        limiter = drivers.open_limiter(url, clock=SystemClock(), tasks=tasks, metrics=metrics, timeout=5.0, gateways=1)
        limits = Limits(limiter, LimitSettings(keys=addresses // 10), metrics)
        gates = [limits.gate(name) for name in CLASSES]
        quota = gates[0].principal(KNOWN)
        before, started = resident(), time.monotonic()
        most, asked, through = before, 0, 0
        for number, gate in zip(range(addresses), itertools.cycle(gates), strict=False):
            gate.address.take(network(address(number, addresses)), NOW)
            if number % (addresses // 2000) == 0:
                asked += 1
                through += quota.take(KNOWN.id, NOW) >= 0
                most = max(most, resident())
                await asyncio.sleep(0)
        seconds = time.monotonic() - started
        honest = gates[1].address.take(network("198.51.100.7"), NOW)
        await limiter.close()
    return {
        "megabytes": (most - before) / 2**20,
        "asked": asked,
        "through": through,
        "allowed": quota.limit.burst,
        "rate": quota.limit.rate,
        "seconds": seconds,
        "state": float(limiter.state == "ok"),
        "honest": float(honest >= 0),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(flood(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else MILLION))))
