"""All SQL of the platform's own tables, over any `Statements`. Times are the caller's, from its Clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from acme.ports import Row, Statements

# One statement writes everything a unit of work has gathered. Empty arrays cost 4 µs; a round trip each would cost 20.
_WRITE: Final = """
WITH event AS (
    INSERT INTO acme.outbox (event_id, topic, key, type, payload, headers, created_at)
    SELECT event_id, topic, key, type, payload, $5::text::jsonb, $6::timestamptz
    FROM unnest($16::text[], $1::text[], $2::text[], $3::text[], $4::bytea[])
        WITH ORDINALITY AS added (event_id, topic, key, type, payload, number)
    ORDER BY number
), delivery AS (
    INSERT INTO acme.deliveries (id, kind, payload, created_at, run_at, request_id, traceparent)
    SELECT id, kind, payload, $6, $6, $17::text, $18::text
    FROM unnest($7::text[], $8::text[], $9::bytea[]) AS added (id, kind, payload)
)
INSERT INTO acme.idempotency AS kept (principal, method, key, fingerprint, outcome, created_at)
SELECT $10, $11, $12, $13, $14, $6 WHERE $10::text IS NOT NULL
ON CONFLICT (principal, method, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = excluded.created_at
    WHERE kept.created_at <= $15::timestamptz
RETURNING true
"""

_FIND: Final = """
SELECT fingerprint, outcome FROM acme.idempotency
WHERE principal = $1 AND method = $2 AND key = $3 AND created_at > $4
"""

# Held until the transaction ends. Whoever finds it taken and no record repeats a request that is still being served.
_CLAIM: Final = "SELECT free, fingerprint, outcome FROM acme.claim_key($1, $2, $3, $4, $5)"

_DUE: Final = """
UPDATE acme.deliveries AS delivery
SET lease_until = $2, attempts = attempts + 1
FROM (
    SELECT id FROM acme.deliveries
    WHERE done_at IS NULL AND failed_at IS NULL AND run_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
        AND kind = ANY($3::text[])
    ORDER BY run_at
    LIMIT $4
    FOR UPDATE SKIP LOCKED
) AS due
WHERE delivery.id = due.id
RETURNING delivery.id, kind, payload, attempts, request_id, traceparent
"""

# The number of the attempt fences: a worker whose lease ran out no longer decides on what another has claimed since.
_DONE: Final = """
UPDATE acme.deliveries SET done_at = $3, payload = NULL, lease_until = NULL, last_error = NULL
WHERE id = $1 AND attempts = $2 AND done_at IS NULL RETURNING true
"""
_AGAIN: Final = """
UPDATE acme.deliveries SET run_at = $3, lease_until = NULL, last_error = $4
WHERE id = $1 AND attempts = $2 AND done_at IS NULL RETURNING true
"""
_FAILED: Final = """
UPDATE acme.deliveries SET failed_at = $3, lease_until = NULL, last_error = $4
WHERE id = $1 AND attempts = $2 AND done_at IS NULL RETURNING true
"""

_FORGET_KEYS: Final = """
DELETE FROM acme.idempotency WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM acme.idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
"""
_FORGET_DONE: Final = """
DELETE FROM acme.deliveries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM acme.deliveries WHERE done_at <= $1 ORDER BY done_at LIMIT $2 FOR UPDATE SKIP LOCKED))
"""

# Taken when it is free, its time is over, or it is the holder's already: taking it again renews it.
_LEASE: Final = """
INSERT INTO acme.leases AS lease (name, holder, until) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE lease.holder = excluded.holder OR lease.until <= $4
RETURNING true
"""
_RELEASE: Final = "DELETE FROM acme.leases WHERE name = $1 AND holder = $2"


class Event(NamedTuple):
    """A row of the outbox."""

    id: str
    """"evt_…"."""
    topic: str
    key: str
    type: str
    payload: bytes
    organization: str
    """Of the aggregate, "" for none; not a column: it is in the key."""


class Wanted(NamedTuple):
    """A delivery that a unit of work asks for; the payload is sealed."""

    id: str
    kind: str
    payload: bytes


class Cause(NamedTuple):
    """The request that asks for deliveries; "" where none does."""

    request_id: str = ""
    traceparent: str = ""


class Record(NamedTuple):
    """What is kept for an Idempotency-Key. Replaces one that was written at or before `expired`."""

    principal: str
    method: str
    key: str
    fingerprint: bytes
    outcome: bytes
    expired: datetime


NOBODY: Final = Cause()


async def write(
    statements: Statements,
    events: Sequence[Event],
    headers: str,
    deliveries: Sequence[Wanted],
    record: Record | None,
    now: datetime,
    cause: Cause = NOBODY,
) -> bool:
    """Writes all of it, `headers` (JSON) beside each event and `cause` beside each delivery. False: there is a record for
    that key already."""
    names, topics, keys, types, payloads, _ = zip(*events, strict=True) if events else ((), (), (), (), (), ())
    ids, kinds, sealed = zip(*deliveries, strict=True) if deliveries else ((), (), ())
    kept = record or (None, None, None, None, None, None)
    args = (topics, keys, types, payloads, headers, now, ids, kinds, sealed, *kept, names, *cause)
    written = await statements.fetchval(_WRITE, *args)
    return written is True or record is None


async def find(statements: Statements, principal: str, method: str, key: str, since: datetime) -> Row | None:
    """(fingerprint, outcome) kept for a key after `since`."""
    return await statements.fetchrow(_FIND, principal, method, key, since)


async def claim(statements: Statements, principal: str, method: str, key: str, since: datetime, lock: int) -> Row:
    """(free, fingerprint, outcome): what `find` finds, and whether the lock of that key is now this transaction's."""
    row = await statements.fetchrow(_CLAIM, principal, method, key, since, lock)
    if row is None:
        raise RuntimeError("a query that always has one row had none")
    return row


