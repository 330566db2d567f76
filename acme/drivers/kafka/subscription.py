"""A member of a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition as Place

from acme.drivers.kafka import seams
from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.turns import Loss, Turns
from acme.ports import Fenced, Listener, Received, TopicPartition
from acme.telemetry import logger

log: Final = logger(__name__)

FETCH_WAIT: Final = 0.2
"""Seconds that a broker may hold a request for records when it has none: a partition that is resumed waits as long."""
PAUSE: Final = 0.1
"""Seconds after an error of aiokafka's."""
BEAT: Final = 0.1
"""Sessions between two heartbeats, whose answers tell of rebalances."""
IDLE: Final = 3.0
"""Sessions without a `poll`, and the time to drain, after which a member leaves its group: its process lives, and its user
does not."""


class KafkaSubscription:
    """`Subscription` over one consumer of aiokafka at a time; one that cannot go on is replaced."""

    def __init__(
        self,
        cluster: Cluster,
        health: Health,
        group: str,
        topics: Sequence[str],
        listener: Listener,
        *,
        member: str,
        start: Literal["earliest", "latest"],
        drain: float,
        session: float,
    ) -> None:
        self._cluster, self._health, self._listener = cluster, health, listener
        self._group, self._topics, self._member = group, tuple(topics), member
        self._start, self._drain, self._session = start, drain, session
        self._consumer: AIOKafkaConsumer | None = None
        self._closed = False
        self._turns: Turns
        self._committed: dict[TopicPartition, int] = {}
        """What the group has committed, or where it began, of each partition that is ours."""
        self._paused: set[TopicPartition] = set()
        self._waiting: asyncio.Timeout | None = None

    async def open(self) -> None:
        """Asks to join; what is ours is heard in `poll`."""
        await self._join()

    async def poll(self, timeout: float, *, limit: int = 500) -> Sequence[Received]:
        """As the port says. Trouble with the brokers that aiokafka keeps to itself is raised when nothing was read."""
        loop = asyncio.get_running_loop()
        until, trouble = loop.time() + timeout, None
        while True:
            consumer = await self._working()
            await self._see_to_turns(consumer)
            try:
                found = await self._fetched(consumer, max(until - loop.time(), 0.0), limit)
            except KafkaError as error:  # aiokafka tries again by itself, most often with success
                trouble = self._health.failed("reading", error)
                await asyncio.sleep(min(PAUSE, max(until - loop.time(), 0.0)))
                found = {}
            if found:
                self._health.well()
                return [received(record) for records in found.values() for record in records]
            if loop.time() >= until:
                if trouble is not None or self._health.state != "ok":
                    raise self._health.unavailable()
                return ()

    def pause(self, place: TopicPartition) -> None:
        """As the port says. Of a partition that is not ours any more it says nothing: that is heard in `poll`."""
        if place in self._committed and self._consumer is not None:
            self._paused.add(place)
            self._consumer.pause(Place(*place))

    def resume(self, place: TopicPartition) -> None:
        if place in self._committed and self._consumer is not None:
            self._paused.discard(place)
            if self._turns.gained is None:  # else it may have been gained again, and its user not know it yet
                self._consumer.resume(Place(*place))

    def seek(self, place: TopicPartition, offset: int) -> None:
        """As the port says; of a partition that is not ours as `pause`."""
        if place in self._committed and self._consumer is not None and self._turns.gained is None:
            self._consumer.seek(Place(*place), offset)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As the port says. Kafka compares generations: whoever was replaced is refused whole."""
        consumer = self._consumer
        if consumer is None or seams.shut_out(consumer):
            raise Fenced(*offsets)
        foreign = [place for place in offsets if place not in self._committed]
        if foreign:
            raise Fenced(*foreign)
        further = {place: offset for place, offset in offsets.items() if offset > self._committed[place]}
        if not further:
            return
        async with self._health.asking("committing", self._cluster.timeout):
            try:
                await consumer.commit({Place(*place): offset for place, offset in further.items()})
            except (CommitFailedError, IllegalStateError) as error:
                raise Fenced(*further) from error
        self._committed.update(further)

    async def close(self) -> None:
        """Gives up what is ours, and leaves the group; a member with a name keeps its place until its session is over."""
        self._closed = True
        consumer = self._consumer
        if consumer is None:
            return
        try:
            await self._give_up(Loss.LOST if seams.shut_out(consumer) else Loss.REVOKED)
        finally:
            self._turns.give_up()
            self._consumer = None
            await self._stop(consumer)

    async def _join(self) -> AIOKafkaConsumer:
        rebalance = self._drain + self._session
        consumer = AIOKafkaConsumer(
            **self._cluster.client(),
            group_id=self._group,
            group_instance_id=self._member or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # also for offsets that retention has dropped: never skip what is left
            session_timeout_ms=int(self._session * 1000),
            heartbeat_interval_ms=int(self._session * BEAT * 1000),
            rebalance_timeout_ms=int(rebalance * 1000),
            max_poll_interval_ms=int((self._drain + self._session * IDLE) * 1000),
            # The answer to a request to join comes when the slowest of the others has given up its partitions.
            request_timeout_ms=int((rebalance + self._cluster.timeout) * 1000),
            fetch_max_wait_ms=int(FETCH_WAIT * 1000),
        )
        try:
            async with self._health.asking("joining a group", self._cluster.timeout):
                await consumer.start()
        except BaseException:
            await self._stop(consumer)
            raise
        self._turns = Turns(consumer, self._wake)
        consumer.subscribe(self._topics, listener=self._turns)
        self._consumer = consumer
        return consumer

    async def _working(self) -> AIOKafkaConsumer:
        """The consumer; another one in place of one whose own tasks have ended."""
        if self._closed:
            raise RuntimeError("the group has been left")
        consumer = self._consumer
        if consumer is not None and seams.stuck(consumer):
            log.warning("a member of a group cannot go on, and is replaced", group=self._group)
            self._consumer = None
            await self._stop(consumer)
            await self._give_up(Loss.LOST)
            consumer = None
        return consumer or await self._join()

    async def _stop(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(self._cluster.timeout):
                await consumer.stop()
        except (KafkaError, TimeoutError):  # the group will miss us when the session is over
            await seams.abandon(consumer)
        except asyncio.CancelledError:
            await seams.abandon(consumer)
            raise

    def _wake(self) -> None:
        """Ends the waiting of `poll`."""
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def _fetched(self, consumer: AIOKafkaConsumer, timeout: float, limit: int) -> Mapping[Any, Sequence[Any]]:
        try:
            # While partitions are given out anew, getmany waits for that, whatever it was told.
            async with asyncio.timeout(timeout + 0.01) as self._waiting:
                found: Mapping[Any, Sequence[Any]] = await consumer.getmany(
                    timeout_ms=int(timeout * 1000), max_records=limit
                )
                return found
        except TimeoutError:
            seams.poll_ended(consumer)
            return {}
        except (KafkaError, asyncio.CancelledError):
            seams.poll_ended(consumer)
            raise
        finally:
            self._waiting = None

    async def _see_to_turns(self, consumer: AIOKafkaConsumer) -> None:
        turns = self._turns
        while turns.loss is not None or turns.gained is not None:
            if turns.loss is not None:  # and what was to be given up may have been taken since
                await self._give_up(Loss.LOST if seams.shut_out(consumer) else turns.loss)
            elif (gained := turns.gained) is not None:
                positions = await self._positions(consumer, gained)
                if turns.gained is not gained or positions is None:
                    continue  # the group has gone on meanwhile
                turns.gained, turns.held = None, True
                self._committed, self._paused = dict(positions), set()
                self._health.well()
                await self._listener.assigned(positions)
                if turns.gained is None and turns.loss is None:
                    consumer.resume(*(Place(*place) for place in positions if place not in self._paused))

    async def _give_up(self, loss: Loss) -> None:
        """Tells the user that its partitions go, all of them: aiokafka rebalances eagerly."""
        places = list(self._committed)
        if places and loss is Loss.REVOKED:
            try:
                async with asyncio.timeout(self._drain):
                    await self._listener.revoked(places)
            except TimeoutError:
                log.warning("a consumer did not end its work in time", partitions=len(places), seconds=self._drain)
                loss = Loss.LOST
        self._committed, self._paused = {}, set()
        if places and loss is Loss.LOST:
            await self._listener.lost(places)
        self._turns.give_up()

    async def _positions(
        self, consumer: AIOKafkaConsumer, places: frozenset[Any]
    ) -> Mapping[TopicPartition, int] | None:
        """Where each begins; None when they are not ours any more."""
        async with self._health.asking("reading positions", self._cluster.timeout):
            try:
                if self._start == "latest":
                    new = [place for place in places if await consumer.committed(place) is None]
                    for place, end in (await consumer.end_offsets(new)).items():
                        consumer.seek(place, end)
                return {TopicPartition(*place): await consumer.position(place) for place in places}
            except IllegalStateError:
                return None


def received(record: Any) -> Received:
    """A record of aiokafka's as one of ours."""
    return Received(
        record.topic, record.partition, record.offset, record.key, record.value, record.headers, record.timestamp
    )
