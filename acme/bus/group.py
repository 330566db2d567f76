"""A consumer as a member of its group on the bus: polls for all of its partitions, and commits what its workers have done.

    bus ── poll ──▶ queue of a partition ──▶ PartitionWorker ──▶ handler
     ◀── commit ──── positions ◀─────────────────┘

One task polls, and goes on polling however long the handlers take: that keeps the membership alive. A queue that is full
pauses its partition. On a revocation the workers finish what is under way, what they have done is committed, and then the
partitions may go; whoever does not finish in time is cancelled, and its unit of work rolled back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Final

from acme.bus.consumer import Handling
from acme.bus.measures import Measures
from acme.bus.partition import PartitionWorker, pause
from acme.errors import Unavailable
from acme.ports import Bus, Clock, Fenced, Subscription, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

POLL: Final = 0.25
"""Seconds a poll waits for records, and so the most until a queue that has room again is filled."""
RECORDS: Final = 500
"""Records of one poll at most; and in a queue, before its partition is paused."""
BYTES: Final = 8 << 20
"""Bytes in a queue, before its partition is paused."""
COMMIT: Final = 1.0
"""Seconds between two commits, unless a worker waits for one."""
DRAIN: Final = 10.0
"""Seconds that a revocation may take."""
_SHARE: Final = 0.8
"""Of these, what the workers may take: the commit comes after."""


class Member:
    """One consumer in this process (`ports.Listener`)."""

    def __init__(
        self,
        handling: Handling,
        bus: Bus,
        clock: Clock,
        tasks: Tasks,
        measures: Measures,
        *,
        member: str = "",
        drain: float = DRAIN,
    ) -> None:
        self.workers: Final[dict[TopicPartition, PartitionWorker]] = {}
        self._handling, self._bus, self._clock, self._tasks, self._measures = handling, bus, clock, tasks, measures
        self._name, self._member, self._drain = handling.name, member, drain
        self._running: dict[TopicPartition, asyncio.Task[None]] = {}
        self._paused: set[TopicPartition] = set()
        self._subscription: Subscription | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._committed_at = 0.0

    def start(self) -> None:
        """Joins, and stays a member until `stop`; whatever fails is tried again."""
        self._tasks.loop(f"{self._name}.member", self._join, pause=0.05)

    async def stop(self) -> None:
        """Finishes what is under way, commits, and leaves the group. A bus that does not answer is not waited for."""
        self._stopping.set()
        try:
            async with asyncio.timeout(self._drain * 2):
                await self._ended.wait()
        except TimeoutError:
            log.warning("the group was not left in time", consumer=self._name)

    async def _join(self) -> None:
        if self._stopping.is_set():
            self._ended.set()
            await asyncio.Event().wait()  # for the end of the tasks
        topics, consumer = self._handling.reader.topics, self._handling.consumer
        joining = self._bus.subscribe(
            self._name, topics, self, member=self._member, start=consumer.start, drain=self._drain
        )
        try:
            async with joining as self._subscription:
                await self._poll_on(self._subscription)
        except Unavailable as error:
            log.warning("the bus is away", consumer=self._name, error=str(error))
            await self._wait(pause(4))
        finally:
            self._subscription = None
            await self.lost(tuple(self.workers))

    async def _poll_on(self, subscription: Subscription) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                records = await subscription.poll(POLL, limit=RECORDS)
            except Unavailable as error:
                failures += 1
                if failures == 1:
                    log.warning("the bus is away", consumer=self._name, error=str(error))
                await self._wait(min(pause(failures), 5.0))
                continue
            failures = 0
            for record in records:
                if (worker := self.workers.get(record.place)) is not None:
                    worker.put(record)
            for topic in {record.topic for record in records}:
                self._measures.consumed(self._name, topic, sum(record.topic == topic for record in records))
            self._regulate(subscription)
            if self._due():
                await self._commit(subscription, self.workers)

    def _regulate(self, subscription: Subscription) -> None:
        """Pauses partitions whose queues are full, and resumes those that have room."""
        for place, worker in self.workers.items():
            if place in self._paused:
                if worker.waiting <= RECORDS // 2 and worker.waiting_bytes <= BYTES // 2:
                    self._paused.discard(place)
                    subscription.resume(place)
            elif worker.waiting >= RECORDS or worker.waiting_bytes >= BYTES:
                self._paused.add(place)
                subscription.pause(place)

    def _due(self) -> bool:
        if any(worker.waits_for_commit for worker in self.workers.values()):
            return True
        return time.monotonic() - self._committed_at >= COMMIT

    async def _commit(self, subscription: Subscription, places: Collection[TopicPartition]) -> None:
        """Commits what the workers of these partitions have done. A commit that fails is made up for by the next."""
        self._committed_at = started = time.monotonic()
        wanted = {
            place: worker.position
            for place in places
            if (worker := self.workers.get(place)) is not None and worker.position > worker.committed
        }
        if not wanted:
            return
        error = ""
        try:
            await subscription.commit(wanted)
            for place, offset in wanted.items():
                if (worker := self.workers.get(place)) is not None:
                    worker.settled(offset)
        except Fenced:
            error = "Fenced"
            await self._one_by_one(subscription, wanted)
        except Unavailable as failure:
            error = type(failure).__name__
        self._measures.committed(self._name, error, time.monotonic() - started)

    async def _one_by_one(self, subscription: Subscription, wanted: Mapping[TopicPartition, int]) -> None:
        """Finds out which partitions are no longer ours, and gives those up."""
        for place, offset in wanted.items():
            try:
                await subscription.commit({place: offset})
            except Fenced:
                log.warning("a partition is another's already", consumer=self._name, **place._asdict())
                await self.lost([place])
            except Unavailable:
                return
            else:
                if (worker := self.workers.get(place)) is not None:
                    worker.settled(offset)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    # What the subscription calls.

    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        """These are ours now."""
        await self.lost([place for place in positions if place in self.workers])
        for place, position in positions.items():
            worker = PartitionWorker(place, position, self._handling, self._clock)
            self.workers[place] = worker
            self._running[place] = self._tasks.spawn(f"{self._name}.partition", self._work(worker))

    async def _work(self, worker: PartitionWorker) -> None:
        """Lets a worker run to its end. One that fails would leave its partition standing still: it begins again."""
        failures = 0
        while await self._tasks.outcome(f"{self._name}.partition", worker.run()) is not None:
            failures += 1
            await asyncio.sleep(min(pause(failures), 5.0))

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        """These go to another: ends in order what is under way."""
        ours = [place for place in places if place in self.workers]
        for place in ours:
            self.workers[place].close()
        if running := [self._running[place] for place in ours]:
            await asyncio.wait(running, timeout=self._drain * _SHARE)
        if self._subscription is not None:
            await self._commit(self._subscription, ours)
        await self.lost(ours)

    async def lost(self, places: Collection[TopicPartition]) -> None:
        """These are another's: drops what is under way."""
        running = []
        for place in places:
            self._paused.discard(place)
            self.workers.pop(place, None)
            if (task := self._running.pop(place, None)) is not None:
                task.cancel()
                running.append(task)
        if running:
            await asyncio.wait(running)
