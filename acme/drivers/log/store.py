"""The statements about topics and records. Those about groups are in group_store.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from acme.drivers.log.batches import Batch, Stored
from acme.ports import Ends, Statements, Topic

_APPEND: Final = "SELECT append($1, $2, $3, $4::int[], $5::int[], $6::bytea[])"
_FETCH: Final = (
    "SELECT partition_id, end_offset, length, content FROM next_batches($1::int[], $2::bigint[], $3::int, $4::bigint)"
)
_DROP: Final = """
WITH oldest AS (
    SELECT end_offset, appended_at FROM batches WHERE partition_id = $1 ORDER BY end_offset LIMIT $3
), dropped AS (
    DELETE FROM batches WHERE partition_id = $1 AND end_offset IN (
        SELECT end_offset FROM oldest
        WHERE end_offset < coalesce((SELECT min(end_offset) FROM oldest WHERE appended_at >= $2), 9223372036854775807)
    )
    RETURNING end_offset
)
UPDATE partitions SET start_offset = (SELECT max(end_offset) FROM dropped)
WHERE id = $1 AND EXISTS (SELECT FROM dropped)
RETURNING (SELECT count(*) FROM dropped)
"""


class Layout(NamedTuple):
    """A topic as it is in the database. Neither number ever changes, so they are remembered."""

    id: int
    partitions: tuple[int, ...]
    """Ids of the partitions, by number."""


async def topics(database: Statements, names: Sequence[str]) -> dict[str, Layout]:
    """Those of the topics that there are."""
    rows = await database.fetch(
        "SELECT t.name, t.id, array_agg(p.id ORDER BY p.number) FROM topics t JOIN partitions p ON p.topic_id = t.id"
        " WHERE t.name = ANY ($1::text[]) GROUP BY t.id",
        names,
    )
    return {name: Layout(number, tuple(partitions)) for name, number, partitions in rows}


async def declare(database: Statements, topic: Topic) -> int:
    """Creates a topic unless it is there, and says how many partitions it has. To be called in a transaction."""
    number = await database.fetchval(
        "INSERT INTO topics (name, partitions, retention, compact) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (name) DO NOTHING RETURNING id",
        topic.name,
        topic.partitions,
        topic.retention,
        topic.compact,
    )
    if number is None:
        there: int = await database.fetchval(
            "UPDATE topics SET retention = $2, compact = $3 WHERE name = $1 RETURNING partitions",
            topic.name,
            topic.retention,
            topic.compact,
        )
        return there
    await database.execute(
        "INSERT INTO partitions (topic_id, number) SELECT $1, generate_series(0, $2::int - 1)", number, topic.partitions
    )
    return topic.partitions


async def source(database: Statements, name: str) -> int:
    """The number of a source."""
    await database.execute("INSERT INTO sources (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", name)
    number: int = await database.fetchval("SELECT id FROM sources WHERE name = $1", name)
    return number


async def append(
    database: Statements, source: int, ids: Sequence[str], now: datetime, batches: Sequence[tuple[int, Batch]]
) -> bool:
    """Appends batches to partitions, which are in the order of their ids. False: some of the `ids`, which are sorted, are
    there already, and nothing was done. They go as one text: asyncpg writes an array of 500 texts in 0.3 ms.

    Raises:
        ValueError: an id that is empty, or has a line break.
    """
    text = "\n".join(ids)
    if text.count("\n") != max(len(ids) - 1, 0) or "" in ids:
        raise ValueError("the id of a record is a text without line breaks")
    done: bool = await database.fetchval(
        _APPEND,
        source,
        text,
        now,
        [place for place, _ in batches],
        [batch.length for _, batch in batches],
        [batch.content for _, batch in batches],
    )
    return done


async def claim(database: Statements, source: int, ids: Sequence[str], now: datetime) -> set[str]:
    """Notes the ids, which are sorted, and returns those that were not there."""
    rows = await database.fetch(
        "INSERT INTO appended SELECT $1, given, $3 FROM unnest($2::text[]) AS given ON CONFLICT DO NOTHING RETURNING id",
        source,
        ids,
        now,
    )
    return {row[0] for row in rows}


async def fetch(
    database: Statements, places: Sequence[int], positions: Sequence[int], records: int, size: int
) -> list[Stored]:
    """The next batches of partitions from these offsets on, until there are so many records or bytes: at least one, if
    there is one, and in the order of the places given, so that the first ones get theirs first."""
    return [Stored(*row) for row in await database.fetch(_FETCH, places, positions, records, size)]


async def ends(database: Statements, topic: int) -> dict[int, Ends]:
    """First and next offset of each partition."""
    rows = await database.fetch(
        "SELECT number, start_offset, next_offset FROM partitions WHERE topic_id = $1 ORDER BY number", topic
    )
    return {number: Ends(start, end) for number, start, end in rows}


async def limited(database: Statements) -> list[tuple[int, float]]:
    """Id and retention in seconds of all partitions whose records do not stay for ever."""
    rows = await database.fetch(
        "SELECT p.id, t.retention FROM topics t JOIN partitions p ON p.topic_id = t.id"
        " WHERE t.retention > 0 AND NOT t.compact AND p.next_offset > p.start_offset ORDER BY p.id"
    )
    return [(number, retention) for number, retention in rows]


async def drop(database: Statements, partition: int, before: datetime, most: int) -> int:
    """Drops the oldest batches that were appended before a moment, up to `most`, and says how many."""
    return await database.fetchval(_DROP, partition, before, most) or 0


async def forget(database: Statements, before: datetime, most: int) -> int:
    """Forgets ids that were appended before a moment, up to `most`, and says how many."""
    sql = "DELETE FROM appended WHERE ctid = ANY (ARRAY(SELECT ctid FROM appended WHERE at < $1 LIMIT $2))"
    return int((await database.execute(sql, before, most)).rpartition(" ")[2])
