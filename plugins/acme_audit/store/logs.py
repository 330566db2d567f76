"""The tables `logs`, `records` and `nodes`, as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from acme import Row, Statements
from acme_audit.tree import Frontier, Node

_HEAD: Final = "id, name, size, head, frontier, signed, archived"

# The f-strings below hold constants of this file only, hence the noqa marks.
_OPEN: Final = "INSERT INTO logs (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING"
_LOCK: Final = f"SELECT {_HEAD} FROM logs WHERE name = ANY($1::text[]) ORDER BY name FOR NO KEY UPDATE"  # noqa: S608
_READ: Final = f"SELECT {_HEAD} FROM logs WHERE name = $1"  # noqa: S608
_LIST: Final = f"SELECT {_HEAD} FROM logs WHERE name > $1 ORDER BY name LIMIT $2"  # noqa: S608
_KNOWN: Final = "SELECT id FROM records WHERE id = ANY($1::text[])"
_RECORDS: Final = """
INSERT INTO records (log_id, sequence, id, canonical, leaf, occurred_at, actor_id, action, outcome, targets)
SELECT log_id, sequence, id, canonical, leaf, occurred_at, actor_id, action, outcome,
       string_to_array(targets, E'\\x1f')
FROM unnest($1::int[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[], $7::text[], $8::text[],
            $9::smallint[], $10::text[])
     AS each (log_id, sequence, id, canonical, leaf, occurred_at, actor_id, action, outcome, targets)
"""
_NODES: Final = """
INSERT INTO nodes (log_id, level, index, hash)
SELECT * FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::bytea[])
"""
_MOVE: Final = """
UPDATE logs SET size = each.size, head = each.head, frontier = each.frontier
FROM unnest($1::int[], $2::bigint[], $3::bytea[], $4::bytea[]) AS each (id, size, head, frontier)
WHERE logs.id = each.id
"""
_MANY: Final = """
SELECT level, index, hash FROM nodes
WHERE log_id = $1 AND (level, index) IN (SELECT * FROM unnest($2::smallint[], $3::bigint[]))
"""
_LEVELS: Final = "SELECT level, max(index) FROM nodes WHERE log_id = $1 GROUP BY level"

LONGEST: Final = 200
"""Characters of a text that records are found by; what is longer is found by its beginning."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends."""

    id: int
    name: str
    size: int
    head: bytes
    """Leaf hash of the last record."""
    frontier: bytes
    signed: int
    """Number of its last checkpoint."""
    archived: int
    """Number of the last one that is in the object store."""

    def tree(self) -> Frontier:
        """The tree of all its records.

        Raises:
            ValueError: the row was tampered with.
        """
        return Frontier.unpack(self.size, self.frontier)


class Written(NamedTuple):
    """A record, with what it is found by."""

    log_id: int
    sequence: int
    id: str
    canonical: bytes
    leaf: bytes
    occurred_at: datetime
    actor_id: str
    action: str
    outcome: int
    targets: tuple[str, ...]


def key(text: str) -> str:
    """The text as a column holds it: PostgreSQL knows no NUL, and an index no long ones."""
    return text.replace("\0", "")[:LONGEST]


class LogStore:
    """Heads of logs, and what is appended to them."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def lock(self, names: Sequence[str]) -> dict[str, Head]:
        """The heads of these logs, new ones included; nobody else appends to them until the transaction ends."""
        rows = await self._database.fetch(_LOCK, names)
        if len(rows) < len(names):
            await self._database.execute(_OPEN, names)
            rows = await self._database.fetch(_LOCK, names)
        return {row["name"]: _head(row) for row in rows}

    async def head(self, name: str) -> Head | None:
        """Where a log ends; `None` for one that never began."""
        row = await self._database.fetchrow(_READ, name)
        return None if row is None else _head(row)

    async def heads(self, *, after: str = "", limit: int = 500) -> list[Head]:
        """Logs by their names, those after `after`."""
        return [_head(row) for row in await self._database.fetch(_LIST, after, limit)]

    async def known(self, ids: Sequence[str]) -> set[str]:
        """Those of these records that are kept already."""
        return {row[0] for row in await self._database.fetch(_KNOWN, ids)}

    async def append(
        self, records: Sequence[Written], nodes: Sequence[tuple[int, Node, bytes]], heads: Sequence[Head]
    ) -> None:
        """Adds records and nodes, and moves the heads that were locked before."""
        columns = [list(column) for column in zip(*[record[:-1] for record in records], strict=True)]
        await self._database.execute(_RECORDS, *columns, ["\x1f".join(record.targets) for record in records])
        if nodes:
            logs, places, hashes = zip(*nodes, strict=True)
            levels, indexes = zip(*places, strict=True)
            await self._database.execute(_NODES, logs, levels, indexes, hashes)
        moved = [(head.id, head.size, head.head, head.frontier) for head in heads]
        await self._database.execute(_MOVE, *zip(*moved, strict=True))

    async def nodes(self, log_id: int, wanted: Sequence[Node]) -> dict[Node, bytes]:
        """Those of these nodes that are kept."""
        if not wanted:
            return {}
        levels, indexes = zip(*wanted, strict=True)
        return {Node(row[0], row[1]): row[2] for row in await self._database.fetch(_MANY, log_id, levels, indexes)}

    async def levels(self, log_id: int) -> dict[int, int]:
        """The place of the last node by level."""
        return {row[0]: row[1] for row in await self._database.fetch(_LEVELS, log_id)}


def _head(row: Row) -> Head:
    return Head(*row)
