"""Reading without a group."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.producer import Producer
from acme.drivers.kafka.reader import Reader
from acme.errors import Unavailable
from acme.ports import TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.mock import MockCluster
from tests.contract.bus.rigs import record


@pytest.fixture
async def reader(cluster: Cluster, health: Health) -> AsyncIterator[Reader]:
    reader = Reader(cluster, health)
    yield reader
    await reader.close()


@pytest.fixture
async def filled(cluster: Cluster, health: Health, tasks: Tasks, metrics: Metrics, topic: str) -> TopicPartition:
    """A partition of ten records, in five batches."""
    producer, place = Producer(cluster, health, tasks, metrics), TopicPartition(topic, 1)
    for number in range(5):
        await producer.append([(place, record(topic, value=b"%d" % (2 * number + more))) for more in (0, 1)])
    await producer.close()
    return place


async def test_it_reads_anywhere_in_any_order(reader: Reader, filled: TopicPartition) -> None:
    for offset, limit in ((0, 3), (3, 4), (1, 2), (9, 5), (0, 100)):
        found = await reader.read(filled, offset, limit)
        assert [one.offset for one in found] == list(range(offset, min(offset + limit, 10)))
        assert [one.value for one in found] == [b"%d" % one.offset for one in found]
    assert list(await reader.read(filled, 10, 5)) == []


async def test_what_retention_has_dropped_is_passed_over(
    mock: MockCluster, reader: Reader, filled: TopicPartition
) -> None:
    mock.forget(filled.topic, filled.partition, 4)
    assert (await reader.ends(filled.topic, 3))[filled.partition] == (4, 10)
    assert [one.offset for one in await reader.read(filled, 0, 3)] == [4, 5, 6]


async def test_it_reads_again_after_the_broker_was_away(
    mock: MockCluster, reader: Reader, filled: TopicPartition
) -> None:
    assert len(await reader.read(filled, 0, 5)) == 5
    mock.go_down()
    try:
        with pytest.raises(Unavailable):
            await reader.read(filled, 5, 5)
    finally:
        mock.come_up()
    assert [one.offset for one in await reader.read(filled, 5, 5)] == list(range(5, 10))
