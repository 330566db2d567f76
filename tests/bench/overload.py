"""Three times as much as the gateway can serve: `make overload`, or `python -m tests.bench.overload --seconds 10`.

Measures capacity (closed loop), offers three times that (open loop: nobody waits for anybody), and then half of it. Prints
how many were served in time meanwhile, whether health was told, what memory it took, and how long it took to be as before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from tests.bench.load import load, request_bytes
from tests.bench.offered import Offered, offer
from tests.bench.serving import Cores, cpu_seconds, pin, platform
from tests.system.running import Platform

TIMES: Final = 3.0
PATIENCE: Final = 1.0
"""Seconds."""
PROJECTS: Final = 50


@dataclass
class Drill:
    """What came of one kind of request."""

    name: str
    capacity: float
    """Requests a second, as many as it serves when each client waits for its answer."""
    cpu: float
    """CPU seconds of the server for each of them."""
    over: Offered
    busy: float
    """CPU seconds of the server under the load that is too much."""
    probes: list[float]
    """Milliseconds of each /healthz and /readyz meanwhile."""
    failures: int
    before: int
    most: int
    """Bytes of memory of the server."""
    after: Offered
    recovery: float
    """Seconds after which half of the capacity was all served in time."""

    @property
    def goodput(self) -> float:
        """Part of the capacity that was served in time."""
        return self.over.rate / self.capacity

    @property
    def by_cpu(self) -> float:
        """The same, of the CPU time that the server got: on a machine where others work too, neither figure is the other."""
        return self.over.good * self.cpu / self.busy

    def lines(self) -> list[str]:
        offered = sum(self.over.statuses.values()) + self.over.unsent
        return [
            f"{self.name}",
            f"  capacity          {self.capacity:10,.0f} requests/s, {self.cpu * 1e6:.1f} CPU µs each",
            f"  offered           {offered / self.over.seconds:10,.0f} requests/s for {self.over.seconds:.0f} s",
            f"  served in time    {self.over.rate:10,.0f} requests/s: {self.goodput:.2f} of capacity; "
            f"{self.by_cpu:.2f} by CPU time",
            f"  p50, p99          {self.over.quantile(0.5):10.0f} ms, {self.over.quantile(0.99):.0f} ms",
            f"  answers           {dict(self.over.statuses)}, {self.over.late} late, {self.over.unsent} never sent",
            f"  health            {len(self.probes):10} asked, {self.failures} without answer, "
            f"at most {max(self.probes, default=0):.0f} ms",
            f"  memory            {self.before / 2**20:10.0f} MB before, {self.most / 2**20:.0f} MB at most",
            f"  recovery          {self.recovery:10.1f} s; of the rest {self.after.good} were served in time",
        ]


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _probe(port: int, until: float, found: list[float], pid: int, memory: list[int]) -> int:
    """Asks for health on connections of its own; how often there was no answer."""
    failures, asked = 0, 0
    while time.monotonic() < until:
        path = ("/healthz", "/readyz")[asked % 2]
        asked += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
            failures += not answer.startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            failures += 1
        found.append((time.monotonic() - started) * 1e3)
        memory.append(resident(pid))
        await asyncio.sleep(0.1)
    return failures


async def drill(name: str, pid: int, port: int, request: bytes, seconds: float, connections: int) -> Drill:
    """The whole of it, for one kind of request; each says for how long its client waits."""
    hurried = request.replace(b"\r\n\r\n", f"\r\nX-Request-Timeout: {PATIENCE:g}\r\n\r\n".encode(), 1)
    await load("127.0.0.1", port, request, seconds=0.5)
    cpu = cpu_seconds(pid)
    easy = await load("127.0.0.1", port, request, seconds=max(2.0, seconds / 3))
    each = (cpu_seconds(pid) - cpu) / easy.requests
    probes: list[float] = []
    memory = [before := resident(pid)]
    cpu = cpu_seconds(pid)
    health, over = await asyncio.gather(
        _probe(port, time.monotonic() + seconds, probes, pid, memory),
        offer("127.0.0.1", port, hurried, rate=TIMES * easy.rate, seconds=seconds, connections=connections),
    )
    busy = cpu_seconds(pid) - cpu
    began = time.monotonic()
    after = await offer(
        "127.0.0.1", port, request, rate=easy.rate / 2, seconds=max(6.0, seconds / 2), connections=connections
    )
    memory.append(resident(pid))
    recovery = max(0.0, after.last_bad - began)
    return Drill(name, easy.rate, each, over, busy, probes, health, before, max(memory), after, recovery)


def requests(one: Platform) -> Mapping[str, bytes]:
    """What is asked for, by what it is called."""
    reader = one.join("reader@example.com")
    made = [one.project(reader, f"Project {number}") for number in range(PROJECTS)]
    return {
        "GET one project": request_bytes("GET", f"/v1/projects/{made[0]['id']}", token=reader.token),
        "list 50 projects": request_bytes("GET", "/v1/projects?page_size=50", token=reader.token),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=900)
    given = parser.parse_args()
    cores = Cores.choose()
    with tempfile.TemporaryDirectory() as folder, platform(Path(folder), {}, cores) as one:
        found = requests(one)
        pin(one.database_processes(), cores.others)
        os.sched_setaffinity(0, {cores.others})
        for name, request in found.items():
            pid, port = one.running.pid, urlsplit(one.api).port or 0
            done = uvloop.run(drill(name, pid, port, request, given.seconds, given.connections))
            print("\n".join(done.lines()), flush=True)


if __name__ == "__main__":
    main()
