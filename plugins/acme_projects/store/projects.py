"""The table `projects`, one row at a time. Lists are in `lists.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Row, Scope, Statements
from acme.contracts.projects.v1 import Project
from acme_projects.store.access import WIDTH, bound, within

COLUMNS: Final = (
    "id",
    "organization_id",
    "owner_id",
    "name",
    "description",
    "labels",
    "archived",
    "region",
    "created_at",
    "updated_at",
    "version",
    "deleted_at",
)
"""Columns of the table, which are the fields of `Project` by the same names."""

NAMES: Final = ", ".join(f"p.{name}" for name in COLUMNS)
"""The same, of a project `p`."""

_PLACES: Final = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
_ALLOWED: Final = 3
_SEEN: Final = _ALLOWED + WIDTH

# The f-strings below hold constants of this package only, hence the noqa marks.
_INSERT: Final = f"""
WITH made AS (
    INSERT INTO projects ({", ".join(COLUMNS)}) VALUES ({_PLACES}) RETURNING *
)
INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
SELECT id, owner_id, organization_id, 'owner', created_at, 1 FROM made
"""  # noqa: S608
_VISIBLE: Final = f"""
SELECT {NAMES} FROM projects AS p
WHERE p.id = ANY($1::text[])
  AND CASE WHEN p.deleted_at IS NULL THEN {within(_ALLOWED)} ELSE p.purge_at > $2 AND {within(_SEEN)} END
"""  # noqa: S608
_LOCK: Final = "SELECT FROM projects WHERE id = $1 FOR NO KEY UPDATE"
_STANDING: Final = f"""
SELECT {NAMES}, {within(_ALLOWED)} AS allowed,
       ARRAY(SELECT m.role FROM project_members AS m
             WHERE m.project_id = p.id AND m.subject_id = ANY(${_ALLOWED + 2}::text[])) AS roles
FROM projects AS p
WHERE p.id = $1
  AND CASE WHEN p.deleted_at IS NULL THEN {within(_ALLOWED)} OR {within(_SEEN)}
           ELSE p.purge_at > $2 AND {within(_ALLOWED)} END
"""  # noqa: S608
_WRITE: Final = f"""
UPDATE projects AS p
SET owner_id = $2, name = $3, description = $4, labels = $5, archived = $6, updated_at = $7, deleted_at = $8,
    purge_at = $9, version = version + 1
WHERE id = $1
RETURNING {NAMES}
"""  # noqa: S608
_PURGE: Final = """
DELETE FROM projects
WHERE id IN (SELECT id FROM projects WHERE purge_at <= $1 ORDER BY purge_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id, organization_id
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A project that the caller may see, and what it may do to it."""

    project: Project
    allowed: bool
    """Whether the permission that was asked for is among it."""
    roles: tuple[str, ...]
    """Its own roles on the project, and those of its teams. Its organisation may give it more."""


class ProjectStore:
    """The table `projects`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def insert(self, project: Project) -> None:
        """Keeps a new project, with its owner as the first member."""
        await self._database.execute(_INSERT, *[getattr(project, name) for name in COLUMNS])

    async def visible(self, ids: Sequence[str], *, read: Scope, deleted: Scope, at: datetime) -> list[Project]:
        """Those of these projects that are in the scope `read`, and deleted ones in the scope `deleted`; in no order."""
        rows = await self._database.fetch(_VISIBLE, ids, at, *bound(read), *bound(deleted))
        return [project_of(row) for row in rows]

    async def lock(self, project_id: str) -> None:
        """Waits until no other transaction changes the project or its members, and keeps others from it until this one ends.

        A statement of its own: what is decided next has to see what the others did.
        """
        await self._database.fetchrow(_LOCK, project_id)

    async def standing(self, project_id: str, *, allowed: Scope, seen: Scope, at: datetime) -> Standing | None:
        """What the caller may do to a project; `None` when it is in neither scope, or deleted and not in `allowed`."""
        row = await self._database.fetchrow(_STANDING, project_id, at, *bound(allowed), *bound(seen))
        return None if row is None else Standing(project_of(row), row["allowed"], tuple(row["roles"]))

    async def write(self, project: Project, *, at: datetime, purge_at: datetime | None = None) -> Project:
        """Changes a project that is locked into this one, as of `at`; its version grows."""
        values = (project.owner_id, project.name, project.description, project.labels, project.archived)
        row = await self._database.fetchrow(_WRITE, project.id, *values, at, project.deleted_at, purge_at)
        if row is None:
            raise LookupError(f"{project.id} is gone, although it was locked")
        return project_of(row)

    async def organization(self, project_id: str) -> str | None:
        """The organisation of a project, for services that may see them all; `None` when there is no such project."""
        found: str | None = await self._database.fetchval(
            "SELECT organization_id FROM projects WHERE id = $1", project_id
        )
        return found

    async def purge(self, *, at: datetime, limit: int) -> list[tuple[str, str]]:
        """Deletes for good, with all that hangs on them, up to `limit` projects whose time is over. Returns id and
        organisation of each."""
        return [(row[0], row[1]) for row in await self._database.fetch(_PURGE, at, limit)]


def project_of(row: Row) -> Project:
    """The project whose columns a row begins with."""
    return Project(**dict(zip(COLUMNS, row, strict=False)))
