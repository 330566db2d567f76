"""Appending while sessions die and the server restarts: nothing is lost, nothing doubled, no order changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.log.bus import Log
from acme.drivers.partitions import partition
from acme.errors import Unavailable
from acme.ports import Received, Topic, TopicPartition
from acme.telemetry import Metrics
from tests.contract.bus.rigs import numbered, record
from tests.unit.acme.drivers.log.conftest import Open, ask, kill_others
from tests.waiting import sample, until

WRITERS, BATCHES, EACH = 4, 15, 10


async def again_and_again(do: Callable[[], Awaitable[None]], limit: float = 30.0) -> int:
    """As the relay does: the same once more, until it is done. Says how often it was not."""
    failed = 0
    async with asyncio.timeout(limit):
        while True:
            try:
                await do()
                return failed
            except Unavailable:
                failed += 1
                await asyncio.sleep(0.01)


async def write(bus: Log, writer: int) -> int:
    failed = 0
    for batch in range(BATCHES):
        records = [
            record("t", f"{writer}", b"%d" % (batch * EACH + n), id=f"{writer}/{batch}/{n}") for n in range(EACH)
        ]
        failed += await again_and_again(partial(bus.append, "source", records))
    return failed


async def check(bus: Log, partitions: int) -> None:
    """Each writer's records are there once, in order, and offsets have no gaps."""
    for writer in range(WRITERS):
        place = TopicPartition("t", partition(b"%d" % writer, partitions))
        found: list[Received] = []
        while part := await bus.read(place, len(found)):
            found += part
        assert [one.offset for one in found] == list(range(len(found)))
        assert [int(one.value or b"") for one in found if one.key == b"%d" % writer] == list(range(BATCHES * EACH))


async def test_sessions_that_are_killed_lose_and_double_nothing(opened: Open, database: postgres.Pool) -> None:
    bus = opened(connections=WRITERS)
    await bus.declare([Topic("t", partitions=2)])
    done = asyncio.Event()
    killed = 0

    async def kill() -> None:
        nonlocal killed
        chance = random.Random(7)
        while not done.is_set():
            killed += await kill_others(database)
            await asyncio.sleep(chance.uniform(0, 0.15))

    async def write_all() -> int:
        try:
            return sum(await asyncio.gather(*(write(bus, writer) for writer in range(WRITERS))))
        finally:
            done.set()

    failed, _ = await asyncio.gather(write_all(), kill())
    assert killed > 0  # how often chance comes in between is the machine's affair
    assert failed > 0
    await again_and_again(lambda: check(bus, 2))


async def test_a_server_that_crashes_and_comes_back_has_lost_and_doubled_nothing(
    server: EmbeddedPostgres, opened: Open
) -> None:
    bus = opened(connections=WRITERS)
    await bus.declare([Topic("t", partitions=2)])
    writing = asyncio.gather(*(write(bus, writer) for writer in range(WRITERS)))
    place = TopicPartition("t", partition(b"0", 2))

    async def begun() -> bool:
        return bool(await bus.read(place, 20))

    await until(begun)
    assert server._process is not None
    server._process.kill()
    await until(server.revive)
    assert sum(await writing) > 0
    await check(bus, 2)


async def test_records_that_are_there_already_are_counted(opened: Open) -> None:
    metrics = Metrics()
    bus = opened(metrics)
    await bus.declare([Topic("t", partitions=2)])
    records = numbered("t", range(10))
    await bus.append("users", [*records, records[3]])
    await bus.append("users", records[5:] + numbered("t", range(10, 12)))
    assert sum(one.end for one in (await bus.ends("t")).values()) == 12
    assert sample(metrics, "acme_bus_duplicates_total") == 6


async def test_what_is_large_goes_in_several_statements_and_keeps_its_order(
    opened: Open, database: postgres.Pool
) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=1)])
    records = [record("t", value=bytes(1 << 20)) for _ in range(20)]
    await bus.append("users", records)
    await bus.append("users", records)
    assert await ask(database, "SELECT count(DISTINCT appended_at) FROM batches") > 1
    offset, sizes = 0, []
    while part := await bus.read(TopicPartition("t", 0), offset):
        sizes.append(len(part))
        assert [one.timestamp for one in part] == [one.timestamp for one in records[offset : offset + len(part)]]
        offset += len(part)
    assert offset == 20
    assert max(sizes) <= 9


async def test_a_partition_that_a_topic_does_not_have_is_a_mistake(opened: Open) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=2)])
    with pytest.raises(ValueError, match="topic t has partitions 0 to 1, not 2"):
        await bus.read(TopicPartition("t", 2), 0)


async def test_a_bus_that_is_closed_is_unavailable(opened: Open) -> None:
    bus = opened()
    await bus.declare([Topic("t", partitions=2)])
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.ends("t")
