"""The statements about groups, where several of them meet."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from acme.drivers import postgres
from acme.drivers.log import group_store, store
from acme.drivers.log.group_store import MemberRow
from acme.ports import Topic, TopicPartition
from tests.unit.acme.drivers.log.conftest import somebody_waits
from tests.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def made(database: postgres.Pool, *owners: str | None) -> int:
    """A group whose partitions are owned by these lives; their ids are 1, 2, …"""
    async with database.connection() as connection:
        await connection.begin()
        await store.declare(connection, Topic("t", partitions=len(owners)))
        number = await group_store.group(connection, "g")
        await group_store.cover(connection, number, ["t"])
        rows = await group_store.positions(connection, number)
        await group_store.settle(
            connection, number, [row._replace(owner=owner) for row, owner in zip(rows, owners, strict=True)]
        )
        await connection.commit()
    return number


async def test_a_commit_is_done_whole_or_not_at_all(database: postgres.Pool) -> None:
    number = await made(database, "me", "me", "other", None)
    async with database.connection() as connection:
        assert await group_store.commit(connection, number, "me", {1: 5, 2: 6})
        for places in ({1: 7, 3: 1}, {2: 7, 4: 1}, {1: 7, 99: 1}):
            assert not await group_store.commit(connection, number, "me", places)
        assert await group_store.committed(connection, "g") == {TopicPartition("t", 0): 5, TopicPartition("t", 1): 6}


async def test_a_commit_that_waits_for_a_hand_over_is_refused_after_it(database: postgres.Pool) -> None:
    number = await made(database, "me")
    async with database.connection() as taker, database.connection() as late:
        await taker.begin()
        [row] = await group_store.positions(taker, number)
        await group_store.settle(taker, number, [row._replace(owner="other")])
        waiting = asyncio.gather(group_store.commit(late, number, "me", {1: 5}))
        await until(lambda: somebody_waits(database))
        await taker.commit()
        [done] = await waiting
        assert done is False
        assert await group_store.committed(late, "g") == {}


async def test_who_is_awaited_back_is_not_alive_and_who_is_overdue_is_reaped(database: postgres.Pool) -> None:
    number = await made(database, None)
    later = NOW + timedelta(seconds=10)
    async with database.connection() as connection:
        await group_store.enter(connection, number, MemberRow("a", "life", ["t"], 1.0), later)
        assert await group_store.alive(connection, number, NOW)
        assert not await group_store.alive(connection, number, later + timedelta(seconds=1))
        told = await group_store.beat(connection, number, "life", later, NOW)
        assert told is not None
        assert not told.overdue
        await group_store.leave(connection, number, "life", later)
        assert not await group_store.alive(connection, number, NOW)
        assert [(one.name, one.life) for one in await group_store.members(connection, number)] == [("a", None)]
        assert not await group_store.reap(connection, number, later)
        assert await group_store.reap(connection, number, later + timedelta(seconds=1))
        assert await group_store.members(connection, number) == []
        assert await group_store.beat(connection, number, "life", later, NOW) is None


async def test_a_change_is_counted_and_told(database: postgres.Pool, url: str) -> None:
    number = await made(database, None)
    heard: list[str] = []
    raw = await postgres.Address(url).connect()
    await raw.add_listener("acme_bus", lambda _connection, _pid, _channel, text: heard.append(text))
    async with database.connection() as connection:
        before = await group_store.lock(connection, number)
        await group_store.changed(connection, number, "acme_bus")
        assert await group_store.lock(connection, number) == before + 1
    while not heard:
        await raw.fetchval("SELECT 1")
    assert heard == [f"g{number}"]
    await raw.close()
