"""Who belongs to an organisation, as what, and until when.

A membership that has expired counts for nothing here: every statement says so itself. That a job deletes it later is
housekeeping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from acme import Row, Statements

EARLIEST: Final = (datetime.fromtimestamp(0, UTC), "")
"""The position before the first membership."""

# The f-strings below hold constants of this module only, hence the noqa marks.
_LIVE: Final = "(m.expires_at IS NULL OR m.expires_at > $2)"
_MEMBER: Final = """
    SELECT m.user_id, u.display_name, coalesce(u.email, ''), m.role, r.permissions, m.joined_at, m.expires_at, m.version
    FROM memberships AS m
    JOIN users AS u ON u.id = m.user_id
    LEFT JOIN roles AS r ON r.organization_id = m.organization_id AND r.id = m.custom_role
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A row of `memberships`, with what its user and its role are called."""

    user_id: str
    display_name: str = field(repr=False)
    email: str = field(repr=False)
    role: str
    permissions: tuple[str, ...]
    """Of a custom role."""
    joined_at: datetime
    expires_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The role that a user or a service account has in an organisation."""

    role: str
    permissions: tuple[str, ...]
    """Of a custom role."""


class MemberStore:
    """The table `memberships`, and those who can be members."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def standing(self, organization_id: str, subject: str, *, at: datetime) -> Standing | None:
        """What a user or a service account is in the organisation; `None` for a stranger."""
        row = await self._database.fetchrow(
            f"""
            SELECT s.role, r.permissions
            FROM (
                SELECT m.role, m.custom_role FROM memberships AS m
                WHERE m.organization_id = $1 AND m.user_id = $3 AND {_LIVE}
                UNION ALL
                SELECT role, custom_role FROM service_accounts
                WHERE organization_id = $1 AND id = $3 AND deleted_at IS NULL
            ) AS s
            LEFT JOIN roles AS r ON r.organization_id = $1 AND r.id = s.custom_role
            """,  # noqa: S608
            organization_id,
            at,
            subject,
        )
        return None if row is None else Standing(row[0], tuple(row[1] or ()))

    async def member(self, organization_id: str, user_id: str, *, at: datetime) -> Member | None:
        row = await self._database.fetchrow(
            f"{_MEMBER} WHERE m.organization_id = $1 AND m.user_id = $3 AND {_LIVE}",
            organization_id,
            at,
            user_id,
        )
        return None if row is None else _member(row)

    async def members(
        self, organization_id: str, *, after: tuple[datetime, str], at: datetime, limit: int
    ) -> list[Member]:
        """Members in the order of joining, after that position."""
        rows = await self._database.fetch(
            f"""
            {_MEMBER}
            WHERE m.organization_id = $1 AND {_LIVE} AND (m.joined_at, m.user_id) > ($3, $4)
            ORDER BY m.joined_at, m.user_id LIMIT $5
            """,
            organization_id,
            at,
            *after,
            limit,
        )
        return [_member(row) for row in rows]

    async def add(
        self, organization_id: str, user_id: str, role: str, *, expires_at: datetime | None, at: datetime
    ) -> None:
        """Somebody joins who is not a member, not even an expired one."""
        await self._database.execute(
            """
            INSERT INTO memberships (organization_id, user_id, role, expires_at, joined_at) VALUES ($1, $2, $3, $4, $5)
            """,
            organization_id,
            user_id,
            role,
            expires_at,
            at,
        )

    async def change(self, organization_id: str, user_id: str, *, role: str, expires_at: datetime | None) -> None:
        """Of an organisation that is locked."""
        await self._database.execute(
            """
            UPDATE memberships SET role = $3, expires_at = $4, version = version + 1
            WHERE organization_id = $1 AND user_id = $2
            """,
            organization_id,
            user_id,
            role,
            expires_at,
        )

    async def remove(self, organization_id: str, user_id: str) -> None:
        """Takes a member out, and out of teams and offers of ownership with it."""
        await self._database.execute(
            "DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2", organization_id, user_id
        )

    async def lasting_owner(self, organization_id: str, *, but: str = "") -> str | None:
        """The owner of longest standing whose membership has no end, `but` this one aside. There always is one."""
        found: str | None = await self._database.fetchval(
            """
            SELECT user_id FROM memberships
            WHERE organization_id = $1 AND role = 'owner' AND expires_at IS NULL AND user_id <> $2
            ORDER BY joined_at, user_id LIMIT 1
            """,
            organization_id,
            but,
        )
        return found

    async def address(self, user_id: str) -> str:
        """A user's address, for sending, if it is proved; "" otherwise."""
        found: str | None = await self._database.fetchval(
            "SELECT email FROM users WHERE id = $1 AND email_verified_at IS NOT NULL", user_id
        )
        return found or ""

    async def hold_address(self, user_id: str) -> str:
        """A user's address, for comparing, if it is proved, which it is until this transaction ends; "" otherwise.

        Comes before the organisation is locked.
        """
        found: str | None = await self._database.fetchval(
            "SELECT email_key FROM users WHERE id = $1 AND email_verified_at IS NOT NULL FOR SHARE", user_id
        )
        return found or ""

    # ---- memberships that have ended by themselves --------------------------------------------------------------

    async def organizations_with_expired(self, *, at: datetime, limit: int) -> list[str]:
        """Ids of organisations in which memberships have expired and were not taken out yet."""
        rows = await self._database.fetch(
            "SELECT DISTINCT organization_id FROM memberships WHERE expires_at <= $1 LIMIT $2", at, limit
        )
        return [row[0] for row in rows]

    async def expired(self, organization_id: str, *, at: datetime, limit: int, user_id: str | None = None) -> list[str]:
        """Users whose membership has expired; this one only, if given."""
        rows = await self._database.fetch(
            """
            SELECT user_id FROM memberships
            WHERE organization_id = $1 AND expires_at <= $2 AND ($4::text IS NULL OR user_id = $4)
            ORDER BY expires_at LIMIT $3
            """,
            organization_id,
            at,
            limit,
            user_id,
        )
        return [row[0] for row in rows]

    # ---- what other services ask --------------------------------------------------------------------------------

    async def look_up(self, organization_id: str, ids: Sequence[str], *, at: datetime) -> list[tuple[str, str]]:
        """Those of these ids that belong to the organisation: users, teams, service accounts, with their names."""
        rows = await self._database.fetch(
            f"""
            SELECT m.user_id, u.display_name FROM memberships AS m JOIN users AS u ON u.id = m.user_id
            WHERE m.organization_id = $1 AND m.user_id = ANY($3::text[]) AND {_LIVE}
            UNION ALL
            SELECT id, name FROM teams WHERE organization_id = $1 AND id = ANY($3::text[])
            UNION ALL
            SELECT id, name FROM service_accounts
            WHERE organization_id = $1 AND id = ANY($3::text[]) AND deleted_at IS NULL
            """,  # noqa: S608
            organization_id,
            at,
            list(ids),
        )
        return [(row[0], row[1]) for row in rows]


def _member(row: Row) -> Member:
    user_id, display_name, email, role, permissions, joined_at, expires_at, version = row
    return Member(user_id, display_name, email, role, tuple(permissions or ()), joined_at, expires_at, version)
