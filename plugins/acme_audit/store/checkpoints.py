"""The tables `checkpoints` and `signing_keys`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from acme import Statements

_FIRST_KEY: Final = """
INSERT INTO signing_keys (public, sealed, created_at)
SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM signing_keys)
"""
_KEYS: Final = "SELECT public, sealed FROM signing_keys ORDER BY id"
_LOCK_KEYS: Final = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"
_DUE: Final = """
SELECT logs.id FROM logs LEFT JOIN checkpoints AS last ON last.log_id = logs.id AND last.number = logs.signed
WHERE logs.id > $1 AND (last.size IS NULL OR last.size <> logs.size OR last.signed_at <= $2)
ORDER BY logs.id LIMIT $3
"""
_LOCK: Final = "SELECT id, name, size, head, frontier, signed, archived FROM logs WHERE id = $1 FOR NO KEY UPDATE"
_ADD: Final = "INSERT INTO checkpoints (log_id, number, size, signed_at, note) VALUES ($1, $2, $3, $4, $5)"
_SIGNED: Final = "UPDATE logs SET signed = $2 WHERE id = $1"
_ONE: Final = "SELECT number, size, signed_at, note FROM checkpoints WHERE log_id = $1 AND number = $2"
_SCAN: Final = """
SELECT number, size, signed_at, note FROM checkpoints WHERE log_id = $1 AND number > $2 ORDER BY number LIMIT $3
"""
_NEWEST: Final = "SELECT coalesce(max(number), 0) FROM checkpoints WHERE log_id = $1"
_UNARCHIVED: Final = "SELECT id, name, archived FROM logs WHERE archived < signed AND id > $1 ORDER BY id LIMIT $2"
_ARCHIVED: Final = "UPDATE logs SET archived = $2 WHERE id = $1 AND archived < $2"


class SigningKey(NamedTuple):
    """A key, its private half sealed."""

    public: bytes
    sealed: bytes


class Signed(NamedTuple):
    """A checkpoint."""

    number: int
    size: int
    signed_at: datetime
    note: str


class CheckpointStore:
    """Checkpoints and the keys that sign them."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def first_key(self, public: bytes, sealed: bytes, *, at: datetime) -> None:
        """Keeps a key if there is none. In a transaction: others wait."""
        await self._database.execute(_LOCK_KEYS)
        await self._database.execute(_FIRST_KEY, public, sealed, at)

    async def keys(self) -> list[SigningKey]:
        """All keys there were, the one that signs last."""
        return [SigningKey(*row) for row in await self._database.fetch(_KEYS)]

    async def due(self, *, quiet_since: datetime, after: int, limit: int) -> list[int]:
        """Logs that have grown since their last checkpoint, or whose last one is as old as that, by their ids."""
        return [row[0] for row in await self._database.fetch(_DUE, after, quiet_since, limit)]

    async def lock(self, log_id: int) -> Sequence[object]:
        """The columns of a log's head; nobody appends or signs until the transaction ends."""
        row = await self._database.fetchrow(_LOCK, log_id)
        if row is None:
            raise LookupError(f"log {log_id} is gone, and logs are never deleted")
        return tuple(row)

    async def add(self, log_id: int, signed: Signed) -> None:
        """Keeps the next checkpoint of a log whose head is locked."""
        await self._database.execute(_ADD, log_id, signed.number, signed.size, signed.signed_at, signed.note)
        await self._database.execute(_SIGNED, log_id, signed.number)

    async def one(self, log_id: int, number: int) -> Signed | None:
        """A log's checkpoint of this number."""
        row = await self._database.fetchrow(_ONE, log_id, number)
        return None if row is None else Signed(*row)

    async def scan(self, log_id: int, *, after: int, limit: int) -> list[Signed]:
        """Checkpoints of a log with greater numbers, in order."""
        return [Signed(*row) for row in await self._database.fetch(_SCAN, log_id, after, limit)]

    async def newest(self, log_id: int) -> int:
        """The highest number of a log's checkpoints; 0 for none."""
        number: int = await self._database.fetchval(_NEWEST, log_id)
        return number

    async def unarchived(self, *, after: int, limit: int) -> list[tuple[int, str, int]]:
        """(id, name, number of the last archived checkpoint) of logs with checkpoints that are only here."""
        return [(row[0], row[1], row[2]) for row in await self._database.fetch(_UNARCHIVED, after, limit)]

    async def archived(self, log_id: int, number: int) -> None:
        """Notes that the checkpoints up to this one are in the object store."""
        await self._database.execute(_ARCHIVED, log_id, number)
