"""What is past its time goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.drivers.log import retention
from acme.ports import Ends, Topic, TopicPartition
from tests.contract.bus.hearing import Hearing, receive
from tests.contract.bus.rigs import numbered, record
from tests.unit.acme.drivers.log.conftest import Open, ask


async def test_batches_that_are_older_go_and_the_others_keep_their_offsets(
    opened: Open, clock: MovableClock, database: postgres.Pool
) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=150.0)])
    place = TopicPartition("t", 0)
    for first in (0, 10, 20):
        await bus.append("users", numbered("t", range(first, first + 10)))
        clock.advance(timedelta(seconds=60))
    await retention.sweep(bus._link, clock)
    assert await bus.ends("t") == {0: Ends(10, 30)}
    assert [one.offset for one in await bus.read(place, 3)] == list(range(10, 30))
    clock.advance(timedelta(days=1))
    await retention.sweep(bus._link, clock)
    assert await bus.ends("t") == {0: Ends(30, 30)}
    assert list(await bus.read(place, 0)) == []
    await bus.append("users", numbered("t", [30]))
    assert [one.offset for one in await bus.read(place, 0)] == [30]
    assert await ask(database, "SELECT count(*) FROM batches") == 1


async def test_a_group_that_was_away_for_too_long_goes_on_with_what_is_left(opened: Open, clock: MovableClock) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=100.0)])
    await bus.append("users", numbered("t", range(10)))
    await bus.reset("group", {TopicPartition("t", 0): 4})
    clock.advance(timedelta(seconds=101))
    await bus.append("users", numbered("t", range(10, 15)))
    await retention.sweep(bus._link, clock)
    async with bus.subscribe("group", ["t"], Hearing()) as member:
        assert [one.offset for one in await receive(member, 5, limit=5.0)] == list(range(10, 15))


async def test_topics_without_an_end_and_compact_ones_keep_everything(opened: Open, clock: MovableClock) -> None:
    bus = opened()
    await bus.declare([Topic("ever", partitions=1, retention=0), Topic("compact", partitions=1, compact=True)])
    await bus.append("users", [record("ever"), record("compact")])
    clock.advance(timedelta(days=4000))
    await retention.sweep(bus._link, clock)
    assert (await bus.ends("ever"), await bus.ends("compact")) == ({0: Ends(0, 1)}, {0: Ends(0, 1)})


async def test_what_one_transaction_may_not_hold_takes_several(
    opened: Open, clock: MovableClock, database: postgres.Pool
) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=100.0)])
    await bus.append("users", [record("t")])
    await ask(
        database,
        "INSERT INTO batches SELECT partition_id, end_offset + n, length, appended_at, bytes, content"
        " FROM batches, generate_series(1, $1) AS n",
        2 * retention.BATCHES,
    )
    await ask(database, "UPDATE partitions SET next_offset = next_offset + $1", 2 * retention.BATCHES)
    clock.advance(timedelta(seconds=101))
    await retention.sweep(bus._link, clock)
    assert await bus.ends("t") == {0: Ends(2 * retention.BATCHES + 1, 2 * retention.BATCHES + 1)}


async def test_ids_are_known_for_seven_days(opened: Open, clock: MovableClock, database: postgres.Pool) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=0)])
    old, new = record("t"), record("t")
    await bus.append("users", [old])
    clock.advance(retention.REMEMBERED - timedelta(seconds=10))
    await bus.append("users", [new])
    await retention.sweep(bus._link, clock)
    await bus.append("users", [old, new])
    assert await bus.ends("t") == {0: Ends(0, 2)}
    clock.advance(timedelta(seconds=11))
    await retention.sweep(bus._link, clock)
    assert await ask(database, "SELECT array_agg(id) FROM appended") == [new.id]


async def test_one_process_does_it_at_a_time(opened: Open, clock: MovableClock, database: postgres.Pool) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1, retention=1.0)])
    await bus.append("users", [record("t")])
    async with database.connection() as other:
        await other.begin()
        await other.fetchval(
            "SELECT pg_advisory_xact_lock($1)", retention._LOCK
        )  # the bus's own round may be under way
        clock.advance(timedelta(days=1))
        await retention.sweep(bus._link, clock)
        assert await bus.ends("t") == {0: Ends(0, 1)}
        await other.rollback()
    await retention.sweep(bus._link, clock)
    assert await bus.ends("t") == {0: Ends(1, 1)}
