"""The bus over Kafka end to end, beside a bare loop of aiokafka on the same broker: `python -m tests.bench.kafka`.

End to end: one who appends batches of 500 records of 300 bytes, and a member of a group that polls and commits them, both in
this process, until the last record is committed. Bare: an idempotent producer of aiokafka that sends the same records and
waits for each 500, and a consumer that fetches and commits. Rounds alternate. The broker is Apache Kafka where Java and
Maven are at hand, else librdkafka's mock cluster, which keeps 5 MiB of a partition: readers must not fall behind by more.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from acme.drivers.kafka import open_bus
from acme.ports import Bus, Record, Subscription, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.bench.log import BATCH, TOPIC, records
from tests.bench.scenario import Floor
from tests.brokers.apache import ApacheKafka, programs
from tests.brokers.mock import MockCluster
from tests.contract.bus.hearing import Hearing

BARE: Final = "bare"
PARTITIONS: Final = 12


async def ours(bus: Bus, member: Subscription, batches: Sequence[Sequence[Record]]) -> float:
    """Seconds from the first append to the last commit."""

    async def consume() -> None:
        left = sum(map(len, batches))
        while left:
            found = await member.poll(1.0, limit=BATCH)
            if found:
                left -= len(found)
                await member.commit({one.place: one.offset + 1 for one in found})

    async def produce() -> None:
        for batch in batches:
            await bus.append("bench", batch)

    began = time.perf_counter()
    await asyncio.gather(consume(), produce())
    return time.perf_counter() - began


async def bare(producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, batches: Sequence[Sequence[Record]]) -> float:
    """Seconds, as `ours`."""

    async def consume() -> None:
        left = sum(map(len, batches))
        while left:
            found = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
            if found:
                left -= sum(map(len, found.values()))
                await consumer.commit({place: those[-1].offset + 1 for place, those in found.items()})

    async def produce() -> None:
        for batch in batches:
            sent = [
                await producer.send(BARE, one.value, one.key, timestamp_ms=one.timestamp, headers=list(one.headers))
                for one in batch
            ]
            await asyncio.gather(*sent)

    began = time.perf_counter()
    await asyncio.gather(consume(), produce())
    return time.perf_counter() - began


@asynccontextmanager
async def joined(servers: str) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """A producer, and a consumer that has its partitions."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, max_batch_size=512 * 1024)
    consumer = AIOKafkaConsumer(
        BARE,
        bootstrap_servers=servers,
        group_id=BARE,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=200,
    )
    await producer.start()
    await consumer.start()
    try:
        yield producer, consumer
    finally:
        await consumer.stop()
        await producer.stop()


async def measure(url: str, rounds: int, batches: int) -> list[tuple[float, float]]:
    """Records a second of ours and of the bare loop, by round, after one that warms up."""
    found = []
    async with Tasks("bench", Metrics()) as tasks:
        bus = open_bus(url, tasks=tasks, metrics=Metrics())
        await bus.declare([Topic(TOPIC, PARTITIONS, replication=1), Topic(BARE, PARTITIONS, replication=1)])
        hearing = Hearing()
        async with bus.subscribe("bench", [TOPIC], hearing) as member, joined(url.removeprefix("kafka://")) as plain:
            while not hearing.owned:
                await member.poll(0.1)
            for number in range(rounds + 1):
                made = [records((number * batches + n) * BATCH, BATCH) for n in range(batches)]
                took = await ours(bus, member, made), await bare(*plain, made)
                if number:
                    found.append((batches * BATCH / took[0], batches * BATCH / took[1]))
        await bus.close()
    return found


def report(rounds: int = 5, batches: int = 40) -> list[Floor]:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        try:
            broker = ApacheKafka(Path(folder), programs())
        except LookupError as error:
            print(f"\nOver librdkafka's mock cluster: {error}.")
            return _told("librdkafka's mock cluster", *_mock(rounds, batches))
        broker.start()
        try:
            return _told("Apache Kafka", uvloop.run(measure(broker.url, rounds, batches)), batches)
        finally:
            broker.kill()


def _mock(rounds: int, batches: int) -> tuple[list[tuple[float, float]], int]:
    cluster = MockCluster()
    for topic in (TOPIC, BARE):
        cluster.make(topic, PARTITIONS)
    try:
        return uvloop.run(measure(cluster.url, rounds, batches)), batches
    finally:
        cluster.stop()


def _told(broker: str, found: Sequence[tuple[float, float]], batches: int) -> list[Floor]:
    ratios = [mine / theirs for mine, theirs in found]
    print(f"\nBus over {broker}, {len(found)} rounds of {batches * BATCH} records of 300 bytes, {BATCH} at a time:\n")
    for name, values in (
        ("append, poll, commit", [one for one, _ in found]),
        ("bare aiokafka loop", [one for _, one in found]),
    ):
        print(f"{statistics.median(values):10.0f} records/s ({min(values):.0f} – {max(values):.0f})  {name}")
    print(f"\nOurs / bare, round by round: {min(ratios):.2f} – {max(ratios):.2f}")
    return [Floor(f"bus over {broker} / bare aiokafka loop", statistics.median(ratios), 0.6, at_least=True)]


def main() -> None:
    """Measures this alone."""
    for floor in report():
        print(floor.line())


if __name__ == "__main__":
    main()
