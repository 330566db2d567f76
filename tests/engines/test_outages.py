"""A broker that is killed, and one that hangs: nothing that was acknowledged is lost, and the driver recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from acme.errors import Unavailable
from acme.ports import Bus, Fenced, Received, Subscription, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.apache import ApacheKafka
from tests.contract.bus.hearing import Hearing, ends
from tests.contract.bus.rigs import fresh, record
from tests.waiting import sample, until

pytestmark = pytest.mark.engines

KEYS = 5
BATCH = 20
LIMIT = 60.0
"""Seconds in which everything is well again."""


class Writer:
    """Appends numbered batches, one after the other, and each until it is acknowledged: as the relay does."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self._bus, self._topic = bus, topic
        self.acknowledged = 0
        """Batches."""
        self.refused = 0
        """Appends that had to be repeated."""
        self._stopping = False

    def stop(self) -> None:
        """After this batch."""
        self._stopping = True

    async def run(self) -> None:
        """Until it is stopped."""
        while not self._stopping:
            first = self.acknowledged * BATCH
            records = [
                record(self._topic, f"key-{number % KEYS}", b"%d" % number) for number in range(first, first + BATCH)
            ]
            while True:
                try:
                    await self._bus.append("test", records)
                except Unavailable:
                    self.refused += 1
                    await asyncio.sleep(0.05)
                else:
                    break
            self.acknowledged += 1


async def follow(member: Subscription, into: list[Received], stop: asyncio.Event) -> None:
    """Reads and commits until it is stopped, whatever the bus says: a group may have lost its member meanwhile."""
    while not stop.is_set():
        try:
            found = await member.poll(0.2)
            into.extend(found)
            await member.commit(ends(list(found)))
        except (Unavailable, Fenced):
            continue


def firsts(records: Sequence[Received]) -> dict[bytes | None, list[int]]:
    """The numbers of each key in the order in which they were seen first."""
    seen: dict[bytes | None, dict[int, None]] = {}
    for one in records:
        seen.setdefault(one.key, {})[int(one.value or b"")] = None
    return {key: list(numbers) for key, numbers in seen.items()}


async def test_killed_twice_in_the_midst_of_appends_and_polls_it_loses_nothing_and_inverts_nothing(
    kafka: ApacheKafka, bus: Bus, declared: str
) -> None:
    writer, read, stop, hearing = Writer(bus, declared), list[Received](), asyncio.Event(), Hearing()

    async def passed(batches: int) -> None:
        await until(lambda: _true(writer.acknowledged >= batches), LIMIT)

    async def read_all() -> None:
        await until(lambda: _true(len({one.value for one in read}) >= writer.acknowledged * BATCH), LIMIT)

    async with Tasks("load", Metrics()) as tasks, bus.subscribe(fresh("group"), [declared], hearing) as member:
        writing = tasks.spawn("write", writer.run())
        reading = tasks.spawn("read", follow(member, read, stop))
        for _ in range(2):
            await passed(writer.acknowledged + 30)
            kafka.kill()
            refused = writer.refused
            await until(lambda refused=refused: _true(writer.refused > refused), LIMIT)  # type: ignore[misc]  # a lambda's default
            await asyncio.to_thread(kafka.start)
            await passed(writer.acknowledged + 30)
        writer.stop()
        await writing
        await read_all()
        stop.set()
        await reading

    expected = {f"key-{key}".encode(): list(range(key, writer.acknowledged * BATCH, KEYS)) for key in range(KEYS)}
    assert firsts(read) == expected, "what the consumer saw"
    kept: list[Received] = []
    for number, (start, end) in (await bus.ends(declared)).items():
        while start < end:
            part = await bus.read(TopicPartition(declared, number), start)
            kept.extend(part)
            start = part[-1].offset + 1
    assert firsts(kept) == expected, "what the log has"
    assert bus.state == "ok"


async def test_one_that_hangs_is_unavailable_in_time_and_its_producer_is_not_used_again(
    kafka: ApacheKafka, bus: Bus, declared: str, metrics: Metrics
) -> None:
    await bus.append("test", [record(declared, "key", b"0")])
    kafka.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await bus.append("test", [record(declared, "key", b"1")])
        assert time.monotonic() - began < 3.5
        assert bus.state != "ok"
    finally:
        kafka.thaw()
    assert sample(metrics, "acme_kafka_producers_discarded_total") == 1

    async def appended() -> bool:
        try:
            await bus.append("test", [record(declared, "key", b"1")])
        except Unavailable:
            return False
        return True

    await until(appended, LIMIT)
    place = next(number for number, (start, end) in (await bus.ends(declared)).items() if end > start)
    values = [one.value for one in await bus.read(TopicPartition(declared, place), 0)]
    assert values[:2] == [b"0", b"1"]
    assert set(values[2:]) <= {b"1"}, "the append that was given up may have been taken"
    assert bus.state == "ok"


async def _true(fact: bool) -> bool:
    return fact
