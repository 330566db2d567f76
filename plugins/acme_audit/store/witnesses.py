"""The tables `announced` and `accounted`: events that were heard, and events that records name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from acme import Statements

_HEARD: Final = """
INSERT INTO announced (event_id, kind, noted_at)
SELECT event_id, kind, $3 FROM unnest($1::text[], $2::text[]) AS each (event_id, kind) ORDER BY event_id
ON CONFLICT (event_id) DO NOTHING
"""
_NAMED: Final = """
INSERT INTO accounted (event_id, noted_at)
SELECT event_id, $2 FROM unnest($1::text[]) AS each (event_id) ORDER BY event_id
ON CONFLICT (event_id) DO NOTHING
"""
_SETTLE: Final = """
WITH met AS (
    SELECT event_id FROM announced JOIN accounted USING (event_id) LIMIT $1
), heard AS (
    DELETE FROM announced USING met WHERE announced.event_id = met.event_id
)
SELECT count(*) FROM met
"""
_LACKING: Final = """
SELECT count(*), min(event_id) FROM announced
WHERE noted_at <= $1 AND NOT EXISTS (SELECT FROM accounted WHERE accounted.event_id = announced.event_id)
"""
_PRUNE: Final = "DELETE FROM accounted WHERE noted_at <= $1"


class WitnessStore:
    """What was heard, and what was recorded."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def heard(self, ids: Sequence[str], kinds: Sequence[str], *, at: datetime) -> None:
        """Events that were heard."""
        await self._database.execute(_HEARD, ids, kinds, at)

    async def named(self, ids: Sequence[str], *, at: datetime) -> None:
        """Events that records name."""
        if ids:
            await self._database.execute(_NAMED, ids, at)

    async def settle(self, *, limit: int) -> int:
        """Forgets up to `limit` announcements of events that are named; returns how many. What is named stays known until
        `prune`: a bus may deliver an event again."""
        settled: int = await self._database.fetchval(_SETTLE, limit)
        return settled

    async def lacking(self, *, until: datetime) -> tuple[int, str]:
        """How many events were heard until then and no record names them, and the first of them."""
        row = await self._database.fetchrow(_LACKING, until)
        return (0, "") if row is None else (row[0], row[1] or "")

    async def prune(self, *, until: datetime) -> None:
        """Forgets what records have named until then."""
        await self._database.execute(_PRUNE, until)
