"""A plugin that hears events, for tests of consumers: its handler is a script of the test, its database a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from acme.bus import inbox
from acme.bus.consumer import Handling
from acme.bus.decoding import Reader
from acme.bus.measures import Measures
from acme.bus.partition import PartitionWorker
from acme.bus.record import record
from acme.bus.replay import Replayer
from acme.contracts.projects.v1 import ProjectArchived, ProjectCreated
from acme.pages import Pages
from acme.plugin import Consumer, Event, Plugin, Resources, TokenProfile
from acme.ports import Received, Record, Row, TopicPartition
from acme.work import UnitFactory
from tests.services import CONTRACTS, Stage

TOPIC: Final = "acme.projects.events"
NAME: Final = "things.ear"
PLACE: Final = TopicPartition(TOPIC, 3)
Script = Callable[[Event[Any]], Awaitable[None]]
NOTE: Final = "INSERT INTO things (id, note) VALUES ($1, $2)"


class Broken(Exception):
    """What a handler of these tests fails with."""


def event(stage: Stage, number: int, project: str = "prj_1", *, message: Any = None, **said: str) -> Record:
    """A record as the relay makes it: event `evt_NUMBER` of a project."""
    message = message or ProjectCreated(project_id=project)
    contract = CONTRACTS.message_of(type(message))
    assert contract.event is not None
    return record(
        source="/local/projects",
        event_id=f"evt_{number}",
        topic=contract.event.topic,
        key=f"org_1:{project}",
        kind=contract.name,
        payload=stage.avro.encoder(contract)(message),
        said=said,
        at=stage.clock.now(),
    )


def at(sent: Record, offset: int, place: TopicPartition = PLACE) -> Received:
    """A record as it is read."""
    return Received(sent.topic, place.partition, offset, sent.key, sent.value, sent.headers, sent.timestamp)


@dataclass
class Ear:
    """One process's consumer. It notes what it is called with, and every event that it hears becomes a thing."""

    stage: Stage
    script: Script | None = None
    batch: int = 1
    attempts: int = 3
    timeout: float = 5.0
    units: UnitFactory | None = None
    heard: list[str] = field(default_factory=list)
    """Ids of the events its handler was called with, in order, whatever became of it."""

    def __post_init__(self) -> None:
        self.units = self.units or self.stage.units
        self.consumer = Consumer(
            name="ear",
            messages=(ProjectCreated,),
            handler=self.handler,
            batch=self.batch,
            attempts=self.attempts,
            timeout=self.timeout,
        )
        self.plugin = Plugin("things", "1", __name__, (), _no_service, consumers=(self.consumer,))
        self.measures = Measures(self.stage.metrics)
        reader = Reader(self.consumer, CONTRACTS, self.stage.avro)
        self.handling = Handling(
            self.plugin, self.consumer, self.units, self.resources, reader, self.measures, asyncio.Semaphore(4)
        )
        self.replayer = Replayer(self.handling, self.stage.clock)

    @property
    def resources(self) -> Resources[Any]:
        assert self.units is not None
        return Resources(
            name="things",
            settings=None,
            database=self.units.database,
            cache=None,  # type: ignore[arg-type]  # nothing of it is used by these tests
            directory=self.stage.directories["local"].named("things"),
            clock=self.stage.clock,
            cipher=self.stage.cipher,
            archive=None,  # type: ignore[arg-type]  # nothing of it is used by these tests
            pages=Pages(self.stage.cipher),
            tokens=TokenProfile("acme", "acme"),
            region="local",
            public_url="http://localhost",
        )

    async def handler(self, resources: Resources[Any], told: Any) -> None:
        for each in told if self.batch > 1 else [told]:
            self.heard.append(each.id)
            await resources.database.execute(NOTE, each.id, each.aggregate)
            if self.script is not None:
                await self.script(each)

    def worker(self, position: int = 0, place: TopicPartition = PLACE) -> PartitionWorker:
        """A worker of its own for a partition."""
        return PartitionWorker(place, position, self.handling, self.stage.clock)

    @asynccontextmanager
    async def working(self, *records: Received, position: int = 0) -> AsyncIterator[PartitionWorker]:
        """A worker that runs, closed at the end of the block."""
        worker = self.worker(position)
        for each in records:
            worker.put(each)
        task = self.stage.tasks.spawn("worker", worker.run())
        try:
            yield worker
        finally:
            worker.close()
            try:
                async with asyncio.timeout(5):
                    await asyncio.wait([task])
            finally:
                task.cancel()

    async def things(self) -> list[str]:
        """Ids of the events that had an effect, in the order of their commits as far as the test has one."""
        return [row["id"] for row in await self.stage.sql("SELECT id FROM things ORDER BY ctid")]

    async def letters(self) -> list[Row]:
        return await self.stage.sql("SELECT * FROM acme.dead_letters ORDER BY id")

    async def parked(self) -> list[bytes]:
        return [row["key"] for row in await self.stage.sql("SELECT key FROM acme.parked_keys ORDER BY key")]

    async def inbox(self) -> int:
        return int(await self.stage.value("SELECT count(*) FROM acme.inbox"))


def _no_service(resources: Resources[Any]) -> Any:
    raise AssertionError("this plugin has no service")


UNWANTED: Final = ProjectArchived(project_id="prj_1")
"""An event that the ear did not ask for."""
TABLES: Final = "TRUNCATE acme.inbox, acme.parked_keys, acme.dead_letters, acme.handling, acme.attempts"
__all__ = ["NAME", "PLACE", "TABLES", "TOPIC", "UNWANTED", "Broken", "Ear", "at", "event", "inbox"]
