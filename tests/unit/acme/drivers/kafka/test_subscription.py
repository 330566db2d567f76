"""A member of a group when things go wrong. All else: tests/contract/bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from acme.drivers.kafka import seams
from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.producer import Producer
from acme.drivers.kafka.subscription import KafkaSubscription
from acme.errors import Unavailable
from acme.ports import Fenced, Received, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.mock import HEARTBEAT, OFFSET_COMMIT, REBALANCING, UNKNOWN_MEMBER, MockCluster
from tests.contract.bus.hearing import Hearing, poll_until, receive
from tests.contract.bus.rigs import fresh, record

LIMIT = 15.0


@pytest.fixture
def hearing() -> Hearing:
    return Hearing()


@pytest.fixture
async def member(
    cluster: Cluster, health: Health, topic: str, hearing: Hearing, tasks: Tasks, metrics: Metrics
) -> AsyncIterator[KafkaSubscription]:
    """One that has its partitions, with a record in each."""
    producer = Producer(cluster, health, tasks, metrics)
    await producer.append([(TopicPartition(topic, number), record(topic)) for number in range(3)])
    await producer.close()
    member = KafkaSubscription(
        cluster,
        health,
        fresh("group"),
        [topic],
        hearing,
        member="",
        start="earliest",
        drain=2.0,
        session=2.0,
    )
    await member.open()
    await receive(member, 3, limit=LIMIT)
    yield member
    await member.close()


async def test_a_member_that_the_group_has_dropped_hears_of_its_loss_and_is_back(
    mock: MockCluster, member: KafkaSubscription, hearing: Hearing, topic: str
) -> None:
    mock.fail(HEARTBEAT, UNKNOWN_MEMBER)
    again: list[Received] = []
    await poll_until(lambda: bool(hearing.kinds("lost")), member, limit=LIMIT, into=again)
    await poll_until(lambda: len(again) == 3, member, limit=LIMIT, into=again)  # what was not committed
    assert hearing.kinds("lost") == [frozenset(TopicPartition(topic, number) for number in range(3))]
    assert len(hearing.owned) == 3


@pytest.mark.parametrize("error", [UNKNOWN_MEMBER, REBALANCING])
async def test_a_commit_that_the_group_refuses_is_fenced(
    mock: MockCluster, member: KafkaSubscription, topic: str, error: int
) -> None:
    mock.fail(OFFSET_COMMIT, error)
    with pytest.raises(Fenced):
        await member.commit({TopicPartition(topic, 0): 1})


async def test_a_commit_that_nobody_answers_is_unavailable(
    mock: MockCluster, member: KafkaSubscription, topic: str
) -> None:
    mock.go_down()
    try:
        with pytest.raises(Unavailable):
            await member.commit({TopicPartition(topic, 0): 1})
        with pytest.raises(Unavailable):
            await member.poll(0.1)
    finally:
        mock.come_up()


async def test_a_consumer_that_cannot_go_on_is_replaced(
    member: KafkaSubscription, hearing: Hearing, topic: str
) -> None:
    consumer = member._consumer
    assert consumer is not None
    consumer._fetcher._fetch_task.cancel()
    await asyncio.wait([consumer._fetcher._fetch_task])
    assert seams.stuck(consumer)
    again: list[Received] = []
    await poll_until(lambda: len(again) == 3, member, limit=LIMIT, into=again)
    assert [len(hearing.kinds(kind)) for kind in ("assigned", "lost", "revoked")] == [2, 1, 0]
    assert member._consumer is not consumer


async def test_who_has_left_neither_polls_nor_commits(member: KafkaSubscription, hearing: Hearing, topic: str) -> None:
    await member.close()
    assert hearing.owned == {}
    with pytest.raises(RuntimeError):
        await member.poll(0.0)
    with pytest.raises(Fenced):
        await member.commit({TopicPartition(topic, 0): 1})
    place = TopicPartition(topic, 0)
    member.pause(place)
    member.resume(place)
    member.seek(place, 0)
