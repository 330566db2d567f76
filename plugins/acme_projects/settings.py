"""Settings of projects: one JSON object each, changed by merge patches, kept to the schemas that were declared for it.

The member with a plugin's name is that plugin's, by the schema it declared at its start. All other members are the
organisation's: one schema for all its projects, or none. A schema that changes alters no settings; the next change has to
come out right.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgspec

from acme import Clock, Fault, Invalid, Pages, Stale, authorise, current, events, page_size
from acme.contracts.google.protobuf import Struct
from acme.contracts.projects.v1 import (
    DeclareSettingsReply,
    DeclareSettingsRequest,
    GetProjectSettingsRequest,
    GetSettingsSchemaRequest,
    ListProjectSettingsHistoryReply,
    ListProjectSettingsHistoryRequest,
    ProjectSettingsBase,
    ProjectSettingsUpdated,
    SetSettingsSchemaRequest,
    Settings,
    SettingsSchema,
    UpdateProjectSettingsRequest,
)
from acme_projects import schemas
from acme_projects.access import Access, check_version
from acme_projects.store.settings import NONE, Schema, SettingsStore, Version

KEPT: Final = 100
"""Versions of a project's settings that can be read again."""
DEEPEST: Final = 32
"""Levels of objects and arrays in settings."""


class ProjectSettings(ProjectSettingsBase):
    """Keeps the contract `acme.projects.v1.ProjectSettings`."""

    def __init__(self, store: SettingsStore, access: Access, clock: Clock, pages: Pages) -> None:
        self._store, self._access, self._clock, self._pages = store, access, clock, pages

    async def get_project_settings(self, message: GetProjectSettingsRequest) -> Settings:
        """Raises `NotFound` and `Denied` as `Access` does."""
        await self._access.look(message.project_id, "projects.settings.read")
        return _settings(await self._store.current(message.project_id) or NONE)

    async def update_project_settings(self, message: UpdateProjectSettingsRequest) -> Settings:
        """Merges the patch. One that changes nothing makes no version.

        Raises:
            NotFound, Denied, Conflict: as `Access` does.
            Stale: the settings have another version than `if_match`.
            Invalid: what comes out is too large, too deep, or breaks a schema; faults point into the patch.
        """
        standing = await self._access.hold(message.project_id, "projects.settings.update")
        before = await self._store.current(message.project_id) or NONE
        check_version(message.if_match, before.version, "settings object")
        wanted = schemas.merged(before.settings, _plain(message.patch))
        if wanted == before.settings:
            return _settings(before)
        await self._check(wanted, standing.project.organization_id)
        now = self._clock.now()
        version = Version(before.version + 1, wanted, now, current().principal.id)
        await self._store.add(message.project_id, version, keep=KEPT)
        events.add(
            ProjectSettingsUpdated(
                project_id=message.project_id,
                version=version.version,
                updated_at=now,
                organization_id=standing.project.organization_id,
            )
        )
        return _settings(version)

    async def list_project_settings_history(
        self, message: ListProjectSettingsHistoryRequest
    ) -> ListProjectSettingsHistoryReply:
        """Raises `NotFound` and `Denied` as `Access` does, and `Malformed` for a page token of another list."""
        await self._access.look(message.project_id, "projects.settings.read")
        before, size = self._pages.open(message.page_token, message.project_id), page_size(message.page_size)
        versions = await self._store.history(message.project_id, before=before, limit=size + 1)
        more = len(versions) > size
        token = self._pages.seal(versions[size - 1].version, message.project_id) if more else ""
        return ListProjectSettingsHistoryReply(
            versions=[_settings(version) for version in versions[:size]], next_page_token=token
        )

    async def get_settings_schema(self, message: GetSettingsSchemaRequest) -> SettingsSchema:
        """Raises `NotFound` and `Denied` as `authorise` does."""
        authorise("projects.settings_schema.read", organization=message.organization_id)
        return _schema(message.organization_id, await self._store.schema(message.organization_id))

    async def set_settings_schema(self, message: SetSettingsSchemaRequest) -> SettingsSchema:
        """Declares what an organisation's settings keep to. An empty object takes the schema away.

        Raises:
            NotFound, Denied: as `authorise` does.
            Invalid: no JSON Schema, or one beyond the limits of `schemas.py`.
            Stale: the schema has another version than `if_match`.
        """
        authorise("projects.settings_schema.update", organization=message.organization_id)
        schema = _plain(message.schema)
        schemas.compiled(schema)
        declared = await self._store.set_schema(
            message.organization_id,
            schema,
            version=message.if_match,
            at=self._clock.now(),
            by=current().principal.id,
        )
        if declared is None:
            raise Stale(
                "The schema has another version: read it again, then repeat your change.", reason="version_mismatch"
            )
        return _schema(message.organization_id, declared)

    async def declare_settings(self, message: DeclareSettingsRequest) -> DeclareSettingsReply:
        """Keeps the schema of the plugin that calls. Raises `Invalid` as `set_settings_schema` does."""
        schema = _plain(message.schema)
        schemas.compiled(schema)
        await self._store.declare(current().service, schema, at=self._clock.now())
        return DeclareSettingsReply()

    async def _check(self, settings: dict[str, Any], organization_id: str) -> None:
        if len(msgspec.json.encode(settings)) > schemas.LARGEST:
            _refuse("", "settings_too_large", f"Settings have at most {schemas.LARGEST} bytes of JSON.")
        if _depth(settings) > DEEPEST:
            _refuse("", "settings_too_deep", f"Settings have at most {DEEPEST} levels.")
        found: list[Fault] = []
        own = dict(settings)
        for plugin, schema in (await self._store.plugin_schemas()).items():
            if plugin in own:
                found += schemas.faults(schemas.compiled(schema), own.pop(plugin), f"/{plugin}")
        declared = await self._store.schema(organization_id)
        if declared is not None:
            found += schemas.faults(schemas.compiled(declared.schema), own, "")
        if found:
            raise Invalid(
                "The settings would break the schemas that were declared for them.",
                reason="settings_schema",
                faults=found[: schemas.FAULTS],
            )


def _plain(value: Struct | None) -> dict[str, Any]:
    """A Struct as Python's own types; numbers are doubles, as in JavaScript."""
    plain: dict[str, Any] = (value or Struct()).to_dict()
    return plain


def _settings(version: Version) -> Settings:
    return Settings(
        settings=Struct.from_dict(version.settings),
        version=version.version,
        updated_at=version.updated_at,
        updated_by=version.updated_by,
    )


def _schema(organization_id: str, schema: Schema | None) -> SettingsSchema:
    if schema is None:
        return SettingsSchema(organization_id=organization_id, schema=Struct())
    return SettingsSchema(
        organization_id=organization_id, schema=Struct.from_dict(schema.schema), version=schema.version
    )


def _depth(value: object) -> int:
    """Levels of objects and arrays, level by level: settings may be deeper than Python's stack."""
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, dict | list)]:
        levels += 1
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return levels


def _refuse(pointer: str, reason: str, why: str) -> NoReturn:
    raise Invalid(why, reason=reason, faults=[Fault(pointer, reason, why)])
