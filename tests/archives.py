"""An archive over the embedded log and a folder, for tests: records are sent, files come of it, and they are read back."""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from acme.archives import Archived, Layout, Manifest, archived
from acme.archives.manifest import file_name, manifest_name
from acme.bus.archiver import _nobody
from acme.bus.archiving import PartitionArchive, Rules, Seal
from acme.bus.decoding import Reader
from acme.bus.record import record
from acme.codec.avro import Avro
from acme.contracts.audit.v1 import AuditRecord
from acme.contracts.projects.v1 import ProjectCreated
from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.drivers.log import open_bus
from acme.plugin import Consumer, Event
from acme.ports import Bus, Ends, ObjectStore, Record, Topic, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.services import CONTRACTS

MESSAGE: Final = CONTRACTS.message_of(AuditRecord)
TOPIC: Final = "acme.audit.log"
PLACE: Final = TopicPartition(TOPIC, 0)
RETENTION: Final = 100_000.0
AVRO: Final = Avro(CONTRACTS)
NUMBERS: Final = itertools.count()


async def seal(events: Sequence[Event[Any]]) -> Sequence[Any]:
    """Stands in the place of encryption: deterministic, and nothing of it is in clear."""
    made = []
    for event in events:
        message = copy.copy(event.message)
        message.address = f"sealed-{message.address[::-1]}" if message.address else ""
        made.append(message)
    return made


def sent(number: int, *, at: datetime, value: bytes | str | None = "", message: Any = None) -> Record:
    """A record as the relay sends it; `value` in place of an event."""
    message = message or AuditRecord(id=f"aud_{number}", action="tests.act", address=f"192.0.2.{number % 250}")
    contract = CONTRACTS.message_of(type(message))
    made = record(
        source="/local/projects",
        event_id=f"evt_{number}",
        topic=TOPIC,
        key=f"org_1:{number % 7}",
        kind=contract.name,
        payload=AVRO.encoder(contract)(message),
        said={},
        at=at,
    )
    if isinstance(value, str):
        return made
    return Record(TOPIC, made.key, value, made.headers, made.timestamp, made.id)


@dataclass
class Shelf:
    """A log, a clock and a store."""

    bus: Bus
    store: ObjectStore
    clock: MovableClock
    rules: Rules = field(default_factory=lambda: Rules(events=10, idle=300.0, lock=0.0))
    told: list[AuditRecord] = field(default_factory=list)

    async def send(self, count: int = 0, *special: bytes | ProjectCreated | None) -> None:
        """Appends so many events, and then what is special: a value, a tombstone, another event."""
        now = self.clock.now()
        records = [sent(next(NUMBERS), at=now) for _ in range(count)]
        for each in special:
            if isinstance(each, ProjectCreated):
                records.append(sent(next(NUMBERS), at=now, message=each))
            else:
                records.append(sent(next(NUMBERS), at=now, value=each))
        await self.bus.append("tests", records)

    def archiver(
        self, *, place: TopicPartition = PLACE, store: ObjectStore | None = None, seal: Seal = seal
    ) -> PartitionArchive:
        """One that knows nothing yet."""
        reader = Reader(Consumer("archive", (AuditRecord,), _nobody), CONTRACTS, AVRO)
        return PartitionArchive(
            place,
            Layout(AVRO, MESSAGE),
            MESSAGE,
            reader,
            self.bus,
            store or self.store,
            self.clock,
            self.rules,
            seal,
        )

    async def ends(self, place: TopicPartition = PLACE) -> Ends:
        return (await self.bus.ends(TOPIC))[place.partition]

    async def run(self, archiver: PartitionArchive | None = None) -> list[Manifest]:
        """Archives what is due, as a new process or as this one."""
        archiver = archiver or self.archiver()
        made: list[Manifest] = []
        while (manifest := await archiver.step(await self.ends())) is not None:
            made.append(manifest)
        return made

    async def read(self) -> list[Archived[AuditRecord]]:
        return [each async for each in archived(self.store, AuditRecord)]

    async def names(self) -> list[str]:
        return [facts.name async for facts in self.store.list()]

    async def objects(self) -> dict[str, bytes]:
        """All there is."""
        return {name: await self.store.get(name) for name in await self.names()}


@asynccontextmanager
async def shelf(
    url: str, folder: Path, store: ObjectStore | None = None, *, partitions: int = 1
) -> AsyncIterator[Shelf]:
    """One with the topic, over a database of its own."""
    clock = MovableClock(folder / "clock")
    async with Tasks("test", Metrics()) as tasks:
        bus = open_bus(url, clock=clock, tasks=tasks, metrics=Metrics())
        await bus.declare([Topic(TOPIC, partitions=partitions, retention=RETENTION)])
        yield Shelf(bus, store or Files(folder / "objects"), clock)
        await bus.close()


def names(start: int, partition: int = 0) -> tuple[str, str]:
    """Of a file and its manifest."""
    return file_name(TOPIC, partition, start), manifest_name(TOPIC, partition, start)
