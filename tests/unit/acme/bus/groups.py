"""Consumers as members of their group, on a log in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from acme import drivers
from acme.bus.consumers import Consumers
from acme.ports import Bus, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.hearing import NAME, Ear, event
from tests.services import CONTRACTS, Stage
from tests.waiting import until

PARTITIONS = 4


@dataclass(frozen=True)
class Opener:
    """Opens clients of a log."""

    url: str
    """Where it is, for other processes."""
    stage: Stage
    stack: AsyncExitStack

    def __call__(self, tasks: Tasks) -> Bus:
        bus = drivers.open_bus(
            "log:", database=self.url, clock=self.stage.clock, tasks=tasks, metrics=Metrics(), lease=2.0
        )
        self.stack.push_async_callback(bus.close)
        return bus


@asynccontextmanager
async def listening(ear: Ear, log: Opener, **settings: Any) -> AsyncIterator[Consumers]:
    """The ear as a process has it, from start to stop."""
    async with Tasks("process", Metrics()) as tasks:
        bus = log(tasks)
        assert ear.units is not None
        consumers = Consumers(
            ear.plugin, ear.units, ear.resources, bus, CONTRACTS, ear.stage.avro, Topic, tasks, ear.measures, **settings
        )
        consumers.start()
        yield consumers
        async with asyncio.timeout(10):
            await consumers.stop()


async def append(stage: Stage, log: Opener, numbers: Sequence[int], keys: int = 5) -> None:
    async with Tasks("relay", Metrics()) as tasks:
        bus = log(tasks)
        await bus.append("projects", [event(stage, number, f"prj_{number % keys}") for number in numbers])


async def effects(ear: Ear, number: int, limit: float = 10.0) -> None:
    async def there() -> bool:
        return bool(await ear.stage.value("SELECT count(*) = $1 FROM things", number))

    await until(there, limit)


async def committed(log: Opener) -> int:
    async with Tasks("look", Metrics()) as tasks:
        return sum((await log(tasks).committed(NAME)).values())


async def by_key(ear: Ear) -> dict[str, list[int]]:
    """Numbers of the events that had an effect, in their order, by aggregate."""
    found: dict[str, list[int]] = {}
    for row in await ear.stage.sql("SELECT id, note FROM things ORDER BY xmin::text::bigint, ctid"):
        found.setdefault(row["note"], []).append(int(row["id"].removeprefix("evt_")))
    return found
