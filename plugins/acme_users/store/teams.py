"""Teams, and who is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from acme import Statements

# The f-strings below hold constants of this module only, hence the noqa marks.
_COLUMNS: Final = "id, organization_id, name, description, created_at, updated_at, version"
_MEMBERS: Final = """
    SELECT t.team_id, t.user_id, u.display_name, t.joined_at
    FROM team_members AS t
    JOIN memberships AS m ON m.user_id = t.user_id AND m.organization_id = t.organization_id
    JOIN users AS u ON u.id = t.user_id
    WHERE t.team_id = $1 AND (m.expires_at IS NULL OR m.expires_at > $2)
"""


@dataclass(frozen=True, slots=True)
class Team:
    """A row of `teams`."""

    id: str
    organization_id: str
    name: str
    description: str
    created_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class TeamMember:
    """A row of `team_members`, with what its user is called."""

    team_id: str
    user_id: str
    display_name: str = field(repr=False)
    joined_at: datetime


class TeamStore:
    """The tables `teams` and `team_members`, in organisations that are locked where something changes."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add(self, team: Team) -> None:
        await self._database.execute(
            """
            INSERT INTO teams (id, organization_id, name, description, created_at, updated_at, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            team.id,
            team.organization_id,
            team.name,
            team.description,
            team.created_at,
            team.updated_at,
            team.version,
        )

    async def count(self, organization_id: str) -> int:
        number: int = await self._database.fetchval(
            "SELECT count(*) FROM teams WHERE organization_id = $1", organization_id
        )
        return number

    async def team(self, organization_id: str, team_id: str) -> Team | None:
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM teams WHERE organization_id = $1 AND id = $2",  # noqa: S608
            organization_id,
            team_id,
        )
        return None if row is None else Team(*row)

    async def teams(self, organization_id: str, *, after: str, limit: int) -> list[Team]:
        """Oldest first, after that id."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM teams WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3",  # noqa: S608
            organization_id,
            after,
            limit,
        )
        return [Team(*row) for row in rows]

    async def change(self, team_id: str, *, name: str, description: str, at: datetime) -> None:
        await self._database.execute(
            "UPDATE teams SET name = $2, description = $3, updated_at = $4, version = version + 1 WHERE id = $1",
            team_id,
            name,
            description,
            at,
        )

    async def delete(self, team_id: str) -> None:
        """With its members' places in it."""
        await self._database.execute("DELETE FROM teams WHERE id = $1", team_id)

    # ---- who is in them -----------------------------------------------------------------------------------------

    async def members(self, team_id: str, *, after: tuple[datetime, str], at: datetime, limit: int) -> list[TeamMember]:
        """In the order of joining, after that position."""
        rows = await self._database.fetch(
            f"{_MEMBERS} AND (t.joined_at, t.user_id) > ($3, $4) ORDER BY t.joined_at, t.user_id LIMIT $5",
            team_id,
            at,
            *after,
            limit,
        )
        return [TeamMember(*row) for row in rows]

    async def member(self, team_id: str, user_id: str, *, at: datetime) -> TeamMember | None:
        row = await self._database.fetchrow(f"{_MEMBERS} AND t.user_id = $3", team_id, at, user_id)
        return None if row is None else TeamMember(*row)

    async def join(self, team: Team, user_id: str, *, at: datetime) -> bool:
        """Whether a member of the organisation was not in the team before."""
        joined = await self._database.fetchval(
            """
            INSERT INTO team_members (team_id, user_id, organization_id, joined_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING true
            """,
            team.id,
            user_id,
            team.organization_id,
            at,
        )
        return joined is not None

    async def leave(self, team_id: str, user_id: str) -> None:
        await self._database.execute("DELETE FROM team_members WHERE team_id = $1 AND user_id = $2", team_id, user_id)
