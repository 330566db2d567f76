"""Custom roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Row, Statements

# The f-strings below hold constants of this module only, hence the noqa marks.
_COLUMNS: Final = "id, organization_id, name, permissions, created_at, updated_at, version"


@dataclass(frozen=True, slots=True)
class Role:
    """A row of `roles`."""

    id: str
    organization_id: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    version: int


class RoleStore:
    """The table `roles`, in organisations that are locked where something changes."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add(self, role: Role) -> None:
        await self._database.execute(
            """
            INSERT INTO roles (id, organization_id, name, permissions, created_at, updated_at, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            role.id,
            role.organization_id,
            role.name,
            list(role.permissions),
            role.created_at,
            role.updated_at,
            role.version,
        )

    async def count(self, organization_id: str) -> int:
        number: int = await self._database.fetchval(
            "SELECT count(*) FROM roles WHERE organization_id = $1", organization_id
        )
        return number

    async def role(self, organization_id: str, role_id: str) -> Role | None:
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM roles WHERE organization_id = $1 AND id = $2",  # noqa: S608
            organization_id,
            role_id,
        )
        return None if row is None else _role(row)

    async def roles(self, organization_id: str, *, after: str, limit: int) -> list[Role]:
        """Oldest first, after that id."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM roles WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3",  # noqa: S608
            organization_id,
            after,
            limit,
        )
        return [_role(row) for row in rows]

    async def change(self, role_id: str, *, name: str, permissions: Sequence[str], at: datetime) -> None:
        await self._database.execute(
            "UPDATE roles SET name = $2, permissions = $3, updated_at = $4, version = version + 1 WHERE id = $1",
            role_id,
            name,
            list(permissions),
            at,
        )

    async def in_use(self, organization_id: str, role_id: str, *, at: datetime) -> bool:
        """Whether somebody has the role, or is invited to have it. An expired membership is in the way until the job
        that takes it out has come by."""
        used: bool = await self._database.fetchval(
            """
            SELECT EXISTS (SELECT FROM memberships WHERE organization_id = $1 AND custom_role = $2)
                OR EXISTS (SELECT FROM service_accounts WHERE organization_id = $1 AND custom_role = $2)
                OR EXISTS (SELECT FROM invitations WHERE organization_id = $1 AND role = $2 AND expires_at > $3)
            """,
            organization_id,
            role_id,
            at,
        )
        return used

    async def delete(self, role_id: str) -> None:
        await self._database.execute("DELETE FROM roles WHERE id = $1", role_id)


def _role(row: Row) -> Role:
    role_id, organization_id, name, permissions, created_at, updated_at, version = row
    return Role(role_id, organization_id, name, tuple(permissions), created_at, updated_at, version)
