"""All SQL of the projects service.

Who may see a project is part of every statement: `owner` is the predicate that `authorise.scope` gave. A project that is
not the owner's is not found, and nothing tells it from one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from acme import Row, Statements
from acme.contracts.projects.v1 import Project

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
)
"""Columns of the table, which are the fields of `Project` by the same names."""

FIRST: Final = "~"
"""The position before the newest project: it sorts after every id."""

_NAMES: Final = ", ".join(COLUMNS)
_PLACES: Final = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))

# The f-strings below hold constants of this module only, hence the noqa marks.
_INSERT: Final = f"INSERT INTO projects ({_NAMES}) VALUES ({_PLACES})"  # noqa: S608
_GET: Final = f"SELECT {_NAMES} FROM projects WHERE id = $1 AND owner_id = $2"  # noqa: S608
_LIST: Final = f"SELECT {_NAMES} FROM projects WHERE owner_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"  # noqa: S608
# One round trip that locks, decides, writes and shows the outcome: the row as it is now, and whether this made it so.
_CHANGE: Final = f"""
WITH found AS (
    {_GET} FOR UPDATE
), wanted AS (
    SELECT id,
           coalesce($4, name) AS name,
           coalesce($5, description) AS description,
           coalesce($6::jsonb, labels) AS labels,
           coalesce($7, archived) AS archived
    FROM found
    WHERE ($3::bigint IS NULL OR version = $3)
      AND (NOT archived OR $7 IS NOT NULL)
      AND (coalesce($4, name), coalesce($5, description), coalesce($6::jsonb, labels), coalesce($7, archived))
          IS DISTINCT FROM (name, description, labels, archived)
), changed AS (
    UPDATE projects AS project
    SET name = wanted.name, description = wanted.description, labels = wanted.labels, archived = wanted.archived,
        updated_at = $8, version = project.version + 1
    FROM wanted
    WHERE project.id = wanted.id
    RETURNING project.*
)
SELECT {_NAMES}, true AS changed FROM changed
UNION ALL
SELECT {_NAMES}, false FROM found WHERE NOT EXISTS (SELECT FROM changed)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Change:
    """What to set; `None` leaves a column as it is."""

    name: str | None = None
    description: str | None = None
    labels: Mapping[str, str] | None = None
    archived: bool | None = None
    """Only a change of this is let through to an archived project."""


class Outcome(NamedTuple):
    """What a change came to."""

    project: Project
    """As it is now."""
    changed: bool
    """False: the version was another one, the project is archived, or it already was as wanted."""


class Store:
    """The table `projects`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def insert(self, project: Project) -> None:
        """Keeps a new project."""
        await self._database.execute(_INSERT, *[getattr(project, name) for name in COLUMNS])

    async def get(self, project_id: str, *, owner: str) -> Project | None:
        """One project of this owner."""
        row = await self._database.fetchrow(_GET, project_id, owner)
        return None if row is None else _project(row)

    async def list(self, *, owner: str, before: str, limit: int) -> list[Project]:
        """Projects of this owner that are older than the one with the id `before`, newest first."""
        return [_project(row) for row in await self._database.fetch(_LIST, owner, before, limit)]

    async def change(
        self, project_id: str, change: Change, *, owner: str, version: int | None, at: datetime
    ) -> Outcome | None:
        """Changes a project of this owner, and locks it until the transaction ends; `None` when there is none.

        It is changed only if it has this `version` (any, when `None`), is not archived (or `archived` is what changes)
        and is not already as wanted; then its version grows and `at` becomes its `updated_at`.
        """
        wanted = (change.name, change.description, change.labels, change.archived)
        row = await self._database.fetchrow(_CHANGE, project_id, owner, version, *wanted, at)
        return None if row is None else Outcome(_project(row), row["changed"])


def _project(row: Row) -> Project:
    return Project(**dict(zip(COLUMNS, row, strict=False)))  # a change's row has one column more
