"""Sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from acme import Statements

NEWEST: Final = "~"
"""The position before the youngest session: it sorts after every id."""


@dataclass(frozen=True, slots=True)
class Session:
    """A row of `sessions`."""

    id: str
    user_id: str
    secret: bytes = field(repr=False)
    generation: int
    rotated_at: datetime
    user_agent: str
    address: str
    created_at: datetime
    expires_at: datetime
    authenticated_at: datetime
    """When somebody last proved with a password to be its user."""
    revoked_at: datetime | None = None


class SessionStore:
    """The table `sessions`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add_session(self, session: Session) -> None:
        await self._database.execute(
            """
            INSERT INTO sessions (id, user_id, secret, generation, rotated_at, user_agent, address, created_at,
                                  expires_at, authenticated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            session.id,
            session.user_id,
            session.secret,
            session.generation,
            session.rotated_at,
            session.user_agent,
            session.address,
            session.created_at,
            session.expires_at,
            session.authenticated_at,
        )

    async def lock_session(self, session_id: str) -> Session | None:
        """The session, which nobody else rotates or revokes before this transaction ends."""
        row = await self._database.fetchrow(
            """
            SELECT id, user_id, secret, generation, rotated_at, user_agent, address, created_at, expires_at,
                   coalesce(authenticated_at, created_at), revoked_at
            FROM sessions WHERE id = $1 FOR NO KEY UPDATE
            """,
            session_id,
        )
        return None if row is None else Session(*row)

    async def is_alive(self, user_id: str, session_id: str) -> bool:
        """Whether it is a session of this user that nobody has ended."""
        found = await self._database.fetchval(
            "SELECT true FROM sessions WHERE id = $2 AND user_id = $1 AND revoked_at IS NULL", user_id, session_id
        )
        return found is not None

    async def rotate(self, session_id: str, generation: int, *, at: datetime) -> None:
        """Makes `generation` the current one."""
        await self._database.execute(
            "UPDATE sessions SET generation = $2, rotated_at = $3 WHERE id = $1", session_id, generation, at
        )

    async def revoke_session(self, session_id: str, *, at: datetime) -> None:
        await self._database.execute("UPDATE sessions SET revoked_at = $2 WHERE id = $1", session_id, at)

    async def renew(self, session_id: str, *, at: datetime) -> None:
        """Somebody proved again to be the session's user."""
        await self._database.execute("UPDATE sessions SET authenticated_at = $2 WHERE id = $1", session_id, at)

    async def revoke_sessions(self, user_id: str, *, keep: str = "", at: datetime) -> list[str]:
        """Revokes the sessions of a user that could still be used, but for `keep`, and returns their ids."""
        rows = await self._database.fetch(
            """
            UPDATE sessions SET revoked_at = $2
            WHERE user_id = $1 AND id <> $3 AND revoked_at IS NULL AND expires_at > $2
            RETURNING id
            """,
            user_id,
            at,
            keep,
        )
        return [row[0] for row in rows]

    async def sessions(self, user_id: str, *, before: str, at: datetime, limit: int) -> list[Session]:
        """Sessions that can be used, youngest first, from the first one whose id is below `before`."""
        rows = await self._database.fetch(
            """
            SELECT id, user_id, secret, generation, rotated_at, user_agent, address, created_at, expires_at,
                   coalesce(authenticated_at, created_at)
            FROM sessions
            WHERE user_id = $1 AND id < $2 AND revoked_at IS NULL AND expires_at > $3
            ORDER BY id DESC LIMIT $4
            """,
            user_id,
            before,
            at,
            limit,
        )
        return [Session(*row) for row in rows]

    async def purge_sessions(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` sessions that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM sessions WHERE id IN (
                SELECT id FROM sessions WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
