"""An archive of Kafka's records: the marks of transactions take offsets, and are no records."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.ports import Bus, Topic
from tests.archives import NUMBERS, TOPIC, Shelf, sent
from tests.brokers.apache import ApacheKafka

pytestmark = pytest.mark.engines


async def test_offsets_without_a_record_are_listed_and_nothing_else_is_missing(
    kafka: ApacheKafka, bus: Bus, tmp_path: Path
) -> None:
    await bus.declare([Topic(TOPIC, partitions=1, replication=1)])
    shelf = Shelf(bus, Files(tmp_path / "objects"), MovableClock(tmp_path / "clock"))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.servers, transactional_id="tests")
    await producer.start()
    try:
        for count in (3, 5, 4):
            async with producer.transaction():
                for _ in range(count):
                    made = sent(next(NUMBERS), at=shelf.clock.now())
                    await producer.send_and_wait(
                        TOPIC, made.value, key=made.key, headers=list(made.headers), timestamp_ms=made.timestamp
                    )
    finally:
        await producer.stop()
    assert (await shelf.ends()).end == 15
    shelf.clock.advance(timedelta(seconds=301))
    made_files = await shelf.run()
    assert [(each.start, each.next, each.count) for each in made_files] == [(0, 10, 8), (10, 15, 4)]
    gaps = [(gap.start, gap.end, gap.reason) for each in made_files for gap in each.gaps]
    assert gaps == [(3, 4, "absent"), (9, 10, "absent"), (14, 15, "absent")]
    assert [each.offset for each in await shelf.read()] == [*range(3), *range(4, 9), *range(10, 14)]
