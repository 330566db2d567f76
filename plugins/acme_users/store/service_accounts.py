"""Programs that belong to organisations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from acme import Row, Statements
from acme_users.store.members import Standing


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A row of `service_accounts`, with what its role includes."""

    id: str
    organization_id: str
    name: str
    role: str
    permissions: tuple[str, ...]
    """Of a custom role."""
    created_at: datetime
    version: int
    deleted_at: datetime | None = None

    @property
    def standing(self) -> Standing:
        """What it is in its organisation."""
        return Standing(self.role, self.permissions)


class ServiceAccountStore:
    """The table `service_accounts`, in organisations that are locked where something changes."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add(self, account: ServiceAccount) -> None:
        await self._database.execute(
            """
            INSERT INTO service_accounts (id, organization_id, name, role, created_at, version)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            account.id,
            account.organization_id,
            account.name,
            account.role,
            account.created_at,
            account.version,
        )

    async def count(self, organization_id: str) -> int:
        """How many there are."""
        found: int = await self._database.fetchval(
            "SELECT count(*) FROM service_accounts WHERE organization_id = $1 AND deleted_at IS NULL", organization_id
        )
        return found

    async def account(self, organization_id: str, account_id: str) -> ServiceAccount | None:
        """One of an organisation's, perhaps a deleted one."""
        row = await self._database.fetchrow(
            """
            SELECT s.id, s.organization_id, s.name, s.role, r.permissions, s.created_at, s.version, s.deleted_at
            FROM service_accounts AS s
            LEFT JOIN roles AS r ON r.organization_id = s.organization_id AND r.id = s.custom_role
            WHERE s.organization_id = $1 AND s.id = $2
            """,
            organization_id,
            account_id,
        )
        return None if row is None else _account(row)

    async def accounts(self, organization_id: str, *, after: str, limit: int) -> list[ServiceAccount]:
        """Oldest first, after that id."""
        rows = await self._database.fetch(
            """
            SELECT id, organization_id, name, role, NULL, created_at, version, deleted_at FROM service_accounts
            WHERE organization_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3
            """,
            organization_id,
            after,
            limit,
        )
        return [_account(row) for row in rows]

    async def delete(self, account_id: str, *, at: datetime) -> None:
        """Marks it: a repeated deletion finds it so."""
        await self._database.execute(
            "UPDATE service_accounts SET deleted_at = $2, version = version + 1 WHERE id = $1", account_id, at
        )

    async def purge(self, *, deleted_by: datetime, limit: int) -> int:
        """Deletes up to `limit` that were deleted by then, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM service_accounts WHERE id IN (
                SELECT id FROM service_accounts WHERE deleted_at <= $1
                ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            deleted_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))


def _account(row: Row) -> ServiceAccount:
    account_id, organization_id, name, role, permissions, created_at, version, deleted_at = row
    return ServiceAccount(
        account_id, organization_id, name, role, tuple(permissions or ()), created_at, version, deleted_at
    )
