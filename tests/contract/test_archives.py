"""Archives over every store and every bus that there is: the same files come of the same records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acme import drivers
from acme.bus.archiving import Rules
from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.ports import ObjectLocked, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from tests.archives import RETENTION, TOPIC, Shelf, names, shelf
from tests.brokers.mock import MockCluster
from tests.brokers.s3 import moto
from tests.contract.bus.kafka import BusOnMock


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with moto() as address:
        yield address


async def test_a_bucket_holds_what_a_folder_would_and_keeps_it_locked(
    postgres: Server, s3: str, tmp_path: Path
) -> None:
    store = await drivers.open_objects(f"s3://archive/one?region=us-east-1&endpoint={s3}", timeout=10.0)
    async with postgres.database() as name, shelf(postgres.url(name), tmp_path, store) as made:
        made.rules = Rules(events=10, idle=300.0, lock=86_400.0)
        await made.send(23)
        made.clock.advance(timedelta(seconds=301))
        await asyncio.gather(made.run(), made.run())
        assert [each.offset for each in await made.read()] == list(range(23))
        folder = Files(tmp_path / "folder")
        await made.run(made.archiver(store=folder))
        assert await made.objects() == {facts.name: await folder.get(facts.name) async for facts in folder.list()}
        for each in await made.names():
            until = (await store.facts(each)).locked_until
            assert until is not None
            assert abs(until - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=10)
            with pytest.raises(ObjectLocked):
                await store.delete(each)
    await store.close()


@pytest.fixture
async def on_kafka(tmp_path: Path) -> AsyncIterator[tuple[Shelf, MockCluster]]:
    """Over Kafka's protocol, as librdkafka's mock cluster speaks it."""
    mock = MockCluster()
    async with Tasks("test", Metrics()) as tasks:
        bus = BusOnMock(mock, tasks, Metrics())
        await bus.declare([Topic(TOPIC, partitions=1, retention=RETENTION, replication=1)])
        yield Shelf(bus, Files(tmp_path / "objects"), MovableClock(tmp_path / "clock")), mock
        await bus.close()
    mock.stop()


async def test_kafkas_records_are_archived_and_what_kafka_dropped_is_told(
    on_kafka: tuple[Shelf, MockCluster],
) -> None:
    shelf, mock = on_kafka
    await shelf.send(15)
    assert [(each.start, each.next) for each in await shelf.run()] == [(0, 10)]
    await shelf.send(15)
    mock.forget(TOPIC, 0, 14)
    made = await shelf.run()
    assert [(each.start, each.next, each.count) for each in made] == [(10, 20, 6), (20, 30, 10)]
    assert [(gap.start, gap.end, gap.reason) for gap in made[0].gaps] == [(10, 14, "lost")]
    assert [each.offset for each in await shelf.read()] == [*range(10), *range(14, 30)]
    assert await shelf.names() == [name for start in (0, 10, 20) for name in names(start)]
