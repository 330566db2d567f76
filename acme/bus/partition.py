"""One ordered worker a partition: takes records from a bounded queue, and lets the consumer hear them one after the other.

What fails is tried again in place, after a growing pause, so that nothing overtakes it. When an event or its handler is to
blame as often as the consumer allows, its key is parked, and the worker goes on with the others. What is nobody's fault
(the database is away, two transactions met) is tried until it succeeds.

A process that handles events may be ended by one of them. Its successor cannot ask it; it finds the mark in `acme.handling`
that the dead one left, and counts in `acme.attempts` what it begins, event by event, until it is past everything that the
dead one can have begun: at most `WINDOW` offsets after the last commit, for no worker goes further without one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from acme.bus import inbox
from acme.bus.consumer import Failure, Handling, Heard
from acme.bus.decoding import Mail
from acme.errors import Unavailable
from acme.ports import Clock, Received, SerializationFailure, TopicPartition

T = TypeVar("T")

WINDOW: Final = 2000
"""Offsets that a worker may be beyond what is committed."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
"""Seconds before the second attempt, and before any at most."""
LOST: Final = "ProcessLost"
"""In place of an error's class: each time the process did not live to tell."""
_MANNERS: Final = 2.0
"""Seconds to take the mark away in the end."""


class Closing(Exception):
    """The worker is to stop: what is under way was given up, and nothing of it done."""


class PartitionWorker:
    """Handles one partition for one consumer, from when it is ours until it is not."""

    def __init__(self, place: TopicPartition, position: int, handling: Handling, clock: Clock) -> None:
        self.place: Final = place
        self.position = position
        """Offset of what comes next; all before is accounted for."""
        self.committed = position
        """What the group has committed, as far as we know."""
        self.waits_for_commit = False
        self.moved_at = time.monotonic()
        """When it last went on, or had nothing to do."""
        self._handling, self._clock = handling, clock
        self._consumer = handling.consumer
        self._holder = secrets.token_hex(8)
        self._queue: deque[Received] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._suspects_until = 0

    @property
    def careful(self) -> bool:
        """Whether a process before it was lost, and events are begun one by one: any of them may have ended it."""
        return self.position < self._suspects_until

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their values."""
        return self._bytes

    @property
    def oldest(self) -> float | None:
        """When the record that comes next was sent, in seconds since the Unix epoch; None while none has come."""
        return self._queue[0].timestamp / 1000 if self._queue else None

    def put(self, record: Received) -> None:
        """Adds a record, the next of the partition."""
        self._queue.append(record)
        self._bytes += len(record.value or b"")
        self._wake.set()

    def settled(self, offset: int) -> None:
        """The group has committed so far."""
        self.committed = max(self.committed, offset)
        self.waits_for_commit = False
        self._wake.set()

    def close(self) -> None:
        """Stop after what is under way; a pause is not waited for."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Handles what comes, until `close`."""
        place, name, database = self.place, self._handling.name, self._handling.units.database
        try:
            if await self._patiently(lambda: inbox.suspect(database, name, *place, self._holder)):
                self._suspects_until = self.position + WINDOW
            while True:
                await self._turn()
        except Closing:
            await self._leave_clean()

    async def _turn(self) -> None:
        """Handles the next events: as many as go into one unit of work."""
        while not self._queue:
            await self._woken()
        batch: list[Mail] = []
        most = 1 if self.careful else self._consumer.batch
        end = self.position
        for record in self._queue:
            if record.offset >= self.committed + WINDOW:
                break
            mail = self._handling.reader.wanted(record)
            if mail is not None:
                batch.append(mail)
            end = record.offset + 1
            if len(batch) >= most:
                break
        if end == self.position:
            self._moved(self._queue[0].offset)  # nothing is in a gap
            await self._commit_first()
            return
        await self._hear_all(batch)
        self._moved(end)

    async def _hear_all(self, batch: Sequence[Mail]) -> None:
        """Returns when each is accounted for."""
        together: list[Heard] = []
        for mail in batch:
            heard = self._handling.read(mail)
            if isinstance(heard, Heard):
                together.append(heard)
            elif heard is not None:
                await self._hear_together(together)
                together = []
                await self._park(mail, heard, 1)
                self._moved(mail.record.offset + 1)
        await self._hear_together(together)

    async def _hear_together(self, batch: Sequence[Heard]) -> None:
        if len(batch) > 1:
            tries = 0
            while (failure := await self._handling.hear(batch)) is not None and not failure.counts:
                tries += 1
                await self._pause(tries)
            if failure is None:
                return
        for heard in batch:
            await self._hear(heard)
            self._moved(heard.mail.record.offset + 1)

    async def _hear(self, heard: Heard) -> None:
        """One event: until it had its effect, or is set aside."""
        attempts = tries = 0
        suspected = heard.mail.record.offset < self._suspects_until
        while True:
            if suspected and (lives := await self._begin(heard.mail)) > self._consumer.attempts:
                await self._park(heard.mail, Failure(LOST, "", True), lives - 1)
                return
            failure = await self._handling.hear([heard], suspected=suspected)
            if failure is None:
                return
            if failure.counts:
                attempts += 1
                tries = 0
                if attempts >= self._consumer.attempts:
                    await self._park(heard.mail, failure, attempts)
                    return
            else:
                tries += 1
            await self._pause(attempts + tries)

    async def _begin(self, mail: Mail) -> int:
        database, name = self._handling.units.database, self._handling.name
        return await self._patiently(
            lambda: inbox.begin(database, name, mail.event_id, self._holder, self._clock.now())
        )

    async def _park(self, mail: Mail, failure: Failure, attempts: int) -> None:
        tries = 0
        while await self._handling.park(mail, failure, attempts) is not None:
            tries += 1
            await self._pause(tries)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """A statement of our own, until the database answers."""
        tries = 0
        while True:
            try:
                return await ask()
            except (Unavailable, SerializationFailure):
                tries += 1
                await self._pause(tries)

    async def _pause(self, number: int) -> None:
        """Raises `Closing` instead of waiting to the end, when that comes first."""
        until = time.monotonic() + pause(number)
        while (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._woken()
            except TimeoutError:
                break

    async def _woken(self) -> None:
        """Waits until there may be something new.

        Raises:
            Closing: that is the end.
        """
        if not self._closing:
            self._wake.clear()
            await self._wake.wait()
        if self._closing:
            raise Closing

    async def _commit_first(self) -> None:
        self.waits_for_commit = self.position > self.committed
        while self.waits_for_commit:
            await self._woken()

    def _moved(self, position: int) -> None:
        """All before `position` is accounted for. Between two units of work the worker may stop."""
        while self._queue and self._queue[0].offset < position:
            self._bytes -= len(self._queue.popleft().value or b"")
        self.position = max(self.position, position)
        self.waits_for_commit = self.position - self.committed >= WINDOW // 2
        self.moved_at = time.monotonic()
        if self._closing:
            raise Closing

    async def _leave_clean(self) -> None:
        try:
            async with asyncio.timeout(_MANNERS):
                await inbox.clean(self._handling.units.database, self._handling.name, *self.place, self._holder)
        except (Unavailable, SerializationFailure, TimeoutError):
            pass  # the next one is more careful than it need be


def pause(number: int) -> float:
    """Seconds after the failure of this number: doubled each time, with jitter of up to a half."""
    return min(FIRST_PAUSE * 2.0 ** min(number - 1, 16), LONGEST_PAUSE) * random.uniform(0.5, 1.0)
