"""All SQL of consumers, over any `Statements`: inbox, parked keys, dead letters. Times are the caller's, from its Clock.

The tables are in `acme/migrations/0004_consumers.sql`, schema `acme` of every service's own database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from acme.ports import Received, Row, Statements

# In the order of the batch: two owners of a partition, one of which does not know yet that it is none, lock rows in the same
# order, and the second one waits for what becomes of the first.
_CLAIM: Final = """
WITH added AS (
    INSERT INTO acme.inbox (consumer, event_id, heard_at)
    SELECT $1, event_id, $5 FROM unnest($2::text[]) WITH ORDINALITY AS heard (event_id, number) ORDER BY number
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT ARRAY(SELECT event_id FROM added) AS fresh,
    EXISTS (
        SELECT FROM acme.parked_keys AS parked JOIN unnest($3::text[], $4::bytea[]) AS heard (topic, key)
            ON parked.topic = heard.topic AND parked.key = heard.key
        WHERE parked.consumer = $1
    ) AS parked
"""
_HOLD: Final = """
SELECT parked.topic, parked.key FROM acme.parked_keys AS parked
WHERE parked.consumer = $1 AND (parked.topic, parked.key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
ORDER BY parked.topic, parked.key
FOR KEY SHARE
"""

_PARK: Final = """
INSERT INTO acme.parked_keys (consumer, topic, key, parked_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer, topic, key) DO UPDATE SET parked_at = parked_keys.parked_at
"""
_BURY: Final = """
INSERT INTO acme.dead_letters (consumer, event_id, topic, partition, "offset", parked_key, key, value, header_names,
    header_values, sent_ms, type, error, fingerprint, attempts, parked_at, failed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
"""

_SUSPECT: Final = """
WITH former AS (SELECT holder FROM acme.handling WHERE consumer = $1 AND topic = $2 AND partition = $3),
mine AS (
    INSERT INTO acme.handling (consumer, topic, partition, holder) VALUES ($1, $2, $3, $4)
    ON CONFLICT (consumer, topic, partition) DO UPDATE SET holder = excluded.holder
)
SELECT EXISTS (SELECT FROM former)
"""
_CLEAN: Final = """
WITH gone AS (
    DELETE FROM acme.handling WHERE consumer = $1 AND topic = $2 AND partition = $3 AND holder = $4 RETURNING holder
)
DELETE FROM acme.attempts WHERE consumer = $1 AND holder IN (SELECT holder FROM gone)
"""
_BEGIN: Final = """
INSERT INTO acme.attempts AS former (consumer, event_id, holder, lives, begun_at)
SELECT $1, $2, $3, 1, $4 WHERE NOT EXISTS (SELECT FROM acme.inbox WHERE consumer = $1 AND event_id = $2)
ON CONFLICT (consumer, event_id) DO UPDATE
    SET lives = former.lives + (former.holder <> excluded.holder)::int, holder = excluded.holder, begun_at = $4
RETURNING lives
"""
_SURVIVED: Final = "DELETE FROM acme.attempts WHERE consumer = $1 AND event_id = $2"

_PRUNE_INBOX: Final = """
DELETE FROM acme.inbox WHERE ctid = ANY (ARRAY(
    SELECT heard.ctid FROM acme.inbox AS heard WHERE consumer = $1 AND heard_at <= $2
        AND NOT EXISTS (SELECT FROM acme.dead_letters AS letter
            WHERE letter.consumer = heard.consumer AND letter.event_id = heard.event_id)
    ORDER BY heard_at LIMIT $3 FOR UPDATE SKIP LOCKED))
"""
_PRUNE_ATTEMPTS: Final = "DELETE FROM acme.attempts WHERE consumer = $1 AND begun_at <= $2"

_FORGET: Final = """
DELETE FROM acme.inbox AS heard WHERE consumer = $1 AND NOT EXISTS (SELECT FROM acme.dead_letters AS letter
    WHERE letter.consumer = heard.consumer AND letter.event_id = heard.event_id)
"""

_DEPTH: Final = "SELECT count(*) FROM acme.dead_letters WHERE consumer = $1"


class Letter(NamedTuple):
    """A record on its way to the dead letters."""

    event_id: str
    record: Received
    type: str
    parks: bool
    """Whether its key can hold back what follows."""
    error: str
    fingerprint: str
    attempts: int


class Claimed(NamedTuple):
    """What of a batch is not accounted for yet."""

    fresh: frozenset[str]
    parked: bool
    """Whether the key of one of them may be parked."""


async def claim(
    unit: Statements, consumer: str, ids: Sequence[str], keys: Sequence[tuple[str, bytes]], now: datetime
) -> Claimed:
    """Accounts for events in the unit of work, those that are not yet. Waits for another unit that does the same."""
    topics, bare = [topic for topic, _ in keys], [key for _, key in keys]
    row = await unit.fetchrow(_CLAIM, consumer, ids, topics, bare, now)
    if row is None:
        raise RuntimeError("a query that always has one row had none")
    return Claimed(frozenset(row["fresh"]), row["parked"])


async def hold(unit: Statements, consumer: str, keys: Collection[tuple[str, bytes]]) -> frozenset[tuple[str, bytes]]:
    """Those of the keys that are parked; until the unit ends they stay so."""
    ordered = sorted(keys)
    rows = await unit.fetch(_HOLD, consumer, [topic for topic, _ in ordered], [key for _, key in ordered])
    return frozenset((topic, key) for topic, key in rows)


async def park(unit: Statements, consumer: str, topic: str, key: bytes, now: datetime) -> None:
    """Sets a key aside, unless it is."""
    await unit.execute(_PARK, consumer, topic, key, now)


async def bury(unit: Statements, consumer: str, letter: Letter, now: datetime) -> None:
    """Keeps a record as a dead letter; its key is parked already, where it parks."""
    record = letter.record
    await unit.execute(
        _BURY,
        consumer,
        letter.event_id,
        record.topic,
        record.partition,
        record.offset,
        record.key if letter.parks else None,
        record.key,
        record.value,
        [name.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, _ in record.headers],
        [value for _, value in record.headers],
        record.timestamp,
        letter.type,
        letter.error,
        letter.fingerprint,
        letter.attempts,
        now,
        now if letter.error else None,
    )


def received(row: Row) -> Received:
    """The record that a dead letter holds."""
    return Received(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        key=row["key"],
        value=row["value"],
        headers=tuple(zip(row["header_names"], row["header_values"], strict=True)),
        timestamp=row["sent_ms"],
    )


async def suspect(statements: Statements, consumer: str, topic: str, partition: int, holder: str) -> bool:
    """Notes who handles a partition. True: whoever did before was lost."""
    return await statements.fetchval(_SUSPECT, consumer, topic, partition, holder) is True


async def clean(statements: Statements, consumer: str, topic: str, partition: int, holder: str) -> None:
    """Notes that a holder has stopped in order."""
    await statements.execute(_CLEAN, consumer, topic, partition, holder)


async def begin(statements: Statements, consumer: str, event_id: str, holder: str, now: datetime) -> int:
    """Counts that a holder begins an event; how many have, 0 when it is accounted for already."""
    return int(await statements.fetchval(_BEGIN, consumer, event_id, holder, now) or 0)


async def survived(unit: Statements, consumer: str, event_id: str) -> None:
    """Forgets that count."""
    await unit.execute(_SURVIVED, consumer, event_id)


async def prune(statements: Statements, consumer: str, until: datetime, limit: int) -> int:
    """Forgets up to `limit` events that were heard at `until` or before, and older counts; says how many events."""
    await statements.execute(_PRUNE_ATTEMPTS, consumer, until)
    return int((await statements.execute(_PRUNE_INBOX, consumer, until, limit)).rpartition(" ")[2])


async def depth(statements: Statements, consumer: str) -> int:
    """How many dead letters there are."""
    return int(await statements.fetchval(_DEPTH, consumer))


async def forget(unit: Statements, consumer: str) -> int:
    """Forgets all that was heard, but dead letters: what the bus delivers again is handled again. Says how many events."""
    return int((await unit.execute(_FORGET, consumer)).rpartition(" ")[2])
