"""The table `records`, as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from acme import Row, Statements

_COLUMNS: Final = "sequence, id, canonical, leaf, occurred_at, actor_id, action, outcome, targets"

# The f-strings below hold constants of this file only, and numbers of parameters, hence the noqa marks.
_SCAN: Final = f"""
SELECT {_COLUMNS} FROM records WHERE log_id = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4
"""  # noqa: S608
_LEAVES: Final = "SELECT sequence, leaf FROM records WHERE log_id = $1 AND sequence = ANY($2::bigint[])"
_LAST: Final = "SELECT max(sequence) FROM records WHERE log_id = $1"
_ORPHANS: Final = """
WITH RECURSIVE found AS (
    SELECT min(log_id) AS log_id FROM records
    UNION ALL
    SELECT (SELECT min(log_id) FROM records WHERE log_id > found.log_id) FROM found WHERE found.log_id IS NOT NULL
)
SELECT log_id FROM found WHERE log_id IS NOT NULL AND NOT EXISTS (SELECT FROM logs WHERE logs.id = found.log_id)
"""
_BY_ID: Final = "SELECT id, log_id, sequence, canonical FROM records WHERE id = ANY($1::text[])"


class Stored(NamedTuple):
    """A record as it is kept."""

    sequence: int
    id: str
    canonical: bytes
    leaf: bytes
    occurred_at: datetime
    actor_id: str
    action: str
    outcome: int
    targets: list[str]


class Found(NamedTuple):
    """A record, and where it is."""

    id: str
    log_id: int
    sequence: int
    canonical: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records of a log a list is of; empty means all."""

    actor_id: str = ""
    action: str = ""
    target_id: str = ""
    outcome: int = 0
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    """Those with a smaller number."""


class RecordStore:
    """Reads records."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def newest(self, log_id: int, wanted: Wanted, *, limit: int) -> list[Stored]:
        """Up to `limit` records, the newest first."""
        values: list[Any] = [log_id]
        where = ["log_id = $1"]
        conditions = {
            "actor_id = ${}": wanted.actor_id or None,
            "action = ${}": wanted.action or None,
            "targets @> ARRAY[${}::text]": wanted.target_id or None,
            "outcome = ${}::integer": wanted.outcome or None,
            "occurred_at >= ${}": wanted.since,
            "occurred_at < ${}": wanted.until,
            "sequence < ${}": wanted.before,
        }
        for condition, value in conditions.items():
            if value is not None:
                values.append(value)
                where.append(condition.format(len(values)))
        values.append(limit)
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM records WHERE {' AND '.join(where)}"  # noqa: S608
            f" ORDER BY sequence DESC LIMIT ${len(values)}",
            *values,
        )
        return [Stored(*row) for row in rows]

    async def scan(self, log_id: int, start: int, end: int, *, limit: int) -> Sequence[Row]:
        """Up to `limit` records from number `start` to before `end`, in order: the columns of `Stored`, by position."""
        return await self._database.fetch(_SCAN, log_id, start, end, limit)

    async def leaves(self, log_id: int, sequences: Sequence[int]) -> dict[int, bytes]:
        """Leaf hashes by number."""
        return {row[0]: row[1] for row in await self._database.fetch(_LEAVES, log_id, sequences)}

    async def by_id(self, ids: Sequence[str]) -> dict[str, Found]:
        """The records with these ids, by them."""
        return {row[0]: Found(*row) for row in await self._database.fetch(_BY_ID, ids)}

    async def last(self, log_id: int) -> int:
        """The highest number in a log; -1 for none."""
        found: int | None = await self._database.fetchval(_LAST, log_id)
        return -1 if found is None else found

    async def orphans(self) -> list[int]:
        """Ids of logs that records are of, and that are not there."""
        return [row[0] for row in await self._database.fetch(_ORPHANS)]
