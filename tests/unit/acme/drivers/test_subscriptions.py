"""Bounded subscriptions. The rest is promised by the port: tests/contract/test_broadcast.py."""

from __future__ import annotations

import asyncio

import pytest

from acme.drivers.subscriptions import ROOM, Subscription, Topics, checked_message, checked_topic
from acme.ports import LOST
from acme.telemetry import Metrics
from tests.waiting import sample


async def test_what_waited_gives_way_to_lost_when_there_is_no_room() -> None:
    subscription = Subscription()
    assert all(subscription.offer(b"%d" % n) for n in range(ROOM))
    assert not subscription.offer(b"one too many")
    assert subscription.offer(b"after")
    assert [await anext(subscription), await anext(subscription)] == [LOST, b"after"]


async def test_several_gaps_are_one_lost() -> None:
    subscription = Subscription()
    subscription.lose()
    subscription.offer(b"dropped")
    subscription.lose()
    subscription.offer(b"kept")
    assert [await anext(subscription), await anext(subscription)] == [LOST, b"kept"]


async def test_a_closed_subscription_ends_for_whoever_waits() -> None:
    subscription = Subscription()
    waiting = asyncio.get_running_loop().create_task(subscription.__anext__())
    await asyncio.sleep(0)
    subscription.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_listeners_come_and_go_by_topic() -> None:
    metrics = Metrics()
    topics = Topics(metrics)
    with topics.listener("a") as one, topics.listener("a"), topics.listener("b"):
        assert (sorted(topics), topics.alone("a"), topics.alone("b")) == (["a", "b"], False, True)
        assert sample(metrics, "acme_broadcast_listeners") == 3
        topics.hear("a", b"1")
        topics.hear("nobody", b"2")
        topics.stands("b")
        topics.count_gap()
        assert await anext(one) == b"1"
    assert (list(topics), "a" in topics) == ([], False)
    assert sample(metrics, 'acme_broadcast_messages_total{direction="heard"}') == 2
    assert sample(metrics, 'acme_broadcast_gaps_total{cause="connection"}') == 3


def test_limits_are_in_bytes() -> None:
    assert (checked_topic("ü" * 100), checked_message(bytes(8192))) == ("ü" * 100, bytes(8192))
    with pytest.raises(ValueError, match="200"):
        checked_topic("ü" * 101)
    with pytest.raises(ValueError, match="8192"):
        checked_message(bytes(8193))
