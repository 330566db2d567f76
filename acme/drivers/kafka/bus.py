"""The event bus on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, Literal

from acme.drivers import partitions
from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.groups import Groups
from acme.drivers.kafka.producer import Producer
from acme.drivers.kafka.reader import Reader
from acme.drivers.kafka.subscription import KafkaSubscription
from acme.drivers.kafka.topics import Topics
from acme.errors import Unavailable
from acme.ports import Ends, Listener, Received, Record, Subscription, Topic, TopicPartition, UnknownTopic
from acme.tasks import Tasks
from acme.telemetry import Metrics

LOOK_EVERY: Final = 5.0
"""Seconds between two looks whether the cluster answers."""


class KafkaBus:
    """`Bus` on a Kafka cluster. It shows what it promises in `__init__.py`."""

    def __init__(self, cluster: Cluster, tasks: Tasks, metrics: Metrics, *, session: float) -> None:
        self._cluster, self._session = cluster, session
        self._health = Health()
        self._admin = Admin(cluster, self._health)
        self._topics = Topics(self._admin)
        self._groups = Groups(cluster, self._health, self._admin)
        self._reader = Reader(cluster, self._health)
        self._producer = Producer(cluster, self._health, tasks, metrics)
        self._tasks = tasks
        self._looking: asyncio.Task[None] | None = None

    @property
    def system(self) -> str:
        return "kafka"

    async def declare(self, topics: Sequence[Topic]) -> None:
        self._look_out()
        await self._topics.declare(topics)

    async def append(self, source: str, records: Sequence[Record]) -> None:
        """As the port says. Kafka cannot tell what it has of a source: an append that is repeated is there twice."""
        self._look_out()
        counts = {topic: await self._topics.partitions(topic) for topic in {record.topic for record in records}}
        await self._producer.append(
            [(TopicPartition(each.topic, partitions.partition(each.key, counts[each.topic])), each) for each in records]
        )

    def subscribe(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        *,
        member: str = "",
        start: Literal["earliest", "latest"] = "earliest",
        drain: float = 10.0,
    ) -> AbstractAsyncContextManager[Subscription]:
        return self._subscribed(group, topics, listener, member, start, drain)

    @asynccontextmanager
    async def _subscribed(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        member: str,
        start: Literal["earliest", "latest"],
        drain: float,
    ) -> AsyncIterator[Subscription]:
        self._look_out()
        for topic in topics:
            await self._topics.partitions(topic)
        subscription = KafkaSubscription(
            self._cluster,
            self._health,
            group,
            topics,
            listener,
            member=member,
            start=start,
            drain=drain,
            session=self._session,
        )
        await subscription.open()
        try:
            yield subscription
        finally:
            await subscription.close()

    async def read(self, place: TopicPartition, offset: int, *, limit: int = 500) -> Sequence[Received]:
        if not 0 <= place.partition < await self._topics.partitions(place.topic):
            raise UnknownTopic(place.topic)
        return await self._reader.read(place, offset, limit)

    async def ends(self, topic: str) -> Mapping[int, Ends]:
        return await self._reader.ends(topic, await self._topics.partitions(topic))

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        return await self._groups.committed(group, await self._topics.look())

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        for topic in {place.topic for place in offsets}:
            await self._topics.partitions(topic)
        await self._groups.reset(group, offsets)

    @property
    def state(self) -> str:
        return self._health.state

    async def close(self) -> None:
        """Members of groups are left first, by the blocks that joined them."""
        if self._looking is not None:
            self._looking.cancel()
        await self._producer.close()
        await self._reader.close()
        await self._admin.close()

    def _look_out(self) -> None:
        """From the first use on, the state of the bus is that of the cluster, also when nobody uses it."""
        if self._looking is None:
            self._looking = self._tasks.loop("kafka.look", self._look, pause=LOOK_EVERY)

    async def _look(self) -> None:
        with suppress(Unavailable):  # it has been noted
            await self._topics.look()
