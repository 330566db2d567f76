"""aiokafka is beneath its surface as we take it to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from acme.drivers.kafka import seams
from acme.drivers.kafka.cluster import Cluster
from tests.brokers.mock import HEARTBEAT, UNKNOWN_MEMBER, MockCluster
from tests.contract.bus.rigs import fresh
from tests.waiting import until


@pytest.fixture
async def consumer(cluster: Cluster, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of a group, with its partitions."""
    consumer = AIOKafkaConsumer(
        **cluster.client(), group_id=fresh("group"), session_timeout_ms=2000, heartbeat_interval_ms=100
    )
    await consumer.start()
    consumer.subscribe([topic])
    await until(lambda: _true(bool(consumer.assignment())))
    yield consumer
    await consumer.stop()


async def test_a_member_is_shut_out_from_when_the_group_does_not_know_it_until_it_has_joined_again(
    mock: MockCluster, consumer: AIOKafkaConsumer
) -> None:
    assert not seams.shut_out(consumer)
    mock.fail(HEARTBEAT, UNKNOWN_MEMBER)
    await until(lambda: _true(seams.shut_out(consumer)))
    await until(lambda: _true(not seams.shut_out(consumer)))


async def test_a_consumer_is_stuck_when_a_task_of_its_own_has_ended(consumer: AIOKafkaConsumer) -> None:
    assert not seams.stuck(consumer)
    consumer._fetcher._fetch_task.cancel()
    await until(lambda: _true(seams.stuck(consumer)))


async def test_a_poll_that_was_cancelled_counts_as_ended(consumer: AIOKafkaConsumer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await consumer.getmany(timeout_ms=5000)
    assert consumer._subscription.fetcher_idle_time == 0, "aiokafka has mended it: remove the seam"
    seams.poll_ended(consumer)
    await until(lambda: _true(consumer._subscription.fetcher_idle_time > 0.02))


async def test_a_producer_is_ended_without_delivering_what_it_has(
    mock: MockCluster, cluster: Cluster, topic: str
) -> None:
    producer = AIOKafkaProducer(**cluster.client(), enable_idempotence=True, request_timeout_ms=1000)
    await producer.start()
    await producer.partitions_for(topic)
    mock.go_down()
    try:
        sent = await producer.send(topic, b"value", partition=0)
        async with asyncio.timeout(5):
            await seams.abort(producer)
        assert isinstance(sent.exception(), ProducerClosed)
    finally:
        mock.come_up()


async def test_what_a_cancelled_stop_has_left_is_closed(consumer: AIOKafkaConsumer) -> None:
    stopping = asyncio.timeout(0)
    with pytest.raises(TimeoutError):
        async with stopping:
            await consumer.stop()
    await seams.abandon(consumer)
    assert consumer._fetcher.error_future.done()
    assert consumer._coordinator._heartbeat_task is None
    assert consumer._coordinator._coordination_task.done()


async def _true(fact: bool) -> bool:
    return fact
