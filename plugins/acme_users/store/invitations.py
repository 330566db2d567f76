"""Invitations. Their tokens are stored as SHA-256, so that whoever reads the table cannot use them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from acme import Statements

# The f-strings below hold constants of this module only, hence the noqa marks.
_COLUMNS: Final = """
    id, organization_id, email, email_key, role, project_id, project_name, project_role, inviter_id, created_at, expires_at,
    membership_expires_at
"""

NEWEST_INVITATION: Final = "~"
"""The position before the youngest invitation: it sorts after every id."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A row of `invitations`, without its token."""

    id: str
    organization_id: str
    email: str = field(repr=False)
    """As it was typed, for sending."""
    email_key: str = field(repr=False)
    """For comparing."""
    role: str
    project_id: str
    project_name: str
    project_role: str
    inviter_id: str
    created_at: datetime
    expires_at: datetime
    membership_expires_at: datetime | None


class InvitationStore:
    """The table `invitations`, in organisations that are locked where something changes."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add(self, invitation: Invitation, digest: bytes) -> None:
        """In the place of another one of the same address to the same, whose token is void from now on."""
        await self._database.execute(
            """
            INSERT INTO invitations (id, organization_id, email, email_key, role, project_id, project_name, project_role,
                                     inviter_id, created_at, expires_at, membership_expires_at, digest)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            ON CONFLICT (organization_id, email_key, project_id) DO UPDATE
            SET id = excluded.id, email = excluded.email, role = excluded.role, project_name = excluded.project_name,
                project_role = excluded.project_role, inviter_id = excluded.inviter_id,
                created_at = excluded.created_at, expires_at = excluded.expires_at,
                membership_expires_at = excluded.membership_expires_at, digest = excluded.digest
            """,
            invitation.id,
            invitation.organization_id,
            invitation.email,
            invitation.email_key,
            invitation.role,
            invitation.project_id,
            invitation.project_name,
            invitation.project_role,
            invitation.inviter_id,
            invitation.created_at,
            invitation.expires_at,
            invitation.membership_expires_at,
            digest,
        )

    async def open(self, digest: bytes, *, at: datetime) -> Invitation | None:
        """The invitation of a token, unless it has expired."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM invitations WHERE digest = $1 AND expires_at > $2",  # noqa: S608
            digest,
            at,
        )
        return None if row is None else Invitation(*row)

    async def take(self, digest: bytes, *, at: datetime) -> Invitation | None:
        """The invitation of a token, unless it has expired, which is used up now: whoever comes next gets nothing."""
        row = await self._database.fetchrow(
            f"DELETE FROM invitations WHERE digest = $1 AND expires_at > $2 RETURNING {_COLUMNS}",  # noqa: S608
            digest,
            at,
        )
        return None if row is None else Invitation(*row)

    async def invitation(self, organization_id: str, invitation_id: str, *, at: datetime) -> Invitation | None:
        """One that is open."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM invitations WHERE organization_id = $1 AND id = $2 AND expires_at > $3",  # noqa: S608
            organization_id,
            invitation_id,
            at,
        )
        return None if row is None else Invitation(*row)

    async def invitations(self, organization_id: str, *, before: str, at: datetime, limit: int) -> list[Invitation]:
        """Those that are open, newest first, from the first one whose id is below `before`."""
        rows = await self._database.fetch(
            f"""
            SELECT {_COLUMNS} FROM invitations
            WHERE organization_id = $1 AND id < $2 AND expires_at > $3
            ORDER BY id DESC LIMIT $4
            """,  # noqa: S608
            organization_id,
            before,
            at,
            limit,
        )
        return [Invitation(*row) for row in rows]

    async def others(self, invitation: Invitation, *, at: datetime) -> int:
        """How many others are open in the organisation, those aside that this one takes the place of."""
        number: int = await self._database.fetchval(
            """
            SELECT count(*) FROM invitations
            WHERE organization_id = $1 AND expires_at > $2 AND (email_key, project_id) <> ($3, $4)
            """,
            invitation.organization_id,
            at,
            invitation.email_key,
            invitation.project_id,
        )
        return number

    async def renew(self, invitation_id: str, digest: bytes, *, inviter_id: str, expires_at: datetime) -> None:
        """Another token, and another sender; the token of before is void."""
        await self._database.execute(
            "UPDATE invitations SET digest = $2, inviter_id = $3, expires_at = $4 WHERE id = $1",
            invitation_id,
            digest,
            inviter_id,
            expires_at,
        )

    async def delete(self, invitation_id: str) -> None:
        await self._database.execute("DELETE FROM invitations WHERE id = $1", invitation_id)

    async def purge(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` invitations that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM invitations WHERE id IN (
                SELECT id FROM invitations WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
