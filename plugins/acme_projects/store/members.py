"""The tables of project members: who is one, who joined by which invitation, and who has left an organisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from acme import Row, Scope, Statements
from acme.contracts.projects.v1 import Project, ProjectMember
from acme_projects.store.access import WIDTH, bound, within
from acme_projects.store.projects import NAMES, project_of

_MEMBER: Final = "project_id, subject_id, role, joined_at, version"
_ALLOWED: Final = 5
_SEEN: Final = _ALLOWED + WIDTH

# The f-strings below hold constants of this package only, hence the noqa marks.
_LIST: Final = f"""
WITH project AS (
    SELECT p.id, {within(_ALLOWED)} AS allowed FROM projects AS p
    WHERE p.id = $1 AND p.deleted_at IS NULL AND ({within(_ALLOWED)} OR {within(_SEEN)})
)
SELECT project.allowed, listed.* FROM project LEFT JOIN LATERAL (
    SELECT {_MEMBER} FROM project_members AS m
    WHERE m.project_id = project.id AND project.allowed AND (m.joined_at, m.subject_id) > ($2, $3)
    ORDER BY m.joined_at, m.subject_id LIMIT $4
) AS listed ON true
ORDER BY listed.joined_at, listed.subject_id
"""  # noqa: S608
_GET: Final = f"SELECT {_MEMBER} FROM project_members WHERE project_id = $1 AND subject_id = $2"  # noqa: S608
_ROLES: Final = "SELECT role FROM project_members WHERE project_id = $1 AND subject_id = ANY($2::text[])"
_ADD: Final = f"""
INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
SELECT id, $2, organization_id, $3, $4, 1 FROM projects WHERE id = $1
ON CONFLICT (project_id, subject_id) DO NOTHING
RETURNING {_MEMBER}
"""  # noqa: S608
_SET_ROLE: Final = f"""
UPDATE project_members SET role = $3, version = version + 1 WHERE project_id = $1 AND subject_id = $2 RETURNING {_MEMBER}
"""  # noqa: S608
_REMOVE: Final = "DELETE FROM project_members WHERE project_id = $1 AND subject_id = $2"
_JOINED: Final = """
INSERT INTO project_joins (project_id, invitation_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true
"""
_LEFT: Final = """
SELECT project_id FROM project_members
WHERE subject_id = $1 AND organization_id = $2 AND joined_at <= $3 AND (role <> 'owner' OR $4)
ORDER BY project_id LIMIT $5
"""
_LOCK_ALL: Final = "SELECT FROM projects WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"
_REMOVE_ALL: Final = """
DELETE FROM project_members
WHERE project_id = ANY($1::text[]) AND subject_id = $2 AND joined_at <= $3 AND (role <> 'owner' OR $4)
RETURNING project_id, role
"""
_INHERIT: Final = f"""
WITH inherited AS (
    UPDATE projects SET owner_id = $2, updated_at = $3, version = version + 1 WHERE id = ANY($1::text[]) RETURNING *
), made AS (
    INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
    SELECT id, $2, organization_id, 'owner', $3, 1 FROM inherited
    ON CONFLICT (project_id, subject_id) DO UPDATE SET role = 'owner', version = project_members.version + 1
)
SELECT {NAMES} FROM inherited AS p ORDER BY p.id
"""  # noqa: S608


class Page(NamedTuple):
    """Members of a project that the caller may see."""

    allowed: bool
    """False: it may not see its members; then there are none."""
    members: list[ProjectMember]


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of some projects that somebody left."""

    projects: tuple[str, ...]
    """Of which it was a member."""
    inherited: tuple[Project, ...]
    """Those of them that it owned, and somebody else does now."""
    more: bool
    """Whether there may be others that it has not left yet."""


class MemberStore:
    """The tables `project_members` and `project_joins`. Whoever changes them has locked the project."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def page(
        self, project_id: str, *, allowed: Scope, seen: Scope, after: tuple[datetime, str], limit: int
    ) -> Page | None:
        """Members after a position, in the order of joining; `None` when the project is in neither scope."""
        rows = await self._database.fetch(_LIST, project_id, *after, limit, *bound(allowed), *bound(seen))
        if not rows:
            return None
        return Page(rows[0]["allowed"], [_member(list(row)[1:]) for row in rows if row["subject_id"] is not None])

    async def get(self, project_id: str, subject_id: str) -> ProjectMember | None:
        """One direct member."""
        row = await self._database.fetchrow(_GET, project_id, subject_id)
        return None if row is None else _member(row)

    async def roles(self, project_id: str, subjects: Sequence[str]) -> list[str]:
        """The roles that these have on a project."""
        return [row[0] for row in await self._database.fetch(_ROLES, project_id, subjects)]

    async def add(self, project_id: str, subject_id: str, role: str, *, at: datetime) -> ProjectMember | None:
        """Adds a member; `None` when it is one already."""
        row = await self._database.fetchrow(_ADD, project_id, subject_id, role, at)
        return None if row is None else _member(row)

    async def set_role(self, project_id: str, subject_id: str, role: str) -> ProjectMember | None:
        """Gives a member another role; `None` when it is no member."""
        row = await self._database.fetchrow(_SET_ROLE, project_id, subject_id, role)
        return None if row is None else _member(row)

    async def remove(self, project_id: str, subject_id: str) -> None:
        """Removes a member, if it is one."""
        await self._database.execute(_REMOVE, project_id, subject_id)

    async def use(self, project_id: str, invitation_id: str) -> bool:
        """Notes that an invitation was accepted; false when it was noted before."""
        return await self._database.fetchval(_JOINED, project_id, invitation_id) is not None

    async def leave(
        self, organization_id: str, subject_id: str, *, left_at: datetime, heir: str, at: datetime, limit: int
    ) -> Departure:
        """Takes somebody out of up to `limit` projects of an organisation of which it was a member when it left. What it
        owned goes to the heir; without one ("") it stays as it is."""
        owned = bool(heir)
        rows = await self._database.fetch(_LEFT, subject_id, organization_id, left_at, owned, limit)
        projects = [row[0] for row in rows]
        if not projects:
            return Departure((), (), False)
        await self._database.fetch(_LOCK_ALL, projects)
        gone = await self._database.fetch(_REMOVE_ALL, projects, subject_id, left_at, owned)
        orphans = [row["project_id"] for row in gone if row["role"] == "owner"]
        inherited = await self._database.fetch(_INHERIT, orphans, heir, at) if orphans else ()
        left = tuple(sorted(row["project_id"] for row in gone))
        return Departure(left, tuple(map(project_of, inherited)), len(projects) == limit)


def _member(row: Row | Sequence[object]) -> ProjectMember:
    return ProjectMember(**dict(zip(_MEMBER.split(", "), row, strict=True)))
