"""The outbox as the relay sees it: what waits, and the ranges of ids that bound how much room it takes.

`acme.outbox` is partitioned by id. Rows are deleted when they are on the bus; a range whose ids are all past is dropped,
with the dead rows that VACUUM could not yet clear away because some old snapshot might look at them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from acme.ports import Connection, Database, Row, Statements

RANGE: Final = 100_000
"""Ids in one partition."""
AHEAD: Final = 2
"""Partitions that are made before they are needed."""
LOCK_LIMIT: Final = "200ms"
"""How long the making or dropping of a partition waits for commits under way, and the next ones wait for it."""
COUNTED: Final = 100_000
"""Rows that wait are counted up to here."""

_OLDEST: Final = """
SELECT id, event_id, topic, key, type, payload, headers, created_at FROM acme.outbox ORDER BY id LIMIT $1
"""
_SENT: Final = "DELETE FROM acme.outbox WHERE id = ANY($1::bigint[])"
_WAITING: Final = """
SELECT count(*) AS rows, min(created_at) AS oldest
FROM (SELECT created_at FROM acme.outbox ORDER BY id LIMIT $1) AS waiting
"""
_RANGES: Final = """
SELECT relname FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'acme.outbox'::regclass AND relname LIKE 'outbox\\_p%'
"""
_LAST: Final = "SELECT last_value FROM acme.outbox_id_seq"
_NAME: Final = re.compile(r"outbox_p([0-9]+)")


async def oldest(statements: Statements, limit: int) -> Sequence[Row]:
    """The rows to send next: (id, event_id, topic, key, type, payload, headers, created_at), in the order of their ids.

    Events of one aggregate have ids in the order of their commits: an id is drawn by the last statement of its unit of work,
    which holds the aggregate's lock until it has committed.
    """
    return await statements.fetch(_OLDEST, limit)


async def sent(statements: Statements, ids: Sequence[int]) -> None:
    """Deletes rows that are on the bus."""
    await statements.execute(_SENT, ids)


async def waiting(statements: Statements) -> Row:
    """(rows, oldest): how many wait, up to `COUNTED`, and since when the oldest does; None when none does."""
    row = await statements.fetchrow(_WAITING, COUNTED)
    if row is None:
        raise RuntimeError("a query that always has one row had none")
    return row


async def roll(pool: Database) -> None:
    """Makes the partitions of the next ids, and drops those of ids that are past and sent. What is busy waits its turn."""
    async with pool.connection() as connection:
        now = int(await connection.fetchval(_LAST)) // RANGE
        found = {int(match[1]) for row in await connection.fetch(_RANGES) if (match := _NAME.fullmatch(row[0]))}
        for number in range(now + 1, now + 1 + AHEAD):
            if number not in found:
                await _alone(connection, _make(number))
        for number in sorted(found):
            if number < now and await _is_empty(connection, f"outbox_p{number}"):
                await _alone(connection, _drop(number))
        if now > 0 and await _is_empty(connection, "outbox_rest"):
            await _alone(connection, _EMPTY)


async def _is_empty(connection: Connection, partition: str) -> bool:
    return not await connection.fetchval(f"SELECT EXISTS (SELECT FROM acme.{partition})")  # noqa: S608  # our own name


async def _alone(connection: Connection, block: str) -> None:
    """Runs a block in a transaction of its own that gives up soon."""
    await connection.begin()
    try:
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'")
        await connection.execute(block)
    except BaseException:
        await connection.rollback()
        raise
    await connection.commit()


# A lock that is not to be had in time, or rows that have come meanwhile, are no error: the next turn looks again. Whoever
# has inserted and not committed holds the table; so what is seen empty after the lock is empty.
_BUSY: Final = "EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table OR undefined_table THEN NULL;"


def _make(number: int) -> str:
    bounds = f"FROM ({number * RANGE}) TO ({(number + 1) * RANGE})"
    return (
        f"DO $$ BEGIN CREATE TABLE acme.outbox_p{number} PARTITION OF acme.outbox FOR VALUES {bounds}; {_BUSY} END $$"
    )


def _drop(number: int) -> str:
    return f"""DO $$ BEGIN
        LOCK TABLE acme.outbox IN ACCESS EXCLUSIVE MODE;
        IF NOT EXISTS (SELECT FROM acme.outbox_p{number}) THEN DROP TABLE acme.outbox_p{number}; END IF;
        {_BUSY}
    END $$"""


_EMPTY: Final = f"""DO $$ BEGIN
    IF pg_catalog.pg_relation_size('acme.outbox_rest') = 0 THEN RETURN; END IF;
    LOCK TABLE acme.outbox IN ACCESS EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM acme.outbox_rest) THEN TRUNCATE acme.outbox_rest; END IF;
    {_BUSY}
END $$"""
