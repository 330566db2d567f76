"""What a subject may do where: its memberships, as verifiers of access tokens ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Statements

_RANKS: Final = {role: rank for rank, role in enumerate(("guest", "viewer", "member", "admin", "owner"))}
_EVERYWHERE: Final = ("owner", "admin")
"""Roles that reach all resources of an organisation, whatever its default role is."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a subject is in one organisation."""

    organization_id: str
    role: str
    """Built in, or the id of a custom one."""
    permissions: tuple[str, ...]
    """Of a custom role."""
    default_role: str
    teams: tuple[str, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Grants:
    """The memberships of one moment, in the order of joining."""

    grants: tuple[Grant, ...]
    sequence: int
    """Number of the last change of the feed that they include."""


class GrantStore:
    """What the tables of memberships come to."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def grants(self, subject: str, *, at: datetime) -> Grants:
        """The memberships of a user that have not expired, and where the feed stood: one statement, so one moment."""
        rows = await self._database.fetch(
            """
            SELECT a.last_sequence, m.organization_id, m.role
            FROM authority AS a LEFT JOIN memberships AS m ON m.user_id = $1
            ORDER BY m.joined_at, m.organization_id
            """,
            subject,
        )
        return Grants(
            tuple(
                Grant(organization_id, role, (), default_role(role, "viewer"), (), None)
                for _, organization_id, role in rows
                if organization_id is not None
            ),
            rows[0][0],
        )


def default_role(role: str, organization: str) -> str:
    """The role that a membership gives on resources with members of their own, in an organisation with this default."""
    if role in _EVERYWHERE:
        return role
    if role not in _RANKS or role == "guest" or organization not in _RANKS:
        return ""
    return min(role, organization, key=_RANKS.__getitem__)
