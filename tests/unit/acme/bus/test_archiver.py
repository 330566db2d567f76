"""A plugin's archive in a process: it shares partitions, keeps going, and tells operators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme.bus.archiver import ArchiveMeasures, Archivers
from acme.bus.archiving import Rules
from acme.contracts.audit.v1 import AuditRecord
from acme.contracts.projects.v1 import Project, ProjectArchived, ProjectCreated
from acme.drivers.log import retention
from acme.drivers.log.bus import Log
from acme.errors import Unavailable
from acme.plugin import Archive, Event, Plugin, Resources
from acme.ports import TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from tests import archives
from tests.archives import AVRO, RETENTION, TOPIC, Shelf, shelf
from tests.hearing import Ear
from tests.services import CONTRACTS, Stage

PARTITIONS = 3
Seal = Callable[[Resources[Any], Sequence[Event[Any]]], Awaitable[Sequence[Any]]]


async def seal(resources: Resources[Any], events: Sequence[Event[Any]]) -> Sequence[Any]:
    assert await resources.database.fetch("SELECT 1")  # outside of units, statements stand alone
    return await archives.seal(events)


def plugin(*messages: type, seal: Seal = seal) -> Plugin:
    declared = tuple(Archive(message, seal) for message in messages)
    return Plugin("things", "1", __name__, (), None, archives=declared)  # type: ignore[arg-type]  # never opened


@pytest.fixture(name="shelf")
async def _shelf(postgres: Server, tmp_path: Path) -> AsyncIterator[Shelf]:
    async with postgres.database() as name, shelf(postgres.url(name), tmp_path, partitions=PARTITIONS) as made:
        yield made


class Process:
    """One that archives, with metrics of its own."""

    def __init__(self, shelf: Shelf, stage: Stage, tasks: Tasks, member: str = "", **how: Any) -> None:
        self.metrics = Metrics()
        resources = replace(Ear(stage).resources, archive=shelf.store, clock=shelf.clock)
        self.archivers = Archivers(
            plugin(AuditRecord, **how),
            stage.units,
            resources,
            shelf.bus,
            CONTRACTS,
            AVRO,
            Rules(events=10, idle=300.0, lock=0.0),
            tasks,
            ArchiveMeasures(self.metrics),
            member=member,
            look=0.02,
        )
        self.archivers.start()

    def value(self, name: str, **labels: str) -> float:
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rpartition(" ")[2])
        return 0.0


@pytest.fixture
async def begin(shelf: Shelf, stage: Stage) -> AsyncIterator[Callable[..., Process]]:
    """Starts processes, and ends them after the test."""
    made: list[Process] = []
    async with Tasks("test", Metrics()) as tasks:

        def one(**how: Any) -> Process:
            made.append(Process(shelf, stage, tasks, **how))
            return made[-1]

        yield one
        await asyncio.gather(*(each.archivers.stop() for each in made))


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 20
    while not await done():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


async def everything(shelf: Shelf) -> bool:
    """Whether every offset of every partition is archived, once."""
    read = [(each.partition, each.offset) for each in await shelf.read()]
    ends = await shelf.bus.ends(TOPIC)
    return read == [(number, offset) for number in sorted(ends) for offset in range(ends[number].end)]


async def test_all_partitions_are_archived_and_operators_see_it(shelf: Shelf, begin: Callable[..., Process]) -> None:
    await shelf.send(60)
    one = begin()

    async def oldest_is_seen() -> bool:
        return one.value("acme_archive_files_total", topic=TOPIC) >= 1

    await until(oldest_is_seen)
    shelf.clock.advance(timedelta(seconds=100))
    assert 100 <= one.value("acme_archive_lag_seconds", topic=TOPIC) < 130
    shelf.clock.advance(timedelta(seconds=201))
    await until(lambda: everything(shelf))

    async def settled() -> bool:
        return one.value("acme_archive_lag_seconds", topic=TOPIC) == 0

    await until(settled)
    files = [name for name in await shelf.names() if name.endswith(".avro")]
    assert one.value("acme_archive_files_total", topic=TOPIC) == len(files)
    assert one.archivers.notes() == {}


async def test_the_group_says_how_far_the_archive_is(shelf: Shelf, begin: Callable[..., Process]) -> None:
    await shelf.send(60)
    shelf.clock.advance(timedelta(seconds=301))
    begin()
    ends = await shelf.bus.ends(TOPIC)
    expected = {TopicPartition(TOPIC, number): each.end for number, each in ends.items() if each.end}

    async def committed() -> bool:
        return await shelf.bus.committed("things.archive") == expected

    await until(committed)


async def test_several_processes_share_the_work_and_follow_each_other(
    shelf: Shelf, begin: Callable[..., Process]
) -> None:
    one, other = begin(member="one"), begin(member="other")

    async def shared() -> bool:
        return all(each.archivers._archivers[0]._partitions for each in (one, other))

    await until(shared)
    await shelf.send(100)
    shelf.clock.advance(timedelta(seconds=301))
    await until(lambda: everything(shelf))
    await one.archivers.stop()
    await shelf.send(100)
    shelf.clock.advance(timedelta(seconds=301))
    await until(lambda: everything(shelf))
    assert other.value("acme_archive_files_total", topic=TOPIC) > 0


async def test_a_partition_that_fails_keeps_no_other_from_it_and_readiness_names_it(
    shelf: Shelf, begin: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme.bus.archiver.AGAIN", 0.1)
    broken = True

    async def partly(resources: Resources[Any], events: Sequence[Event[Any]]) -> Sequence[Any]:
        if broken and events[0].partition == 1:
            raise Unavailable("the keys are away")
        return await archives.seal(events)

    await shelf.send(200)
    shelf.clock.advance(timedelta(seconds=301))
    one = begin(seal=partly)

    async def others() -> bool:
        return {each.partition for each in await shelf.read()} == {0, 2} and bool(one.archivers.notes())

    await until(others)
    assert one.archivers.notes() == {
        "things.archive": f"{TOPIC} is not archived: partition 1: the keys are away",
    }
    assert one.value("acme_archive_failures_total", topic=TOPIC, error_type="Unavailable") >= 1
    broken = False
    await until(lambda: everything(shelf))

    async def well() -> bool:
        return one.archivers.notes() == {}

    await until(well)


async def test_what_is_lost_is_counted(shelf: Shelf, begin: Callable[..., Process]) -> None:
    await shelf.send(20)
    shelf.clock.advance(timedelta(seconds=RETENTION + 1))
    assert isinstance(shelf.bus, Log)
    await retention.sweep(shelf.bus._link, shelf.clock)
    one = begin()

    async def counted() -> bool:
        return one.value("acme_archive_lost_records_total", topic=TOPIC) == 20

    await until(counted)
    assert await shelf.read() == []


@pytest.mark.parametrize("messages", [(Project,), (ProjectCreated, ProjectArchived)])
async def test_what_cannot_be_archived_is_refused(shelf: Shelf, stage: Stage, messages: tuple[type, ...]) -> None:
    async with Tasks("test", Metrics()) as tasks:
        with pytest.raises(ValueError, match="one topic twice, or a message that is no event"):
            Archivers(
                plugin(*messages),
                stage.units,
                Ear(stage).resources,
                shelf.bus,
                CONTRACTS,
                AVRO,
                Rules(10, 300.0, 0.0),
                tasks,
                ArchiveMeasures(Metrics()),
            )
