"""A member at work while notifications fail to come, sessions die, the server restarts, and others wake up too late."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.log import subscription
from acme.drivers.log.batches import LARGEST
from acme.drivers.log.reading import AHEAD
from acme.drivers.log.subscription import Member
from acme.errors import Unavailable
from acme.ports import Fenced, Received, Subscription, Topic, TopicPartition
from tests.contract.bus.hearing import Hearing, ends, poll_until, receive
from tests.contract.bus.rigs import numbered, record
from tests.unit.acme.drivers.log.conftest import Open, ask, kill_others

TURN = 5.0


async def test_one_that_hears_nothing_asks(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(*_given: Any) -> None:
        raise Unavailable("nobody listens")

    monkeypatch.setattr("acme.drivers.log.listening.listen", deaf)
    bus, other = opened(), opened()
    await bus.declare([Topic("t", partitions=2)])
    hearing = Hearing()
    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=TURN)
        waiting = asyncio.gather(member.poll(TURN))
        await other.append("users", [record("t")])
        began = time.monotonic()
        [found] = await waiting
        assert len(found) == 1
        assert time.monotonic() - began < subscription.LOOK_UNHEARD + 1.0


async def test_a_notification_wakes_at_once(opened: Open) -> None:
    bus, hearing = opened(), Hearing()
    await bus.declare([Topic("t", partitions=2)])
    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2 and bus._listening.stands, member, limit=TURN)
        took = []
        for _ in range(20):
            waiting = asyncio.gather(member.poll(TURN))
            began = time.monotonic()
            await bus.append("users", [record("t")])
            [found] = await waiting
            took.append(time.monotonic() - began)
            assert len(found) == 1
        assert sorted(took)[10] < subscription.LOOK_UNHEARD / 2


async def test_one_whose_partitions_are_all_paused_leaves_the_loop_to_others(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "LOOK", 0.02)
    monkeypatch.setattr(subscription, "LOOK_UNHEARD", 0.02)
    bus, hearing = opened(), Hearing()
    await bus.declare([Topic("t", partitions=2)])
    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=TURN)
        for place in hearing.owned:
            member.pause(place)
        waiting = asyncio.gather(member.poll(0.5))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert turns > 20


async def consume(member: Subscription, count: int) -> list[Received]:
    """Reads and commits as a consumer does: what could not be is tried again."""
    found: dict[tuple[int, int], Received] = {}
    async with asyncio.timeout(30.0):
        while len(found) < count:
            try:
                records = list(await member.poll(0.5))
                found.update(((one.partition, one.offset), one) for one in records)
                await member.commit(ends(records))
            except Unavailable:
                await asyncio.sleep(0.01)
            except Fenced:
                continue
    return list(found.values())


async def test_sessions_that_are_killed_lose_nothing(opened: Open, database: postgres.Pool) -> None:
    writer, bus = opened(), opened()
    await writer.declare([Topic("t", partitions=3)])
    done, hearing = asyncio.Event(), Hearing()

    async def kill() -> None:
        while not done.is_set():
            await kill_others(database)
            await asyncio.sleep(0.1)

    async def write() -> None:
        for first in range(0, 300, 30):
            records = numbered("t", range(first, first + 30))
            while not done.is_set():
                try:
                    await writer.append("users", records)
                    break
                except Unavailable:
                    await asyncio.sleep(0.005)

    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 3, member, limit=TURN)
        disturbing = asyncio.gather(write(), kill())
        try:
            found = await consume(member, 300)
        finally:
            done.set()
            await disturbing
    assert sorted(int(one.value or b"") for one in found) == list(range(300))


async def test_a_server_that_restarts_is_come_back_to(server: EmbeddedPostgres, opened: Open) -> None:
    bus, hearing = opened(lease=10.0), Hearing()
    await bus.declare([Topic("t", partitions=3)])
    await bus.append("users", numbered("t", range(100)))
    async with bus.subscribe("group", ["t"], hearing) as member:
        first = await receive(member, 100, limit=TURN)
        await member.commit(ends(first))
        await server.stop()
        with pytest.raises(Unavailable):
            await member.commit(ends(first))
        await server.start()
        writing = asyncio.gather(_append_again(bus))
        found = await consume(member, 50)
        await writing
        assert sorted(int(one.value or b"") for one in found) == list(range(100, 150))
        assert hearing.kinds("lost") == [], "a restart is shorter than a lease"


async def _append_again(bus: Any) -> None:
    records = numbered("t", range(100, 150))
    while True:
        try:
            await bus.append("users", records)
            return
        except Unavailable:
            await asyncio.sleep(0.01)


async def test_one_whose_lease_is_over_loses_everything_and_comes_back(opened: Open, database: postgres.Pool) -> None:
    bus, hearing = opened(), Hearing()
    await bus.declare([Topic("t", partitions=2)])
    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=TURN)
        await ask(database, "DELETE FROM members")
        await ask(database, "UPDATE positions SET owner = 'somebody'")
        with pytest.raises(Fenced):
            await member.commit({TopicPartition("t", 0): 0})
        heard = len(hearing.heard)
        await poll_until(lambda: len(hearing.heard) >= heard + 2, member, limit=TURN)
        assert [kind for kind, _, _ in hearing.heard[heard:]] == ["lost", "assigned"]
        await member.commit({TopicPartition("t", 0): 0})


@pytest.mark.parametrize("limit", [2, 500])
async def test_what_a_poll_brings_and_leaves_is_bounded(opened: Open, limit: int) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=4)])
    for _ in range(5):
        await bus.append("users", [record("t", f"{number}", bytes(500_000)) for number in range(16)])
    async with bus.subscribe("group", ["t"], Hearing()) as member:
        assert isinstance(member, Member)
        seen = 0
        while seen < 5 * 16:
            found = await member.poll(TURN, limit=limit)
            assert 1 <= len(found) <= limit
            seen += len(found)
            held = sum(len(batch.content) for reader in member._readers.values() for batch in reader._batches)
            assert held + sum(len(one.value or b"") for one in found) <= AHEAD + LARGEST


async def test_a_listener_that_fails_is_heard_by_who_polls(opened: Open) -> None:
    class Failing(Hearing):
        async def assigned(self, positions: Any) -> None:
            await super().assigned(positions)
            raise RuntimeError("the consumer's own mistake")

    bus = opened()
    await bus.declare([Topic("t", partitions=2)])
    async with bus.subscribe("group", ["t"], Failing()) as member:
        with pytest.raises(RuntimeError, match="own mistake"):
            await member.poll(TURN)


async def test_a_member_that_ends_while_the_server_is_away_says_so_in_the_log_only(
    server: EmbeddedPostgres, opened: Open
) -> None:
    bus, hearing = opened(), Hearing()
    await bus.declare([Topic("t", partitions=2)])
    async with bus.subscribe("group", ["t"], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=TURN)
        await server.stop()
    await server.start()
    assert hearing.owned == {}
