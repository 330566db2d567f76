"""The statements about consumer groups: members, which partitions they own, and what is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from acme.ports import Statements, TopicPartition

_POSITIONS: Final = """
SELECT v.partition_id, t.name, p.number, v.owner, v.target, v.yield_by, v.committed, v.began, p.start_offset, p.next_offset
FROM positions v JOIN partitions p ON p.id = v.partition_id JOIN topics t ON t.id = p.topic_id
WHERE v.group_id = $1 ORDER BY v.partition_id FOR UPDATE OF v
"""


class MemberRow(NamedTuple):
    """A member as it is in the database."""

    name: str
    life: str | None
    topics: Sequence[str]
    drain: float
    """Seconds."""


class PositionRow(NamedTuple):
    """A group's place in a partition."""

    partition_id: int
    topic: str
    number: int
    owner: str | None
    target: str | None
    yield_by: datetime | None
    committed: int | None
    began: int | None
    start_offset: int
    next_offset: int


class Beat(NamedTuple):
    """What a heartbeat tells."""

    generation: int
    overdue: bool
    """Somebody's lease is over."""


async def group(database: Statements, name: str) -> int:
    """The number of a group."""
    await database.execute("INSERT INTO groups (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", name)
    number: int = await database.fetchval("SELECT id FROM groups WHERE name = $1", name)
    return number


async def lock(database: Statements, group: int) -> int:
    """Holds the group until the end of the transaction; its generation."""
    generation: int = await database.fetchval("SELECT generation FROM groups WHERE id = $1 FOR UPDATE", group)
    return generation


async def reap(database: Statements, group: int, now: datetime) -> bool:
    """Puts out who let its lease run out, and says whether there was one."""
    sql = "DELETE FROM members WHERE group_id = $1 AND lease_until < $2"
    return await database.execute(sql, group, now) != "DELETE 0"


async def enter(database: Statements, group: int, member: MemberRow, until: datetime) -> None:
    """Writes a new life of a member, and hands it what its former one owned."""
    await database.execute(
        "WITH former AS (SELECT life FROM members WHERE group_id = $1 AND name = $2)"
        " UPDATE positions SET owner = $3, yield_by = NULL FROM former WHERE group_id = $1 AND owner = former.life",
        group,
        member.name,
        member.life,
    )
    await database.execute(
        "INSERT INTO members (group_id, name, life, topics, drain, lease_until) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (group_id, name) DO UPDATE SET life = excluded.life, topics = excluded.topics,"
        " drain = excluded.drain, lease_until = excluded.lease_until",
        group,
        member.name,
        member.life,
        member.topics,
        member.drain,
        until,
    )


async def cover(database: Statements, group: int, topics: Sequence[str]) -> None:
    """Makes the positions of a group in all partitions of these topics."""
    await database.execute(
        "INSERT INTO positions (group_id, partition_id) SELECT $1, p.id FROM partitions p JOIN topics t ON t.id = p.topic_id"
        " WHERE t.name = ANY ($2::text[]) ORDER BY p.id ON CONFLICT DO NOTHING",
        group,
        topics,
    )


async def beat(database: Statements, group: int, life: str, until: datetime, now: datetime) -> Beat | None:
    """Renews a lease. None: that life was put out."""
    row = await database.fetchrow(
        "UPDATE members SET lease_until = $3 WHERE group_id = $1 AND life = $2"
        " RETURNING (SELECT generation FROM groups WHERE id = $1),"
        " EXISTS (SELECT FROM members AS other WHERE other.group_id = $1 AND other.lease_until < $4)",
        group,
        life,
        until,
        now,
    )
    return None if row is None else Beat(row[0], row[1])


async def leave(database: Statements, group: int, life: str, until: datetime | None) -> None:
    """Ends a life. With `until` its member stays, and is awaited back until then."""
    if until is None:
        await database.execute("DELETE FROM members WHERE group_id = $1 AND life = $2", group, life)
    else:
        await database.execute(
            "UPDATE members SET life = NULL, lease_until = $3 WHERE group_id = $1 AND life = $2", group, life, until
        )


async def alive(database: Statements, group: int, now: datetime) -> bool:
    """Whether a group has a member that lives."""
    sql = "SELECT EXISTS (SELECT FROM members WHERE group_id = $1 AND life IS NOT NULL AND lease_until >= $2)"
    found: bool = await database.fetchval(sql, group, now)
    return found


async def members(database: Statements, group: int) -> list[MemberRow]:
    """All members."""
    sql = "SELECT name, life, topics, drain FROM members WHERE group_id = $1 ORDER BY name"
    return [MemberRow(*row) for row in await database.fetch(sql, group)]


async def positions(database: Statements, group: int) -> list[PositionRow]:
    """All positions, held until the end of the transaction."""
    return [PositionRow(*row) for row in await database.fetch(_POSITIONS, group)]


async def settle(database: Statements, group: int, changed: Sequence[PositionRow]) -> None:
    """Writes who owns what and who is to."""
    await database.execute(
        "UPDATE positions SET owner = given.owner, target = given.target, yield_by = given.yield_by, began = given.began"
        " FROM unnest($2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])"
        " AS given (place, owner, target, yield_by, began) WHERE group_id = $1 AND partition_id = given.place",
        group,
        [row.partition_id for row in changed],
        [row.owner for row in changed],
        [row.target for row in changed],
        [row.yield_by for row in changed],
        [row.began for row in changed],
    )


async def changed(database: Statements, group: int, channel: str) -> None:
    """Counts a change of a group, and tells its members."""
    await database.execute(
        "WITH told AS (SELECT pg_notify($2, 'g' || $1::int))"
        " UPDATE groups SET generation = generation + 1 FROM told WHERE id = $1",
        group,
        channel,
    )


async def commit(database: Statements, group: int, life: str, offsets: Mapping[int, int]) -> bool:
    """Commits for partitions, by id. False: one of them is not that life's, and nothing was done."""
    done: bool = await database.fetchval(
        "SELECT commit_offsets($1, $2, $3::int[], $4::bigint[])", group, life, list(offsets), list(offsets.values())
    )
    return done


async def committed(database: Statements, group: str) -> dict[TopicPartition, int]:
    """What a group has committed."""
    rows = await database.fetch(
        "SELECT t.name, p.number, v.committed FROM groups g JOIN positions v ON v.group_id = g.id"
        " JOIN partitions p ON p.id = v.partition_id JOIN topics t ON t.id = p.topic_id"
        " WHERE g.name = $1 AND v.committed IS NOT NULL ORDER BY t.name, p.number",
        group,
    )
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


async def reset(database: Statements, group: int, offsets: Mapping[int, int]) -> None:
    """Writes what a group has committed, by partition id."""
    await database.execute(
        "INSERT INTO positions (group_id, partition_id, committed) SELECT $1, place, next"
        " FROM unnest($2::int[], $3::bigint[]) AS given (place, next)"
        " ON CONFLICT (group_id, partition_id) DO UPDATE SET committed = excluded.committed",
        group,
        list(offsets),
        list(offsets.values()),
    )
