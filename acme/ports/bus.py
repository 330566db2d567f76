"""The event bus, in Kafka's terms: topics of partitions, each a log of records with offsets, read by consumer groups.

A record's key decides its partition (murmur2, as Kafka's own producer), so records with equal keys keep their order. What a
group has read is a committed offset for each partition: the offset of the next record. Delivery is at least once; whoever
must not see an event twice remembers its id (`acme/bus/consumer.py` does so for plugins).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Topic:
    """How a topic is to be."""

    name: str
    partitions: int = 12
    """Never changed while there are records: keys would move."""
    retention: float = 7 * 86_400.0
    """Seconds that records are kept at least; 0 for ever."""
    compact: bool = False
    """Whether older records of a key may be dropped for newer ones, in place of the oldest of all."""
    replication: int = 3
    """Copies, where there are several brokers."""


class TopicPartition(NamedTuple):
    """One log."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is appended."""

    topic: str
    key: bytes
    value: bytes | None
    """None is a tombstone: nothing of that key counts any more."""
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    """Milliseconds since the Unix epoch."""
    id: str
    """Of the event: unique within its source."""


@dataclass(frozen=True, slots=True)
class Received:
    """A record as it is read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    """Milliseconds since the Unix epoch."""

    @property
    def place(self) -> TopicPartition:
        """The log it is in."""
        return TopicPartition(self.topic, self.partition)


class Ends(NamedTuple):
    """Which offsets of a partition there are: from `start` to before `end`."""

    start: int
    end: int


class Fenced(Exception):
    """A member of a group tried to commit for a partition that is no longer its own. Nothing was committed."""


class UnknownTopic(Exception):
    """There is no such topic; `args[0]` is its name."""


class Listener(Protocol):
    """Hears which partitions a member of a group reads. Called by the subscription, one call at a time."""

    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        """These are ours now, with the offset that comes next."""
        ...

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        """These go to another member once this returns: end what is under way and commit it. It may take the time that was
        given to `subscribe` as `drain`; then another member may have them all the same."""
        ...

    async def lost(self, places: Collection[TopicPartition]) -> None:
        """These are another's already: drop what is under way, and commit nothing."""
        ...


class Subscription(Protocol):
    """One member of a consumer group. Used by one task."""

    async def poll(self, timeout: float, *, limit: int = 500) -> Sequence[Received]:
        """The next records of our partitions that are not paused: up to `limit`, in order within each partition; nothing
        after `timeout` seconds. Keeps the membership alive: call it at least every ten seconds, paused or not.

        Raises:
            acme.errors.Unavailable: the bus is away; call again.
        """
        ...

    def pause(self, place: TopicPartition) -> None:
        """Leaves a partition out of `poll` until `resume`."""
        ...

    def resume(self, place: TopicPartition) -> None: ...

    def seek(self, place: TopicPartition, offset: int) -> None:
        """What `poll` returns next of this partition."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remembers for the group which offset comes next. Never moves it backwards within an assignment.

        Raises:
            Fenced: one of the partitions is no longer ours.
            acme.errors.Unavailable: the bus is away; whether it was done is not known.
        """
        ...


class Bus(Protocol):
    """The event bus. All drivers pass `tests/contract/bus`.

    Raises, all of it:
        acme.errors.Unavailable: the bus cannot be reached, or does not answer in time.
        UnknownTopic: a topic that was not declared.
    """

    @property
    def system(self) -> str:
        """What it is, in OpenTelemetry's words (`messaging.system`): "kafka", or "acme_log" for the log in PostgreSQL."""
        ...

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Creates the topics that are missing, and compares the others.

        Raises:
            ValueError: a topic has another number of partitions; one line for each, with what to do.
        """
        ...

    async def append(self, source: str, records: Sequence[Record]) -> None:
        """Appends the records durably; those with equal keys in the order given. When it raises, some may have been.

        `source` names who made the ids. Appending a record again whose (source, id) is in the log has no effect where the
        driver can tell (the log in PostgreSQL, for seven days); elsewhere there are two of it. Either way a later record
        of the same key is never in front of an earlier one for the first time.
        """
        ...

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
        """Joins a consumer group inside the block; at the end everything is revoked, and the group told.

        `member`: a name that outlives restarts, so that a process that comes back finds its partitions; "" for a new one.
        `start`: where the group begins in a partition that it never committed. `drain`: seconds that `revoked` may take.
        """
        ...

    async def read(self, place: TopicPartition, offset: int, *, limit: int = 500) -> Sequence[Received]:
        """Up to `limit` records from this offset on, without a group; from the first one that is left, where retention has
        dropped it. Empty at the end."""
        ...

    async def ends(self, topic: str) -> Mapping[int, Ends]:
        """Which offsets there are, by partition."""
        ...

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """What a group has committed; empty for one that nobody knows."""
        ...

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Sets what a group has committed.

        Raises:
            acme.errors.Conflict: the group has members: stop them first.
        """
        ...

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong, for people. Nothing in it is secret."""
        ...

    async def close(self) -> None: ...
