"""What a subject may do where: its memberships, as verifiers of access tokens ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Statements

_RANKS: Final = {role: rank for rank, role in enumerate(("guest", "viewer", "member", "admin", "owner"))}
_EVERYWHERE: Final = ("owner", "admin")
"""Roles that reach all resources of an organisation, whatever its default role is."""

_MEMBERSHIPS: Final = """
    SELECT user_id AS subject, organization_id, role, custom_role, joined_at, expires_at FROM memberships
    WHERE user_id {subject} {within} AND (expires_at IS NULL OR expires_at > $2)
    UNION ALL
    SELECT id, organization_id, role, custom_role, created_at, NULL FROM service_accounts
    WHERE id {subject} {within} AND deleted_at IS NULL
"""
"""Of users and service accounts that have not ended at $2."""
_COLUMNS: Final = """m.organization_id, m.role, r.permissions, o.default_role, m.expires_at,
    (SELECT array_agg(t.team_id ORDER BY t.team_id) FROM team_members AS t
     WHERE t.user_id = m.subject AND t.organization_id = m.organization_id)"""
"""What a `Grant` is made of, of a membership and what is `_BESIDE` it."""
_BESIDE: Final = """
    LEFT JOIN organizations AS o ON o.id = m.organization_id
    LEFT JOIN roles AS r ON r.organization_id = m.organization_id AND r.id = m.custom_role
"""


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
        """The memberships of a user, or of a service account, that have not expired, and where the
        feed stood: one statement, so one moment."""
        rows = await self._database.fetch(
            f"""
            SELECT a.last_sequence, {_COLUMNS}
            FROM authority AS a
            LEFT JOIN LATERAL ({_MEMBERSHIPS.format(subject="= $1", within="")}) AS m ON true
            {_BESIDE}
            ORDER BY m.joined_at, m.organization_id
            """,  # noqa: S608 - of constants
            subject,
            at,
        )
        found = (_grant(*tuple(row)[1:]) for row in rows if row[1] is not None)
        return Grants(tuple(found), rows[0][0])

    async def within(self, organization_id: str, subjects: Sequence[str], *, at: datetime) -> dict[str, Grant]:
        """What each of these users and service accounts is in one organisation; those that are nothing there are left
        out."""
        rows = await self._database.fetch(
            f"""
            SELECT m.subject, {_COLUMNS}
            FROM ({_MEMBERSHIPS.format(subject="= ANY($1::text[])", within="AND organization_id = $3")}) AS m
            {_BESIDE}
            """,  # noqa: S608 - of constants
            list(subjects),
            at,
            organization_id,
        )
        return {row[0]: _grant(*tuple(row)[1:]) for row in rows}


def _grant(
    organization_id: str,
    role: str,
    permissions: list[str] | None,
    most: str,
    expires_at: datetime | None,
    teams: list[str] | None,
) -> Grant:
    default = default_role(role, most)
    return Grant(organization_id, role, tuple(permissions or ()), default, tuple(teams or ()), expires_at)


def default_role(role: str, organization: str) -> str:
    """The role that a membership gives on resources with members of their own, in an organisation with this default."""
    if role in _EVERYWHERE:
        return role
    if role not in _RANKS or role == "guest" or organization not in _RANKS:
        return ""
    return min(role, organization, key=_RANKS.__getitem__)
