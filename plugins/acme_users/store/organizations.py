"""Organisations, and offers of their ownership."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Row, Statements

# The f-strings below hold constants of this module only, hence the noqa marks.
_COLUMNS: Final = """
    o.id, o.name, o.personal, o.region, o.created_at, o.version, o.default_role, coalesce(o.updated_at, o.created_at)
"""
_LIVE: Final = "(m.expires_at IS NULL OR m.expires_at > $2)"


@dataclass(frozen=True, slots=True)
class Organization:
    """A row of `organizations`."""

    id: str
    name: str
    personal: bool
    region: str
    created_at: datetime
    version: int
    default_role: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """An organisation, as one of its members sees it."""

    organization: Organization
    role: str
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """A row of `organization_transfers`."""

    organization_id: str
    from_user_id: str
    to_user_id: str
    expires_at: datetime


class OrganizationStore:
    """The tables `organizations` and `organization_transfers`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def create(self, organization: Organization, *, owner_id: str) -> None:
        """With its first member, who owns it."""
        await self._database.execute(
            """
            WITH organization AS (
                INSERT INTO organizations (id, name, personal, region, created_at, default_role)
                VALUES ($1, $2, false, $3, $4, $5)
            )
            INSERT INTO memberships (user_id, organization_id, role, joined_at) VALUES ($6, $1, 'owner', $4)
            """,
            organization.id,
            organization.name,
            organization.region,
            organization.created_at,
            organization.default_role,
            owner_id,
        )

    async def count(self, user_id: str, *, at: datetime) -> int:
        """How many a user belongs to."""
        number: int = await self._database.fetchval(
            f"SELECT count(*) FROM memberships AS m WHERE m.user_id = $1 AND {_LIVE}",  # noqa: S608
            user_id,
            at,
        )
        return number

    async def lock(self, organization_id: str) -> Organization | None:
        """The organisation, in which nobody else changes anything before this transaction ends.

        Ask for members and their roles in a later statement: this one may have waited, and sees all other rows as they
        were before.
        """
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM organizations AS o WHERE o.id = $1 FOR NO KEY UPDATE",  # noqa: S608
            organization_id,
        )
        return None if row is None else Organization(*row)

    async def organization(
        self, organization_id: str, user_id: str, *, at: datetime
    ) -> tuple[Organization, str] | None:
        """The organisation, and the role that a user has in it: "" for none."""
        row = await self._database.fetchrow(
            f"""
            SELECT {_COLUMNS}, coalesce(m.role, '')
            FROM organizations AS o
            LEFT JOIN memberships AS m ON m.organization_id = o.id AND m.user_id = $3 AND {_LIVE}
            WHERE o.id = $1
            """,  # noqa: S608
            organization_id,
            at,
            user_id,
        )
        return None if row is None else (Organization(*tuple(row)[:-1]), row[8])

    async def joined(self, user_id: str, *, after: tuple[datetime, str], at: datetime, limit: int) -> list[Joined]:
        """Organisations of a user in the order of joining, after that position."""
        rows = await self._database.fetch(
            f"""
            SELECT {_COLUMNS}, m.role, m.joined_at
            FROM memberships AS m JOIN organizations AS o ON o.id = m.organization_id
            WHERE m.user_id = $1 AND {_LIVE} AND (m.joined_at, m.organization_id) > ($3, $4)
            ORDER BY m.joined_at, m.organization_id LIMIT $5
            """,  # noqa: S608
            user_id,
            at,
            *after,
            limit,
        )
        return [_joined(row) for row in rows]

    async def change(self, organization_id: str, *, name: str, default_role: str, at: datetime) -> Organization:
        """Of an organisation that is locked."""
        row = await self._database.fetchrow(
            f"""
            UPDATE organizations AS o SET name = $2, default_role = $3, updated_at = $4, version = version + 1
            WHERE o.id = $1 RETURNING {_COLUMNS}
            """,  # noqa: S608
            organization_id,
            name,
            default_role,
            at,
        )
        if row is None:
            raise LookupError("there is no such organisation")
        return Organization(*row)

    # ---- offers of ownership ------------------------------------------------------------------------------------

    async def offer(self, offer: Offer) -> None:
        """In the place of another one of the same organisation, if there is one."""
        await self._database.execute(
            """
            INSERT INTO organization_transfers (organization_id, from_user_id, to_user_id, expires_at)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (organization_id) DO UPDATE
            SET from_user_id = excluded.from_user_id, to_user_id = excluded.to_user_id,
                expires_at = excluded.expires_at
            """,
            offer.organization_id,
            offer.from_user_id,
            offer.to_user_id,
            offer.expires_at,
        )

    async def offered(self, organization_id: str, *, at: datetime) -> Offer | None:
        """The offer that is open."""
        row = await self._database.fetchrow(
            """
            SELECT organization_id, from_user_id, to_user_id, expires_at
            FROM organization_transfers WHERE organization_id = $1 AND expires_at > $2
            """,
            organization_id,
            at,
        )
        return None if row is None else Offer(*row)

    async def withdraw(self, organization_id: str) -> None:
        """Deletes the offer, if there is one."""
        await self._database.execute("DELETE FROM organization_transfers WHERE organization_id = $1", organization_id)

    async def purge_offers(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` offers that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM organization_transfers WHERE organization_id IN (
                SELECT organization_id FROM organization_transfers WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))


def _joined(row: Row) -> Joined:
    *columns, role, joined_at = row
    return Joined(Organization(*columns), role, joined_at)
