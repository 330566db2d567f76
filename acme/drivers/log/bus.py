"""`ports.Bus` over PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal

from acme.drivers.log import batches, group_store, retention, store
from acme.drivers.log.batches import PORTION, Batch
from acme.drivers.log.link import Link
from acme.drivers.log.listening import Listening
from acme.drivers.log.membership import Membership
from acme.drivers.log.store import Layout
from acme.drivers.log.subscription import Member
from acme.drivers.partitions import partition
from acme.errors import Conflict
from acme.ports import (
    Clock,
    Connection,
    Ends,
    Listener,
    Received,
    Record,
    Subscription,
    Topic,
    TopicPartition,
    UnknownTopic,
)
from acme.tasks import Tasks
from acme.telemetry import Metrics

READ: Final = 8 << 20
"""Bytes that `read` brings at most, a single batch that is larger aside."""


class Log:
    """The embedded log."""

    def __init__(self, link: Link, *, lease: float, clock: Clock, tasks: Tasks, metrics: Metrics) -> None:
        self._link, self._lease, self._clock, self._tasks = link, lease, clock, tasks
        self._listening = Listening(link, tasks)
        self._swept = False
        self._layouts: dict[str, Layout] = {}
        self._sources: dict[str, int] = {}
        self._duplicates = metrics.counter(
            "acme_bus_duplicates_total", "Records that were in the log already, and not appended again."
        ).bind()
        self._rebalances = metrics.counter(
            "acme_bus_assignments_total", "Times that a member of a consumer group was given partitions.", ("group",)
        )

    @property
    def system(self) -> str:
        """See `ports.Bus`."""
        return "acme_log"

    async def declare(self, topics: Sequence[Topic]) -> None:
        """See `ports.Bus`."""

        async def work(connection: Connection) -> list[str]:
            await connection.begin()
            wrong = []
            for topic in sorted(topics, key=lambda one: one.name):
                there = await store.declare(connection, topic)
                if there != topic.partitions:
                    wrong.append(
                        f"topic {topic.name} has {there} partitions, not {topic.partitions}: set its partitions to {there},"
                        " or give the topic another name"
                    )
            await (connection.rollback() if wrong else connection.commit())
            return wrong

        if wrong := await self._link.run(work):
            raise ValueError("\n".join(wrong))

    async def append(self, source: str, records: Sequence[Record]) -> None:
        """See `ports.Bus`. Records with the same id are one: the first."""
        if not records:
            return
        self._sweep()
        layouts = await self._topics({record.topic for record in records})
        number = self._sources.get(source)
        if number is None:
            number = self._sources[source] = await self._link.run(lambda one: store.source(one, source))
        await self._append(number, records, layouts)

    async def _append(self, source: int, records: Sequence[Record], layouts: Mapping[str, Layout]) -> None:
        first: dict[str, Record] = {}
        for record in records:
            first.setdefault(record.id, record)
        ids, now = sorted(first), self._clock.now()
        packed = _packed(first.values(), layouts)
        if len(records) > 1 and sum(len(batch.content) for _, batch in packed) > PORTION:
            half = len(records) // 2
            await self._append(source, records[:half], layouts)
            await self._append(source, records[half:], layouts)
            return

        async def again(connection: Connection) -> int:
            await connection.begin()
            fresh = await store.claim(connection, source, ids, now)
            left = _packed((record for record in first.values() if record.id in fresh), layouts)
            await store.append(connection, source, (), now, left)
            await connection.commit()
            return len(fresh)

        if await self._link.run(lambda connection: store.append(connection, source, ids, now, packed)):
            self._duplicates.add(len(records) - len(first))
        else:
            self._duplicates.add(len(records) - await self._link.run(again))

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
        """See `ports.Bus`."""
        return self._subscribed(group, topics, listener, member, start, drain)

    @asynccontextmanager
    async def _subscribed(
        self,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        name: str,
        start: Literal["earliest", "latest"],
        drain: float,
    ) -> AsyncIterator[Subscription]:
        self._sweep()
        await self._topics(topics)
        number = await self._link.run(lambda connection: group_store.group(connection, group))
        membership = Membership(self._clock, number, topics, name, start, drain, self._lease)
        member = Member(self._link, self._listening, membership, listener, drain, self._rebalances.bind(group))
        self._listening.add(member)
        try:
            await member.enter()
            keeper = self._tasks.spawn(f"bus.member.{group}", member.keep())
            try:
                yield member
            finally:
                try:
                    await member.end()
                finally:
                    keeper.cancel()
        finally:
            self._listening.remove(member)

    async def read(self, place: TopicPartition, offset: int, *, limit: int = 500) -> Sequence[Received]:
        """See `ports.Bus`."""
        number = (await self._partitions([place]))[place]
        found = await self._link.run(lambda connection: store.fetch(connection, [number], [offset], limit, READ))
        return [record for batch in found for record in batches.unpack(*place, batch, offset)][:limit]

    async def ends(self, topic: str) -> Mapping[int, Ends]:
        """See `ports.Bus`."""
        layout = (await self._topics([topic]))[topic]
        return await self._link.run(lambda connection: store.ends(connection, layout.id))

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """See `ports.Bus`."""
        return await self._link.run(lambda connection: group_store.committed(connection, group))

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See `ports.Bus`."""
        ids = await self._partitions(offsets)

        async def work(connection: Connection) -> bool:
            number = await group_store.group(connection, group)
            await connection.begin()
            await group_store.lock(connection, number)
            if await group_store.alive(connection, number, self._clock.now()):
                await connection.rollback()
                return False
            await group_store.reset(connection, number, {ids[place]: offset for place, offset in offsets.items()})
            await connection.commit()
            return True

        if not await self._link.run(work):
            raise Conflict(f"Stop the members of the group {group} first.", reason="group_has_members")

    @property
    def state(self) -> str:
        """See `ports.Bus`."""
        return self._link.state

    async def close(self) -> None:
        """Ends all connections."""
        if self._swept:
            self._sweeping.cancel()
        self._listening.close()
        await self._link.close()

    def _sweep(self) -> None:
        """Whoever writes or reads for long also drops what is old."""
        if not self._swept:
            self._swept = True
            self._sweeping = self._tasks.loop(
                "bus.retention", lambda: retention.tend(self._link, self._clock), pause=retention.EVERY
            )

    async def _topics(self, names: Iterable[str]) -> Mapping[str, Layout]:
        """What these topics look like.

        Raises:
            UnknownTopic: there is none of that name.
        """
        if missing := [name for name in names if name not in self._layouts]:
            found = await self._link.run(lambda connection: store.topics(connection, missing))
            self._layouts.update(found)
            for name in missing:
                if name not in found:
                    raise UnknownTopic(name)
        return self._layouts

    async def _partitions(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The ids of partitions.

        Raises:
            UnknownTopic: there is none of that name.
            ValueError: the topic has fewer partitions.
        """
        layouts = await self._topics({place.topic for place in places})
        found = {}
        for place in places:
            ids = layouts[place.topic].partitions
            if not 0 <= place.partition < len(ids):
                raise ValueError(f"topic {place.topic} has partitions 0 to {len(ids) - 1}, not {place.partition}")
            found[place] = ids[place.partition]
        return found


def _packed(records: Iterable[Record], layouts: Mapping[str, Layout]) -> list[tuple[int, Batch]]:
    """The batches to append, by partition id: in this order everybody takes the rows of partitions, so nobody waits in a
    circle."""
    by_topic: dict[str, list[list[Record]]] = {}
    topic, count, parts = "", 0, list[list[Record]]()
    for record in records:  # 500 turns for most appends, so the topic is looked up where it changes
        if record.topic != topic:
            topic, count = record.topic, len(layouts[record.topic].partitions)
            parts = by_topic.setdefault(topic, [[] for _ in range(count)])
        parts[partition(record.key, count)].append(record)
    by_partition = sorted(
        (number, part)
        for topic, parts in by_topic.items()
        for number, part in zip(layouts[topic].partitions, parts, strict=True)
        if part
    )
    return [(number, batch) for number, part in by_partition for batch in batches.pack(part)]
