"""Dead letters: reading them, replaying them, and giving them up. SQL, over any `Statements`; the tables are in
`acme/migrations/0004_consumers.sql`.

A letter that failed holds back those of its key that wait behind it. Whoever removes letters holds the key's row, so that an
event that comes meanwhile either waits behind those that are left, or finds its key free.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from acme.ports import Row, Statements

# The first letter of each key is the one that comes next; of letters without a key, each.
_NEXT: Final = """
WITH chosen AS (
    SELECT parked.topic, parked.key FROM acme.parked_keys AS parked
    WHERE parked.consumer = $1 AND parked.replay_at IS NOT NULL
    ORDER BY parked.replay_at LIMIT 1
    FOR UPDATE SKIP LOCKED
), first AS (
    SELECT letter.id FROM acme.dead_letters AS letter JOIN chosen
        ON letter.consumer = $1 AND letter.topic = chosen.topic AND letter.parked_key = chosen.key
    ORDER BY letter."offset" LIMIT 1
), alone AS (
    SELECT letter.id FROM acme.dead_letters AS letter
    WHERE letter.consumer = $1 AND letter.replay_at IS NOT NULL
    ORDER BY letter.replay_at, letter.id LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE acme.dead_letters SET begun = begun + 1
WHERE id = (SELECT id FROM first UNION ALL SELECT id FROM alone LIMIT 1)
RETURNING id, event_id, topic, partition, "offset", parked_key, key, value, header_names, header_values, sent_ms, type, begun
"""
_LOCK_KEY: Final = """
SELECT true FROM acme.parked_keys WHERE consumer = $1 AND topic = $2 AND key = $3 AND replay_at IS NOT NULL
FOR UPDATE SKIP LOCKED
"""
_IS_FIRST: Final = """
SELECT id = $4 FROM acme.dead_letters WHERE consumer = $1 AND topic = $2 AND parked_key = $3 ORDER BY "offset" LIMIT 1
"""
_LOCK_ALONE: Final = """
SELECT true FROM acme.dead_letters WHERE id = $1 AND replay_at IS NOT NULL FOR UPDATE SKIP LOCKED
"""
_REMOVE: Final = "DELETE FROM acme.dead_letters WHERE id = ANY ($1::bigint[]) RETURNING topic, parked_key"
_UNPARK: Final = """
DELETE FROM acme.parked_keys AS parked
WHERE parked.consumer = $1 AND (parked.topic, parked.key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
    AND NOT EXISTS (SELECT FROM acme.dead_letters AS letter
        WHERE letter.consumer = $1 AND letter.topic = parked.topic AND letter.parked_key = parked.key)
"""
_FAILED: Final = """
WITH letter AS (
    UPDATE acme.dead_letters SET error = $2, fingerprint = $3, attempts = attempts + 1, replays = replays + 1,
        failed_at = $4, begun = 0, replay_at = NULL
    WHERE id = $1 RETURNING consumer, topic, parked_key
)
UPDATE acme.parked_keys AS parked SET replay_at = NULL FROM letter
WHERE parked.consumer = letter.consumer AND parked.topic = letter.topic AND parked.key = letter.parked_key
"""
_SURVIVED: Final = "UPDATE acme.dead_letters SET begun = 0 WHERE id = $1"
_NOT_BEGUN: Final = """
UPDATE acme.dead_letters SET begun = begun - 1
WHERE id = (SELECT id FROM acme.dead_letters WHERE id = $1 AND begun > 0 FOR UPDATE SKIP LOCKED)
"""

_LIST: Final = """
SELECT letter.id, letter.consumer, letter.event_id, letter.topic, letter.partition, letter."offset", letter.key,
    letter.type, letter.error, letter.fingerprint, letter.attempts, letter.replays, letter.parked_at, letter.failed_at,
    coalesce(letter.replay_at, parked.replay_at) AS replay_at, octet_length(letter.value) AS bytes
FROM acme.dead_letters AS letter LEFT JOIN acme.parked_keys AS parked
    ON parked.consumer = letter.consumer AND parked.topic = letter.topic AND parked.key = letter.parked_key
WHERE ($1::text = '' OR letter.consumer = $1) AND ($2::text = '' OR letter.fingerprint = $2)
    AND ($3::bytea IS NULL OR letter.key = $3) AND (cardinality($4::bigint[]) = 0 OR letter.id = ANY ($4::bigint[]))
    AND letter.id > $5
ORDER BY letter.id LIMIT $6
"""
_SHOW: Final = "SELECT * FROM acme.dead_letters WHERE id = $1"

_HOLD: Final = """
SELECT parked.topic, parked.key FROM acme.parked_keys AS parked
WHERE parked.consumer = $1 AND EXISTS (SELECT FROM acme.dead_letters AS letter WHERE letter.id = ANY ($2::bigint[])
    AND letter.consumer = $1 AND letter.topic = parked.topic AND letter.parked_key = parked.key)
ORDER BY parked.topic, parked.key
FOR UPDATE
"""
_REPLAY_KEYS: Final = """
UPDATE acme.parked_keys AS parked SET replay_at = $4
WHERE parked.consumer = $1 AND (parked.topic, parked.key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
"""
_REPLAY_ALONE: Final = """
UPDATE acme.dead_letters SET replay_at = $3 WHERE consumer = $1 AND id = ANY ($2::bigint[]) AND parked_key IS NULL
"""
# What waits behind nothing but what was given up is to be handled.
_REPLAY_FREED: Final = """
UPDATE acme.parked_keys AS parked SET replay_at = $4
WHERE parked.consumer = $1 AND (parked.topic, parked.key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))
    AND NOT EXISTS (SELECT FROM acme.dead_letters AS letter WHERE letter.consumer = $1 AND letter.topic = parked.topic
        AND letter.parked_key = parked.key AND letter.error <> '')
"""


async def next_replay(statements: Statements, consumer: str) -> Row | None:
    """The letter that somebody wants replayed and that comes next; counts that it is begun. None: nothing is wanted."""
    return await statements.fetchrow(_NEXT, consumer)


async def hold_for_replay(unit: Statements, consumer: str, letter: Row) -> bool:
    """Makes a letter the unit's own. False: it is another's at the moment, or not the next of its key any more."""
    if letter["parked_key"] is None:
        return await unit.fetchval(_LOCK_ALONE, letter["id"]) is True
    key = (consumer, letter["topic"], letter["parked_key"])
    return await unit.fetchval(_LOCK_KEY, *key) is True and await unit.fetchval(_IS_FIRST, *key, letter["id"]) is True


async def remove(unit: Statements, consumer: str, ids: Sequence[int]) -> int:
    """Takes letters away, and frees keys that have none left; the unit holds those. Says how many letters it were."""
    rows = await unit.fetch(_REMOVE, ids)
    keys = sorted({(row["topic"], row["parked_key"]) for row in rows if row["parked_key"] is not None})
    if keys:
        await unit.execute(_UNPARK, consumer, [topic for topic, _ in keys], [key for _, key in keys])
    return len(rows)


async def replay_put_off(unit: Statements, letter: int) -> None:
    """Takes back that a letter is begun: it could not be held. Whoever has it at the moment settles the count."""
    await unit.execute(_NOT_BEGUN, letter)


async def replay_failed(unit: Statements, letter: int, error: str, fingerprint: str, now: datetime) -> None:
    """Notes how a replay failed; its key is not replayed further until somebody asks again."""
    await unit.execute(_FAILED, letter, error, fingerprint, now)


async def replay_ended(unit: Statements, letter: int) -> None:
    """Notes that a replay ended in something that is nobody's fault; it is still wanted."""
    await unit.execute(_SURVIVED, letter)


async def letters(
    statements: Statements,
    consumer: str = "",
    *,
    fingerprint: str = "",
    key: bytes | None = None,
    ids: Sequence[int] = (),
    after: int = 0,
    limit: int = 1000,
) -> Sequence[Row]:
    """Letters that match all of it, without their bytes, by number; those after `after`."""
    return await statements.fetch(_LIST, consumer, fingerprint, key, list(ids), after, limit)


async def letter(statements: Statements, number: int) -> Row | None:
    """One letter with everything that is kept of it."""
    return await statements.fetchrow(_SHOW, number)


async def order_replay(unit: Statements, consumer: str, ids: Sequence[int], now: datetime) -> None:
    """Asks for letters to be handled again, each with all others of its key, where the plugin runs."""
    topics, keys = await _held(unit, consumer, ids)
    await unit.execute(_REPLAY_KEYS, consumer, topics, keys, now)
    await unit.execute(_REPLAY_ALONE, consumer, ids, now)


async def discard(unit: Statements, consumer: str, ids: Sequence[int], now: datetime) -> int:
    """Gives letters up for good; what waited behind them, and behind no other that failed, is to be replayed. They stay in
    the inbox, so that they are not handled when the bus delivers them again. Says how many letters it were."""
    topics, keys = await _held(unit, consumer, ids)
    count = await remove(unit, consumer, ids)
    await unit.execute(_REPLAY_FREED, consumer, topics, keys, now)
    return count


async def _held(unit: Statements, consumer: str, ids: Sequence[int]) -> tuple[list[str], list[bytes]]:
    """Holds the keys of letters; waits for a replay that is under way."""
    rows = await unit.fetch(_HOLD, consumer, ids)
    return [row["topic"] for row in rows], [row["key"] for row in rows]
