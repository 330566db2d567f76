"""The table `subject_keys`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from acme import Statements

_READ: Final = "SELECT subject, sealed FROM subject_keys WHERE subject = ANY($1::text[])"
_ADD: Final = """
INSERT INTO subject_keys (subject, sealed, created_at)
SELECT each.subject, each.sealed, $3 FROM unnest($1::text[], $2::bytea[]) AS each (subject, sealed)
ORDER BY each.subject
ON CONFLICT (subject) DO NOTHING
"""
_DESTROY: Final = """
INSERT INTO subject_keys (subject, sealed, created_at, destroyed_at) VALUES ($1, NULL, $2, $2)
ON CONFLICT (subject) DO UPDATE SET sealed = NULL, destroyed_at = excluded.destroyed_at
WHERE subject_keys.sealed IS NOT NULL
RETURNING subject
"""


class SubjectStore:
    """Sealed keys by subject."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def read(self, subjects: Sequence[str]) -> dict[str, bytes | None]:
        """The sealed keys of those who have one; `None` for one that is destroyed."""
        return {row[0]: row[1] for row in await self._database.fetch(_READ, subjects)}

    async def add(self, subjects: Sequence[str], sealed: Sequence[bytes], *, at: datetime) -> None:
        """Keeps keys of those who have none; in the order of the subjects, so that two at a time cause no deadlock."""
        await self._database.execute(_ADD, subjects, sealed, at)

    async def destroy(self, subject: str, *, at: datetime) -> bool:
        """Forgets a key, and that there may be another. False: it was so before."""
        return await self._database.fetchval(_DESTROY, subject, at) is not None
