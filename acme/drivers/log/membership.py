"""One member of a consumer group, as the database knows it: leases, and who owns which partition.

Nobody leads a group. Each member, when something changed, holds the group's row for the length of a short transaction, puts
out whose lease is over, works out who is to read what (assignment.py: the same for everybody), and takes what is to be its
own and is free. A partition passes from hand to hand in this order, whatever fails in between:

    target changes → the owner sees it, drains, commits, releases → the target takes it
                   ↘ its drain time is over, or its lease → the target takes it, and the former owner's commits are refused

An owner is a *life*: a token made anew whenever a member enters, so a process that wakes up late is never taken for the one
that has its name now. Leases compare the clocks of the machines: one that is ahead by s seconds shortens the others' leases
by s. That costs a rebalance too many, and never a commit of the wrong one.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from acme.drivers.log import group_store
from acme.drivers.log.assignment import assign
from acme.drivers.log.group_store import Beat, MemberRow, PositionRow
from acme.drivers.log.schema import CHANNEL
from acme.ports import Clock, Connection, TopicPartition

LEASE: Final = 10.0
"""Seconds that a member is one without a heartbeat."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A partition that is ours."""

    id: int
    place: TopicPartition
    position: int
    """Offset that comes next."""
    yielding: bool
    """It is to be another's: drain and release it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member has, by partition id, after a look at the group."""

    owned: dict[int, Owned]
    wait: float | None
    """Seconds after which another look is due, because somebody has to give up by then what is to be ours."""


class Membership:
    """The statements of one member. Each method is called with a connection of its own, outside of a transaction."""

    def __init__(
        self,
        clock: Clock,
        group: int,
        topics: Sequence[str],
        name: str,
        start: Literal["earliest", "latest"],
        drain: float,
        lease: float,
    ) -> None:
        self.group: Final = group
        self.lease: Final = lease
        self._clock, self._topics, self._start, self._drain = clock, sorted(topics), start, drain
        self._static = name != ""
        self._name = name
        self._life = ""
        self._generation = -1

    @property
    def life(self) -> str:
        """The token of the life that we have, "" before `enter`."""
        return self._life

    async def enter(self, database: Connection) -> Standing:
        """Joins, with a new life."""
        life = secrets.token_hex(12)
        name = self._name if self._static else life
        now = self._clock.now()
        await database.begin()
        generation = await group_store.lock(database, self.group)
        await group_store.reap(database, self.group, now)
        me = MemberRow(name, life, self._topics, self._drain)
        await group_store.enter(database, self.group, me, now + timedelta(seconds=self.lease))
        await group_store.cover(database, self.group, self._topics)
        standing = await self._settle(database, generation, me, (), now, changed=True)
        self._life = life
        return standing

    async def look(self, database: Connection, released: Collection[int]) -> Standing | None:
        """Gives up the partitions `released`, renews the lease, and takes what is ours. None: we were put out."""
        now = self._clock.now()
        await database.begin()
        generation = await group_store.lock(database, self.group)
        if not await self._renew(database, now):
            await database.rollback()
            return None
        await group_store.reap(database, self.group, now)
        me = MemberRow(self._name if self._static else self._life, self._life, self._topics, self._drain)
        return await self._settle(database, generation, me, released, now, changed=False)

    async def beat(self, database: Connection) -> Literal["same", "changed", "gone"]:
        """Renews the lease, and says whether a `look` is due."""
        told = await self._renew(database, self._clock.now())
        if told is None:
            return "gone"
        return "changed" if told.overdue or told.generation != self._generation else "same"

    async def leave(self, database: Connection) -> None:
        """Gives up everything. A member whose name outlives restarts is awaited back for the length of a lease."""
        await database.begin()
        await group_store.lock(database, self.group)
        until = self._clock.now() + timedelta(seconds=self.lease) if self._static else None
        await group_store.leave(database, self.group, self._life, until)
        rows = await group_store.positions(database, self.group)
        mine = [row._replace(owner=None, yield_by=None) for row in rows if row.owner == self._life]
        await group_store.settle(database, self.group, mine)
        await group_store.changed(database, self.group, CHANNEL)
        await database.commit()

    async def commit(self, database: Connection, offsets: dict[int, int]) -> bool:
        """Commits, by partition id. False: one of them is not ours, and nothing was done."""
        return await group_store.commit(database, self.group, self._life, offsets)

    async def _renew(self, database: Connection, now: datetime) -> Beat | None:
        return await group_store.beat(database, self.group, self._life, now + timedelta(seconds=self.lease), now)

    async def _settle(
        self,
        database: Connection,
        generation: int,
        me: MemberRow,
        released: Collection[int],
        now: datetime,
        *,
        changed: bool,
    ) -> Standing:
        members = await group_store.members(database, self.group)
        before = await group_store.positions(database, self.group)
        after = settled(before, members, me, frozenset(released), self._start, now)
        if different := [new for old, new in zip(before, after, strict=True) if old != new]:
            await group_store.settle(database, self.group, different)
        if different or changed:
            await group_store.changed(database, self.group, CHANNEL)
            generation += 1
        await database.commit()
        self._generation = generation
        return _standing(after, me, self._start, now)


def settled(
    rows: Sequence[PositionRow],
    members: Sequence[MemberRow],
    me: MemberRow,
    released: Collection[int],
    start: Literal["earliest", "latest"],
    now: datetime,
) -> list[PositionRow]:
    """The positions after `me` has looked at them: new targets, what is released given up, what is free taken."""
    targets = assign(
        {member.name: member.topics for member in members},
        {row.partition_id: row.topic for row in rows},
        {row.partition_id: row.target for row in rows},
    )
    lives = {member.life: member for member in members if member.life is not None}
    found = []
    for row in rows:
        target = targets[row.partition_id]
        owner = lives.get(row.owner) if row.owner is not None else None
        if owner is not None and owner.life == me.life and row.partition_id in released:
            owner = None
        yield_by = None
        if owner is not None and owner.name != target:
            yield_by = row.yield_by or now + timedelta(seconds=owner.drain)
        began = row.began
        if target == me.name and (owner is None or (yield_by is not None and yield_by <= now)):
            owner, yield_by = me, None
            if row.committed is None and began is None:
                began = _first(row, start)
        found.append(
            row._replace(owner=owner.life if owner is not None else None, target=target, yield_by=yield_by, began=began)
        )
    return found


def _first(row: PositionRow, start: Literal["earliest", "latest"]) -> int:
    return row.start_offset if start == "earliest" else row.next_offset


def _standing(
    rows: Sequence[PositionRow], me: MemberRow, start: Literal["earliest", "latest"], now: datetime
) -> Standing:
    owned: dict[int, Owned] = {}
    waits = []
    for row in rows:
        if row.owner == me.life:
            position = row.committed if row.committed is not None else row.began
            if position is None or position > row.next_offset:  # more than there is: the database is an older copy
                position = _first(row, start)
            place = TopicPartition(row.topic, row.number)
            position = max(position, row.start_offset)
            owned[row.partition_id] = Owned(row.partition_id, place, position, row.target != me.name)
        elif row.target == me.name and row.yield_by is not None:
            waits.append((row.yield_by - now).total_seconds())
    return Standing(owned, max(min(waits), 0.0) if waits else None)
