"""A member of a consumer group at work: what it reads, and when it hands partitions over.

The listener is called from inside `poll` only, and at the end of the block: so whoever polls never holds records of a
partition that went to another between two of its own lines. A task beside it renews the lease and learns of changes; it
falls silent when nobody has polled for the length of a lease, and then others take over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from acme.drivers.log import reading, store
from acme.drivers.log.link import Link
from acme.drivers.log.listening import Listening
from acme.drivers.log.membership import Membership, Standing
from acme.drivers.log.reading import AHEAD, Reader
from acme.errors import Unavailable
from acme.ports import Fenced, Listener, Received, TopicPartition
from acme.telemetry import Counter, logger

log: Final = logger(__name__)

BEATS: Final = 0.3
"""Time between two heartbeats, as a share of the lease."""
LOOK: Final = 5.0
"""Seconds after which the database is asked, although nothing was heard."""
LOOK_UNHEARD: Final = 0.5
"""The same while nothing can be heard."""


class Member:
    """`ports.Subscription`."""

    def __init__(
        self,
        link: Link,
        listening: Listening,
        membership: Membership,
        listener: Listener,
        drain: float,
        rebalances: Counter,
    ) -> None:
        self._link, self._listening, self._membership, self._listener = link, listening, membership, listener
        self._drain, self._rebalances, self._beat = drain, rebalances, membership.lease * BEATS
        self._readers: dict[TopicPartition, Reader] = {}
        self._released: set[int] = set()
        """Partitions that were drained, and of which the database does not know it yet."""
        self._member = False
        self._stale = True
        """Something changed in the group, or may have."""
        self._news = asyncio.Event()
        self._nudged = asyncio.Event()
        self._polling = False
        self._polled = self._lease_end = self._asked = time.monotonic()
        self._wait: float | None = None
        self._turn = 0

    async def poll(self, timeout: float, *, limit: int = 500) -> Sequence[Received]:
        """See `ports.Subscription`."""
        self._polling = True
        try:
            return await self._poll(time.monotonic() + timeout, limit)
        finally:
            self._polling = False
            self._polled = time.monotonic()

    def pause(self, place: TopicPartition) -> None:
        if (reader := self._readers.get(place)) is not None:
            reader.paused = True

    def resume(self, place: TopicPartition) -> None:
        if (reader := self._readers.get(place)) is not None:
            reader.paused = False
            self._news.set()

    def seek(self, place: TopicPartition, offset: int) -> None:
        if (reader := self._readers.get(place)) is not None:
            reader.seek(offset)
            self._news.set()

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `ports.Subscription`."""
        if not offsets:
            return
        try:
            given = {self._readers[place].id: offset for place, offset in offsets.items()}
        except KeyError as error:
            raise Fenced(f"{error.args[0]} is not ours") from None
        if not await self._link.run(lambda connection: self._membership.commit(connection, given)):
            self._change()
            raise Fenced("a partition went to another member")

    # The ear of `Listening`.

    def records_came(self, partitions: frozenset[int] | None) -> None:
        for reader in self._readers.values():
            if partitions is None or reader.id in partitions:
                reader.behind = True
                self._news.set()

    def group_changed(self, group: int | None) -> None:
        if group is None or group == self._membership.group:
            self._nudged.set()

    # The life of a member.

    async def enter(self) -> None:
        """Joins the group. The partitions come with `poll`."""
        began = time.monotonic()
        await self._link.run(self._membership.enter)
        self._member, self._lease_end = True, began + self._membership.lease

    async def keep(self) -> None:
        """Renews the lease for ever; `poll` does the rest when something changed."""
        while True:
            wait = self._beat if self._wait is None else min(self._beat, max(self._wait, 0.1))
            try:
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()
            if not self._member or not (self._polling or time.monotonic() < self._polled + self._membership.lease):
                continue
            if self._wait is not None:
                self._change()  # somebody's time to give up may be over: only a look tells
            began = time.monotonic()
            try:
                told = await self._link.run(self._membership.beat, limit=self._beat)
            except Unavailable:
                continue
            if told != "gone":
                self._lease_end = began + self._membership.lease
            if told != "same":
                self._change()

    async def end(self) -> None:
        """Hands over everything, and leaves."""
        try:
            await self._revoke(list(self._readers.values()))
        finally:
            if self._member:
                self._member = False
                try:
                    await self._link.run(self._membership.leave)
                except Unavailable as error:
                    log.warning("a consumer group was not told that a member left", error=error.message)

    def _change(self) -> None:
        self._stale = True
        self._news.set()

    async def _poll(self, until: float, limit: int) -> Sequence[Received]:
        while True:
            self._news.clear()
            if not self._member or time.monotonic() > self._lease_end:
                await self._begin_anew()
            if self._stale:
                await self._look()
            if found := self._take(limit):
                return found
            now = time.monotonic()
            if now > self._asked + (LOOK if self._listening.stands else LOOK_UNHEARD):
                self._asked = now  # where all is paused, nobody asks: or this would be true for ever
                self.records_came(None)
            if await self._fetch(limit):
                continue
            if now >= until:
                return ()
            await self._hear(until)

    def _take(self, limit: int) -> list[Received]:
        return reading.take(self._in_turn(), limit)

    async def _fetch(self, limit: int) -> bool:
        hungry = [reader for reader in self._in_turn() if reader.hungry]
        if not hungry:
            return False
        for reader in hungry:
            reader.behind = False
        self._asked = time.monotonic()
        self._turn += 1
        records = 2 * limit  # so that what comes in portions of `limit` is seen to be all there is
        try:
            batches = await self._link.run(
                lambda connection: store.fetch(
                    connection, [one.id for one in hungry], [one.next for one in hungry], records, AHEAD
                )
            )
        except BaseException:
            for reader in hungry:
                reader.behind = True
            raise
        cut = sum(one.length for one in batches) >= records or sum(len(one.content) for one in batches) >= AHEAD
        reading.feed(hungry, batches, cut=cut)
        return bool(batches)

    def _in_turn(self) -> list[Reader]:
        readers = list(self._readers.values())
        first = self._turn % len(readers) if readers else 0
        return readers[first:] + readers[:first]

    async def _hear(self, until: float) -> None:
        """Waits until there may be something to do."""
        look = self._asked + (LOOK if self._listening.stands else LOOK_UNHEARD)
        try:
            async with asyncio.timeout(max(min(until, look, self._lease_end) - time.monotonic(), 0.001)):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _begin_anew(self) -> None:
        """Our lease is over, or we never had one: what we had is gone, and we come back as another."""
        self._member = False
        self._released.clear()
        await self._lose(list(self._readers.values()))
        await self.enter()
        self._stale = True

    async def _look(self) -> None:
        """Brings what we read in line with what is ours."""
        while True:
            self._stale = False
            try:
                began = time.monotonic()
                standing = await self._link.run(lambda connection: self._membership.look(connection, self._released))
            except BaseException:
                self._stale = True
                raise
            if standing is None:
                await self._begin_anew()
                continue
            self._lease_end = began + self._membership.lease
            self._released.clear()
            self._wait = standing.wait
            if not await self._follow(standing):
                return

    async def _follow(self, standing: Standing) -> bool:
        """Tells the listener. True: we released something, and the database has to learn it."""
        ours = {reader.id: reader for reader in self._readers.values()}
        await self._lose([reader for number, reader in ours.items() if number not in standing.owned])
        leaving = [ours[number] for number, owned in standing.owned.items() if owned.yielding and number in ours]
        await self._revoke(leaving)
        # One that is to go on before it came was taken and never told of: given back without a word.
        self._released.update(number for number, owned in standing.owned.items() if owned.yielding)
        new = [owned for number, owned in standing.owned.items() if number not in ours and not owned.yielding]
        if new:
            for owned in new:
                self._readers[owned.place] = Reader(owned.id, owned.place, owned.position)
            self._rebalances.add()
            await self._listener.assigned({owned.place: owned.position for owned in new})
        return bool(self._released)

    async def _revoke(self, readers: Collection[Reader]) -> None:
        """Lets the listener end its work, for as long as it may."""
        if not readers:
            return
        places = [reader.place for reader in readers]
        try:
            async with asyncio.timeout(self._drain):
                await self._listener.revoked(places)
        except TimeoutError:
            log.warning("a consumer did not end its work in time", partitions=len(places), seconds=self._drain)
            await self._lose(readers)
        for place in places:
            self._readers.pop(place, None)

    async def _lose(self, readers: Collection[Reader]) -> None:
        if not readers:
            return
        for reader in readers:
            self._readers.pop(reader.place, None)
        await self._listener.lost([reader.place for reader in readers])
