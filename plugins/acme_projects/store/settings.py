"""Settings of projects, their versions, and the schemas declared for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from acme import Statements


@dataclass(frozen=True, slots=True)
class Version:
    """A row of `settings_versions`."""

    version: int
    settings: dict[str, Any]
    updated_at: datetime | None
    updated_by: str


NONE: Final = Version(0, {}, None, "")
"""What a project has before the first change."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A row of `settings_schemas`."""

    schema: dict[str, Any]
    version: int


class SettingsStore:
    """The tables `settings_versions`, `settings_schemas` and `plugin_settings_schemas`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def current(self, project_id: str) -> Version | None:
        """The youngest version."""
        versions = await self.history(project_id, before=None, limit=1)
        return versions[0] if versions else None

    async def history(self, project_id: str, *, before: int | None, limit: int) -> list[Version]:
        """Versions below `before` (any, when `None`), youngest first."""
        rows = await self._database.fetch(
            """
            SELECT version, settings, updated_at, updated_by FROM settings_versions
            WHERE project_id = $1 AND ($2::bigint IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
            """,
            project_id,
            before,
            limit,
        )
        return [Version(*row) for row in rows]

    async def add(self, project_id: str, version: Version, *, keep: int) -> None:
        """Adds the youngest version, and deletes those beyond the youngest `keep`."""
        await self._database.execute(
            """
            WITH old AS (DELETE FROM settings_versions WHERE project_id = $1 AND version <= $2 - $6::bigint)
            INSERT INTO settings_versions (project_id, version, settings, updated_at, updated_by)
            VALUES ($1, $2, $3, $4, $5)
            """,
            project_id,
            version.version,
            version.settings,
            version.updated_at,
            version.updated_by,
            keep,
        )

    async def schema(self, organization_id: str) -> Schema | None:
        """What the organisation has declared."""
        row = await self._database.fetchrow(
            "SELECT schema, version FROM settings_schemas WHERE organization_id = $1", organization_id
        )
        return None if row is None else Schema(*row)

    async def set_schema(
        self, organization_id: str, schema: dict[str, Any], *, version: int | None, at: datetime, by: str
    ) -> Schema | None:
        """Declares a schema, if the one of before has this `version` (any, when `None`; 0: there is none)."""
        row = await self._database.fetchrow(
            """
            INSERT INTO settings_schemas AS known (organization_id, schema, version, updated_at, updated_by)
            SELECT $1, $2, 1, $4, $5
            WHERE coalesce($3::bigint, 0) = 0
               OR EXISTS (SELECT FROM settings_schemas WHERE organization_id = $1)
            ON CONFLICT (organization_id) DO UPDATE
                SET schema = excluded.schema, version = known.version + 1, updated_at = $4, updated_by = $5
                WHERE $3::bigint IS NULL OR known.version = $3
            RETURNING schema, version
            """,
            organization_id,
            schema,
            version,
            at,
            by,
        )
        return None if row is None else Schema(*row)

    async def declare(self, plugin: str, schema: dict[str, Any], *, at: datetime) -> None:
        """Keeps the schema of a plugin's own member."""
        await self._database.execute(
            """
            INSERT INTO plugin_settings_schemas AS known (plugin, schema, declared_at) VALUES ($1, $2, $3)
            ON CONFLICT (plugin) DO UPDATE SET schema = excluded.schema, declared_at = excluded.declared_at
                WHERE known.schema <> excluded.schema
            """,
            plugin,
            schema,
            at,
        )

    async def plugin_schemas(self) -> Mapping[str, dict[str, Any]]:
        """Plugin → schema of the member with its name."""
        rows = await self._database.fetch("SELECT plugin, schema FROM plugin_settings_schemas ORDER BY plugin")
        return {row[0]: row[1] for row in rows}
