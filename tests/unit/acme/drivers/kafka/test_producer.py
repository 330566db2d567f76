"""Appending when Kafka refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.producer import BATCH, Producer
from acme.drivers.kafka.reader import Reader
from acme.errors import Unavailable
from acme.ports import Record, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.mock import OUT_OF_ORDER_SEQUENCE, PRODUCE, TOO_LARGE, MockCluster
from tests.contract.bus.rigs import record
from tests.waiting import sample

DISCARDED = "acme_kafka_producers_discarded_total"


@pytest.fixture
async def producer(cluster: Cluster, health: Health, tasks: Tasks, metrics: Metrics) -> AsyncIterator[Producer]:
    producer = Producer(cluster, health, tasks, metrics)
    yield producer
    await producer.close()


@pytest.fixture
async def reader(cluster: Cluster, health: Health) -> AsyncIterator[Reader]:
    reader = Reader(cluster, health)
    yield reader
    await reader.close()


def to(topic: str, *values: bytes) -> list[tuple[TopicPartition, Record]]:
    return [(TopicPartition(topic, 0), record(topic, value=value)) for value in values]


async def test_a_producer_that_is_out_of_order_is_discarded_and_the_next_append_works(
    mock: MockCluster, producer: Producer, reader: Reader, topic: str, metrics: Metrics
) -> None:
    await producer.append(to(topic, b"1"))
    mock.fail(PRODUCE, OUT_OF_ORDER_SEQUENCE)
    with pytest.raises(Unavailable):
        await producer.append(to(topic, b"2"))
    assert sample(metrics, DISCARDED) == 1
    await producer.append(to(topic, b"2", b"3"))
    assert [one.value for one in await reader.read(TopicPartition(topic, 0), 0, 10)] == [b"1", b"2", b"3"]
    assert sample(metrics, DISCARDED) == 1


async def test_nothing_of_a_failed_append_overtakes_what_failed(
    mock: MockCluster, producer: Producer, reader: Reader, topic: str
) -> None:
    first, second = bytes(BATCH - 1000), b"second"
    mock.fail(PRODUCE, OUT_OF_ORDER_SEQUENCE)
    with pytest.raises(Unavailable):
        await producer.append(to(topic, first, first, second))
    assert list(await reader.read(TopicPartition(topic, 0), 0, 10)) == []


async def test_a_record_that_is_too_large_is_nothing_to_be_repeated(
    mock: MockCluster, producer: Producer, topic: str
) -> None:
    mock.fail(PRODUCE, TOO_LARGE)
    with pytest.raises(ValueError, match="larger than the brokers"):
        await producer.append(to(topic, b"1"))
    await producer.append(to(topic, b"2"))


async def test_a_broker_that_is_away_is_unavailable_in_time_and_nothing_is_delivered_later(
    mock: MockCluster, producer: Producer, reader: Reader, topic: str
) -> None:
    await producer.append(to(topic, b"1"))
    mock.go_down()
    try:
        with pytest.raises(Unavailable):
            await producer.append(to(topic, b"2"))
    finally:
        mock.come_up()
    await producer.append(to(topic, b"3"))
    assert [one.value for one in await reader.read(TopicPartition(topic, 0), 0, 10)] == [b"1", b"3"]
