"""The embedded log between real processes, some of which are killed: everything is read, and handed on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.log.bus import Log
from acme.ports import Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.contract.bus.rigs import numbered
from tests.prepared import prepare
from tests.waiting import until

PARTITIONS = 6
LIMIT = 30.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path / "data"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def bus(server: EmbeddedPostgres) -> AsyncIterator[Log]:
    async with Tasks("test", Metrics()) as tasks:
        bus = drivers.open_bus("log:", database=server.url("bus"), clock=SystemClock(), tasks=tasks, metrics=Metrics())
        assert isinstance(bus, Log)
        yield bus
        await bus.close()


class Member:
    """One process."""

    def __init__(self, url: str, folder: Path, name: str, number: int) -> None:
        self.file = folder / f"read-{number}"
        self.heard = folder / f"heard-{number}"
        command = [sys.executable, "-m", "tests.system.log_member", url, "group", "t", name, str(self.file)]
        with self.heard.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out)

    def lines(self) -> list[tuple[int, int, int]]:
        """Partition, offset and value of each record."""
        if not self.file.exists():
            return []
        whole = [line for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(int(a), int(b), int(c)) for a, b, c in map(str.split, whole)]


@contextmanager
def members(url: str, folder: Path, *names: str) -> Iterator[list[Member]]:
    """Processes that are gone afterwards."""
    started = [Member(url, folder, name, number) for number, name in enumerate(names)]
    try:
        yield started
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()


async def test_what_a_killed_and_a_stopped_process_leave_is_read_by_the_others(
    server: EmbeddedPostgres, bus: Log, tmp_path: Path
) -> None:
    await bus.declare([Topic("t", partitions=PARTITIONS)])
    count = 0

    async def write(more: int) -> None:
        nonlocal count
        for _ in range(more):
            await bus.append("source", numbered("t", range(count, count + 20), keys=40))
            count += 20

    with members(server.url("bus"), tmp_path, "", "", "") as started:

        async def all_at_work() -> bool:
            return all(one.lines() for one in started)

        async def all_read() -> bool:
            return {value for one in started for _, _, value in one.lines()} == set(range(count))

        async with asyncio.timeout(LIMIT):
            while not await all_at_work():
                await write(1)
                await asyncio.sleep(0.05)
        started[0].process.kill()
        await write(10)
        os.kill(started[1].process.pid, signal.SIGSTOP)
        await write(10)
        await until(all_read, LIMIT)
        os.kill(started[1].process.pid, signal.SIGCONT)
        await write(10)
        await until(all_read, LIMIT)

        async def all_committed() -> bool:
            ends = {number: one.end for number, one in (await bus.ends("t")).items()}
            committed = {place.partition: offset for place, offset in (await bus.committed("group")).items()}
            return committed == ends

        await until(all_committed, LIMIT)
        assert "lost" in started[1].heard.read_text(), "it was stopped for longer than its lease"
        read = {(partition, offset) for one in started for partition, offset, _ in one.lines()}
        assert len(read) == count
