"""Offsets and commits of many at once, and what is asked of batches."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from acme.drivers import postgres
from acme.drivers.log import store
from acme.drivers.log.batches import Batch, pack, unpack
from acme.ports import Topic
from tests.contract.bus.rigs import record
from tests.unit.acme.drivers.log.conftest import Open, ask, somebody_waits
from tests.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def declared(database: postgres.Pool, partitions: int) -> tuple[int, ...]:
    async with database.connection() as connection:
        await connection.begin()
        await store.declare(connection, Topic("t", partitions=partitions))
        await connection.commit()
        return (await store.topics(connection, ["t"]))["t"].partitions


def packed(*values: bytes) -> Batch:
    [batch] = pack([record("t", value=value) for value in values])
    return batch


async def test_offsets_have_no_gap_and_their_order_is_that_of_the_commits(database: postgres.Pool) -> None:
    """Eight writers that keep their transactions open for a while, some of which roll back; a reader never sees a hole."""
    places = await declared(database, 2)
    committed: dict[int, list[bytes]] = {place: [] for place in places}
    done = asyncio.Event()

    async def write(writer: int, chance: random.Random) -> None:
        for turn in range(12):
            mine = sorted(chance.sample(places, chance.choice((1, 2))))
            value = b"%d/%d" % (writer, turn)
            async with database.connection() as connection:
                await connection.begin()
                assert await store.append(
                    connection, writer, [f"{turn:03}"], NOW, [(place, packed(value, value)) for place in mine]
                )
                await asyncio.sleep(chance.uniform(0, 0.01))  # a commit that takes its time is what this is about
                if chance.random() < 0.2:
                    await connection.rollback()
                    continue
                # Whoever holds a partition's row is the only one between here and its commit.
                for place in mine:
                    committed[place] += [value, value]
                await connection.commit()

    async def read() -> None:
        seen = dict.fromkeys(places, 0)
        async with database.connection() as connection:
            while not done.is_set():
                for batch in await store.fetch(connection, places, [seen[place] for place in places], 1000, 1 << 20):
                    assert batch.end_offset - batch.length == seen[batch.partition_id], "something was passed over"
                    seen[batch.partition_id] = batch.end_offset
                await asyncio.sleep(0)

    async def write_all() -> None:
        await asyncio.gather(*(write(writer, random.Random(writer)) for writer in range(8)))
        done.set()

    await asyncio.gather(read(), write_all())
    async with database.connection() as connection:
        for place in places:
            found = await store.fetch(connection, [place], [0], 10_000, 1 << 30)
            values = [one.value for batch in found for one in unpack("t", 0, batch, 0)]
            assert values == committed[place]


async def test_an_append_of_which_something_is_there_does_nothing(database: postgres.Pool) -> None:
    [place] = await declared(database, 1)
    async with database.connection() as connection:
        assert await store.append(connection, 1, ["a", "b"], NOW, [(place, packed(b"1", b"2"))])
        assert not await store.append(connection, 1, ["b", "c"], NOW, [(place, packed(b"2", b"3"))])
        assert await store.append(connection, 2, ["b"], NOW, [(place, packed(b"2"))])
        assert await store.claim(connection, 1, ["b", "c"], NOW) == {"c"}
    assert await ask(database, "SELECT next_offset FROM partitions") == 3


async def test_one_that_waits_for_another_with_the_same_ids_does_what_is_left_to_do(database: postgres.Pool) -> None:
    [place] = await declared(database, 1)
    for end, expected in (("rollback", True), ("commit", False)):
        async with database.connection() as first, database.connection() as second:
            await first.begin()
            assert await store.append(first, 1, [end], NOW, [(place, packed(b"1"))])
            waiting = asyncio.gather(store.append(second, 1, [end], NOW, [(place, packed(b"1"))]))
            await until(lambda: somebody_waits(database))
            await getattr(first, end)()
            [told] = await waiting
            assert told is expected
    assert await ask(database, "SELECT next_offset FROM partitions") == 2


async def test_one_append_is_one_notification(database: postgres.Pool, url: str) -> None:
    places = await declared(database, 5)
    heard: list[str] = []
    async with database.connection() as connection:
        raw = await postgres.Address(url).connect()
        await raw.add_listener("acme_bus", lambda _connection, _pid, _channel, text: heard.append(text))
        await store.append(connection, 1, ["a"], NOW, [(place, packed(b"1")) for place in places])
        await store.append(connection, 1, ["b"], NOW, [(places[0], packed(b"1")), (places[0], packed(b"1"))])
        while len(heard) < 2:
            await raw.fetchval("SELECT 1")
        await raw.close()
    assert heard == ["p" + ",".join(map(str, places)), f"p{places[0]},{places[0]}"]


async def test_a_question_brings_a_bounded_number_of_bytes_and_at_least_one_batch(database: postgres.Pool) -> None:
    places = await declared(database, 2)
    big = packed(bytes(100_000))
    async with database.connection() as connection:
        for number in range(10):
            await store.append(connection, 1, [str(number)], NOW, [(place, big) for place in places])
        for size, count in ((1, 1), (100_000, 1), (350_000, 4), (1 << 30, 20)):
            found = await store.fetch(connection, [places[1], places[0]], [0, 0], 1000, size)
            assert len(found) == count
            assert found[0].partition_id == places[1]
        assert len(await store.fetch(connection, [places[0]], [0], 3, 1 << 30)) == 3


async def test_a_reader_that_is_far_behind_costs_no_more_than_what_it_reads(database: postgres.Pool) -> None:
    """Also while PostgreSQL has no statistics yet."""
    [place] = await declared(database, 1)
    await ask(
        database,
        "INSERT INTO batches SELECT $1, n, 1, $2, 1, 'x' FROM generate_series(1, 20000) AS n",
        place,
        NOW,
    )
    read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'batches_pkey'"
    async with database.connection() as connection:
        for position in range(0, 2000, 100):
            assert len(await store.fetch(connection, [place], [position], 100, 1 << 20)) == 100
        await connection.fetchval("SELECT pg_stat_force_next_flush()")
        assert await connection.fetchval(read) <= 20 * 200


@pytest.mark.parametrize("bad", [[""], ["a\nb"], ["a", "b\n"]])
async def test_an_id_that_is_no_id_is_refused(database: postgres.Pool, bad: list[str]) -> None:
    async with database.connection() as connection:
        with pytest.raises(ValueError, match="without line breaks"):
            await store.append(connection, 1, bad, NOW, [])


async def test_what_declare_says_of_retention_is_what_counts_from_then_on(
    opened: Open, database: postgres.Pool
) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=5.0)])
    await bus.declare([Topic("t", partitions=1, retention=7.0, compact=True)])
    assert await ask(database, "SELECT (retention, compact)::text FROM topics") == "(7,t)"
