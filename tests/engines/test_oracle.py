"""Per key no inversion, no loss, no effect twice: see tests/oracle. A drill makes trouble for ORACLE_SECONDS."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acme.drivers import open as open_database
from acme.drivers import open_bus
from acme.drivers.clock import SystemClock
from acme.ports import Bus, Connection, Topic
from acme.runtime.migrations import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Server
from tests.brokers.apache import ApacheKafka, programs
from tests.oracle import verdict, writing
from tests.oracle.drill import Drill, drill
from tests.oracle.plugin import CONSUMERS, NAME, TOPIC, plugin
from tests.waiting import until

pytestmark = pytest.mark.engines

SECONDS = float(os.environ.get("ORACLE_SECONDS", "20"))
WARM = 60.0
"""Seconds until the first events are heard, on a machine with much else to do."""
DRAIN = 120.0
"""Seconds until all is heard, after the last trouble."""
LEAST = 5
"""Committed versions a second, without which a drill shows nothing."""


@dataclass
class Ground:
    """What a drill takes place on. Connections are opened for each look, since sessions end in some drills."""

    values: dict[str, Any]
    """The configuration of its processes."""
    databases: Sequence[str]
    """Those on the server of PostgreSQL whose sessions may be ended; the plugin's is the first."""
    server: Server

    @asynccontextmanager
    async def service(self) -> AsyncIterator[Connection]:
        """The plugin's database."""
        async with self.server.connection(self.databases[0]) as connection:
            yield connection

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        """A client of the bus."""
        async with Tasks("look", Metrics()) as tasks:
            url = self.values["bus"]["url"]
            bus = open_bus(
                "log:" if url.startswith("postgres") else url,
                database=url,
                clock=SystemClock(),
                tasks=tasks,
                metrics=Metrics(),
            )
            yield bus
            await bus.close()


@pytest.fixture(params=["log", "kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The bus's URL, "" for the log in PostgreSQL. Each drill has a Kafka of its own: the topic has one name."""
    if request.param == "log":
        yield ""
        return
    try:
        broker = ApacheKafka(tmp_path / "kafka", programs())
    except LookupError as error:
        pytest.skip(str(error))
    broker.start()
    yield broker.url
    broker.kill()


@pytest.fixture
async def ground(postgres: Server, place: str) -> AsyncIterator[Ground]:
    """Fresh databases with the tables, and the topic."""
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(postgres.database()) for _ in range(1 if place else 2)]
        values = {
            "database": {"url": postgres.url("postgres"), "urls": {NAME: postgres.url(databases[0])}, "connections": 6},
            "bus": {"url": place or postgres.url(databases[1]), "replication": 1, "timeout": 5.0},
            "worker": {"listen": "grpc://127.0.0.1:0"},
            "secrets": {"master_key": base64.b64encode(secrets.token_bytes(32)).decode()},
        }
        made = Ground(values, databases, postgres)
        tasks = await stack.enter_async_context(Tasks("drill", Metrics()))
        pool = await open_database(postgres.url(databases[0]), size=1, tasks=tasks)
        await migrate(pool, NAME, plugin.package, SystemClock())
        await writing.prepare(pool)
        await pool.close()
        async with made.bus() as bus:
            await bus.declare([Topic(TOPIC, replication=1)])
        yield made


async def warm(one: Drill, ground: Ground) -> None:
    """Returns when every consumer hears."""
    async with ground.service() as service:

        async def heard() -> bool:
            one.check()
            return await verdict.everybody_hears(service)

        await until(heard, WARM)


async def finish(one: Drill, ground: Ground) -> None:
    """Ends the writers, and waits until all of it is heard, and the groups have committed it."""
    await one.stop("writer")
    async with ground.service() as service, ground.bus() as bus:

        async def heard() -> bool:
            one.check("worker", "relay")
            return await verdict.drained(service)

        async def committed() -> bool:
            ends = {number: each.end for number, each in (await bus.ends(TOPIC)).items() if each.end}
            groups = [await bus.committed(f"{NAME}.{consumer}") for consumer in CONSUMERS]
            return all(
                {place.partition: offset for place, offset in group.items() if offset} == ends for group in groups
            )

        try:
            await until(heard, DRAIN)
            await until(committed, DRAIN)
        except AssertionError:
            told = verdict.journal(one.folder)
            raise AssertionError(f"it did not drain: {await verdict.faults(service, told)}") from None


async def judge(one: Drill, ground: Ground, measured: Callable[[str, object], None]) -> None:
    """Everything is as it should be; and how much it was."""
    began = time.monotonic()
    await finish(one, ground)
    took, told = time.monotonic() - began, verdict.journal(one.folder)
    async with ground.service() as service, ground.bus() as bus:
        versions = sum((await verdict.committed(service)).values())
        measured("events committed, each heard by two consumers", versions)
        measured("records on the bus", sum(each.end for each in (await bus.ends(TOPIC)).values()))
        for what, count in sorted({**one.done, **{f"units {how}": n for how, n in told.units.items()}}.items()):
            measured(what, count)
        measured("seconds to drain in the end", round(took, 1))
        assert await verdict.faults(service, told) == []
        assert versions > LEAST * SECONDS


@pytest.mark.parametrize("free_relays", [False, True], ids=["leased", "free"])
async def test_nothing_is_lost_turned_or_repeated_while_processes_are_killed(
    ground: Ground, tmp_path: Path, measured: Callable[[str, object], None], free_relays: bool
) -> None:
    async with drill(tmp_path, ground.values, free_relays=free_relays) as one:
        await warm(one, ground)
        await asyncio.gather(one.kill(SECONDS), one.come_and_go(SECONDS))
        await judge(one, ground, measured)
        assert {f"{each.role}s killed" for each in one.processes} <= one.done.keys()


async def test_nothing_is_lost_turned_or_repeated_while_sessions_of_postgresql_end(
    ground: Ground, tmp_path: Path, measured: Callable[[str, object], None]
) -> None:
    async with drill(tmp_path, ground.values, free_relays=True) as one:
        await warm(one, ground)
        async with ground.server.connection() as server:
            await one.end_sessions(SECONDS, server, ground.databases)
        await judge(one, ground, measured)
