"""Appending to Kafka: idempotent, acknowledged by all replicas in sync, in order.

Records go in batches, one for each partition: a batch of ours is one of Kafka's, with one number of its producer. Where a
partition gets more than fits into one batch, the next is sent when the one before is acknowledged, so that nothing
overtakes what failed.

A producer that failed is thrown away with all that it still holds, and the next append gets a new one. After
OutOfOrderSequence it could not go on at all (aiokafka's issue 1017), and after a time-out it would deliver for as long as it
lives what its caller has long repeated. What was in flight with it fails, too: its callers repeat.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from acme.drivers.kafka import seams
from acme.drivers.kafka.cluster import Cluster, Health
from acme.ports import Record, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics

BATCH: Final = 512 * 1024
"""Bytes of a batch. A larger record is a batch by itself: topics take those of 2 MiB (`topics.py`)."""


class Producer:
    """One producer of aiokafka at a time, made when it is needed."""

    def __init__(self, cluster: Cluster, health: Health, tasks: Tasks, metrics: Metrics) -> None:
        self._cluster, self._health, self._tasks = cluster, health, tasks
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._discarded = metrics.counter(
            "acme_kafka_producers_discarded_total", "Producers that were thrown away after an error."
        ).bind()

    async def append(self, records: Sequence[tuple[TopicPartition, Record]]) -> None:
        """Returns when all are acknowledged.

        Raises:
            Unavailable: some may be, or may become so.
            ValueError: a record is larger than the brokers take; others may have been appended.
        """
        waiting: dict[TopicPartition, deque[Record]] = defaultdict(deque)
        for place, record in records:
            waiting[place].append(record)
        async with self._health.asking("appending", self._cluster.timeout):
            producer = await self._started()
            try:
                while waiting:
                    await _round(producer, waiting)
            except BaseException:
                self._discard(producer)
                raise

    async def close(self) -> None:
        """Nothing is left in it: each append waits for its own."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await seams.abort(producer)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _started(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._cluster.client(),
                    enable_idempotence=True,
                    acks="all",
                    max_batch_size=BATCH,
                    request_timeout_ms=self._cluster.milliseconds,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:  # else another append has done so
            self._producer = None
            self._discarded.add()
            task = self._tasks.spawn("kafka.producer.end", seams.abort(producer))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _round(producer: AIOKafkaProducer, waiting: dict[TopicPartition, deque[Record]]) -> None:
    """Sends one batch to each partition, takes from `waiting` what was in them, and waits for all of them."""
    sent: list[asyncio.Future[Any]] = []
    try:
        for place in list(waiting):
            batch, records = producer.create_batch(), waiting[place]
            while records and _added(batch, records[0]):
                records.popleft()
            batch.close()
            sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
            if not records:
                del waiting[place]
        await asyncio.wait(sent)
        for future in sent:
            future.result()
    except MessageSizeTooLargeError as error:
        raise ValueError("a record is larger than the brokers of the event bus take") from error
    finally:
        for future in sent:  # a failure that nobody asks for would be logged
            if not future.cancel() and not future.cancelled():
                future.exception()


def _added(batch: Any, record: Record) -> bool:
    """Whether there was room. The first record always has it."""
    headers = list(record.headers)
    added = batch.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=headers)
    return added is not None
