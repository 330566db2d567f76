"""Reading without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as Place

from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.subscription import FETCH_WAIT, received
from acme.ports import Ends, Received, TopicPartition


class Reader:
    """One consumer without a group, used by one question at a time; another one after each failure."""

    def __init__(self, cluster: Cluster, health: Health) -> None:
        self._cluster, self._health = cluster, health
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def read(self, place: TopicPartition, offset: int, limit: int) -> Sequence[Received]:
        """As `Bus.read`; the partition is known to be there."""
        at = Place(*place)
        async with self._asking("reading") as consumer:
            start, end = (await _ends(consumer, [at]))[at]
            offset = max(offset, start)
            if consumer.assignment() != {at}:
                consumer.assign([at])
                consumer.seek(at, offset)
            elif await consumer.position(at) != offset:  # else it goes on, and may have the next ones already
                consumer.seek(at, offset)
            # Where the marks of transactions are all that comes, `getmany` has nothing to give: the position moves alone.
            wait = min(self._cluster.milliseconds, int(FETCH_WAIT * 2000))
            found: list[Received] = []
            while len(found) < limit and await consumer.position(at) < end:  # offsets may have gaps: see compaction
                more = await consumer.getmany(at, timeout_ms=wait, max_records=limit - len(found))
                found += [received(record) for record in more.get(at, ())]
            return found

    async def ends(self, topic: str, partitions: int) -> Mapping[int, Ends]:
        """As `Bus.ends`."""
        places = [Place(topic, number) for number in range(partitions)]
        async with self._asking("reading ends") as consumer:
            return {place.partition: ends for place, ends in (await _ends(consumer, places)).items()}

    async def close(self) -> None:
        """Closes the connections."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[AIOKafkaConsumer]:
        async with self._health.asking(what, self._cluster.timeout), self._lock:
            consumer = self._consumer or AIOKafkaConsumer(
                **self._cluster.client(),
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                request_timeout_ms=self._cluster.milliseconds,
                fetch_max_wait_ms=int(FETCH_WAIT * 1000),
            )
            try:
                if self._consumer is None:
                    await consumer.start()
                    self._consumer = consumer
                yield consumer
            except BaseException:
                self._consumer = None
                await consumer.stop()
                raise


async def _ends(consumer: AIOKafkaConsumer, places: Sequence[Place]) -> Mapping[Place, Ends]:
    starts = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    return {place: Ends(starts[place], ends[place]) for place in places}
