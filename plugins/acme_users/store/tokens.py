"""Access tokens for programs, by their digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from acme import Statements

USED_EVERY: Final = timedelta(minutes=1)
"""How exact `last_used_at` is."""

_LIVE: Final = "revoked_at IS NULL AND expires_at > $2"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A row of `access_tokens`."""

    id: str
    subject: str
    digest: bytes = field(repr=False)
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is alive, and where its subject is at home."""

    id: str
    subject: str
    scopes: tuple[str, ...]
    expires_at: datetime
    organization_id: str
    region: str


class TokenStore:
    """The table `access_tokens`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def lock_subject(self, subject: str) -> bool:
        """Nobody else makes tokens for this user or service account before this transaction ends; false: it is none."""
        found = await self._database.fetchval(
            """
            WITH person AS (
                SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE
            ), program AS (
                SELECT id FROM service_accounts WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE
            )
            SELECT id FROM person UNION ALL SELECT id FROM program
            """,
            subject,
        )
        return found is not None

    async def count(self, subject: str, *, at: datetime) -> int:
        """How many of its tokens are alive."""
        found: int = await self._database.fetchval(
            f"SELECT count(*) FROM access_tokens WHERE subject = $1 AND {_LIVE}",  # noqa: S608 - a constant
            subject,
            at,
        )
        return found

    async def add(self, token: AccessToken) -> None:
        await self._database.execute(
            """
            INSERT INTO access_tokens (id, subject, digest, name, scopes, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            token.id,
            token.subject,
            token.digest,
            token.name,
            list(token.scopes),
            token.created_at,
            token.expires_at,
        )

    async def tokens(self, subject: str, *, before: str, at: datetime, limit: int) -> list[AccessToken]:
        """Those that are alive, youngest first, from the first one whose id is below `before`."""
        rows = await self._database.fetch(
            f"""
            SELECT id, subject, digest, name, scopes, created_at, expires_at, last_used_at
            FROM access_tokens WHERE subject = $1 AND id < $3 AND {_LIVE}
            ORDER BY id DESC LIMIT $4
            """,  # noqa: S608 - a constant
            subject,
            at,
            before,
            limit,
        )
        return [AccessToken(row[0], row[1], row[2], row[3], tuple(row[4]), row[5], row[6], row[7]) for row in rows]

    async def revoke(self, subject: str, token_id: str, *, at: datetime) -> bool | None:
        """Whether it was alive until now; `None` when the subject has no such token."""
        row = await self._database.fetchrow(
            """
            WITH found AS (
                SELECT id, revoked_at FROM access_tokens WHERE subject = $1 AND id = $2 FOR NO KEY UPDATE
            ), revoked AS (
                UPDATE access_tokens AS t SET revoked_at = $3 FROM found AS f
                WHERE t.id = f.id AND f.revoked_at IS NULL
            )
            SELECT revoked_at IS NULL FROM found
            """,
            subject,
            token_id,
            at,
        )
        return None if row is None else bool(row[0])

    async def revoke_all(self, subject: str, *, at: datetime) -> list[str]:
        """Revokes the tokens of a subject that are alive, and returns their ids."""
        rows = await self._database.fetch(
            f"UPDATE access_tokens SET revoked_at = $2 WHERE subject = $1 AND {_LIVE} RETURNING id",  # noqa: S608 - a constant
            subject,
            at,
        )
        return [row[0] for row in rows]

    async def revoked(self, subject: str, *, at: datetime) -> list[str]:
        """Ids of those that were revoked in this very moment."""
        rows = await self._database.fetch(
            "SELECT id FROM access_tokens WHERE subject = $1 AND revoked_at = $2", subject, at
        )
        return [row[0] for row in rows]

    async def bearer(self, digest: bytes, *, at: datetime) -> Bearer | None:
        """The token with this digest, if it is alive and its subject is."""
        row = await self._database.fetchrow(
            f"""
            SELECT t.id, t.subject, t.scopes, t.expires_at, o.id, coalesce(u.region, o.region)
            FROM access_tokens AS t
            LEFT JOIN users AS u ON u.id = t.subject
            LEFT JOIN service_accounts AS s ON s.id = t.subject AND s.deleted_at IS NULL
            JOIN organizations AS o ON o.id = coalesce(u.organization_id, s.organization_id)
            WHERE t.digest = $1 AND {_LIVE}
            """,  # noqa: S608 - a constant
            digest,
            at,
        )
        return None if row is None else Bearer(row[0], row[1], tuple(row[2]), *tuple(row)[3:])

    async def note_use(self, token_id: str, *, at: datetime) -> None:
        """Keeps when it was used, once in `USED_EVERY`. Waits for nobody: whoever holds the row writes to it anyway."""
        await self._database.execute(
            """
            UPDATE access_tokens SET last_used_at = $2 WHERE id = (
                SELECT id FROM access_tokens
                WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3) FOR NO KEY UPDATE SKIP LOCKED)
            """,
            token_id,
            at,
            at - USED_EVERY,
        )

    async def purge(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` tokens that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM access_tokens WHERE id IN (
                SELECT id FROM access_tokens WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
