"""What aiokafka's coordinator writes down for the next poll."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as Place

from acme.drivers.kafka.cluster import Cluster
from acme.drivers.kafka.turns import Loss, Turns
from acme.tasks import Tasks
from tests.contract.bus.rigs import fresh
from tests.waiting import until


@pytest.fixture
async def consumer(cluster: Cluster, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A member of a group, whose listener is a test's own."""
    consumer = AIOKafkaConsumer(**cluster.client(), group_id=fresh("group"), session_timeout_ms=2000)
    await consumer.start()
    yield consumer
    await consumer.stop()


async def _true(fact: bool) -> bool:
    return fact


async def test_what_is_assigned_is_paused_and_wakes_the_poll(consumer: AIOKafkaConsumer, topic: str) -> None:
    woken = list[str]()
    turns = Turns(consumer, lambda: woken.append("woken"))
    consumer.subscribe([topic], listener=turns)
    await until(lambda: _true(turns.gained is not None))
    assert turns.gained == frozenset(Place(topic, number) for number in range(3))
    assert consumer.paused() == turns.gained
    assert woken == ["woken"]
    assert (turns.held, turns.loss) == (False, None)


async def test_what_nobody_knew_of_is_given_up_at_once(consumer: AIOKafkaConsumer, topic: str) -> None:
    turns = Turns(consumer, lambda: None)
    turns.on_partitions_assigned([])
    assert turns.gained is not None
    await turns.on_partitions_revoked([Place(topic, 0)])
    assert turns.gained is None
    assert turns.loss is None


async def test_a_revocation_waits_until_they_are_given_up(consumer: AIOKafkaConsumer, topic: str, tasks: Tasks) -> None:
    turns = Turns(consumer, lambda: None)
    consumer.subscribe([topic], listener=turns)
    await until(lambda: _true(turns.gained is not None))
    turns.gained, turns.held = None, True
    revoking = tasks.spawn("revoking", turns.on_partitions_revoked([Place(topic, 0)]))
    await until(lambda: _true(turns.loss is Loss.REVOKED))
    await asyncio.sleep(0)
    assert not revoking.done()
    turns.give_up()
    await revoking
    assert (turns.held, turns.loss) == (False, None)


async def test_a_loss_is_not_waited_for(consumer: AIOKafkaConsumer, topic: str) -> None:
    turns = Turns(consumer, lambda: None)
    turns.held = True
    async with asyncio.timeout(1):
        await turns.on_partitions_revoked([Place(topic, 0)])  # the consumer has not joined: it is no member
    assert turns.loss is Loss.LOST