async def due(
    statements: Statements, now: datetime, lease_until: datetime, kinds: Sequence[str], limit: int
) -> Sequence[Row]:
    """Claims up to `limit` deliveries until `lease_until`: rows of (id, kind, payload, attempts, request id,
    traceparent)."""
    return await statements.fetch(_DUE, now, lease_until, kinds, limit)


async def done(statements: Statements, delivery: str, attempt: int, now: datetime) -> bool:
    """Marks it delivered and erases the payload. False: the lease was lost."""
    return await statements.fetchval(_DONE, delivery, attempt, now) is True


async def again(statements: Statements, delivery: str, attempt: int, run_at: datetime, error: str) -> bool:
    """Gives it back, for a next attempt at `run_at`. False: the lease was lost."""
    return await statements.fetchval(_AGAIN, delivery, attempt, run_at, error) is True


async def failed(statements: Statements, delivery: str, attempt: int, now: datetime, error: str) -> bool:
    """Gives it up, and keeps it. False: the lease was lost."""
    return await statements.fetchval(_FAILED, delivery, attempt, now, error) is True


async def forget(statements: Statements, until: datetime, limit: int) -> int:
    """Deletes up to `limit` idempotency records, and as many done deliveries, from `until` or before; says how many."""
    deleted = 0
    for sql in (_FORGET_KEYS, _FORGET_DONE):
        deleted += int((await statements.execute(sql, until, limit)).rpartition(" ")[2])
    return deleted


async def lease(statements: Statements, name: str, holder: str, until: datetime, now: datetime) -> bool:
    """Takes or renews the lease `name` until then. False: it is another's."""
    return await statements.fetchval(_LEASE, name, holder, until, now) is True


async def release(statements: Statements, name: str, holder: str) -> None:
    """Gives a lease back, if it is still the holder's."""
    await statements.execute(_RELEASE, name, holder)
