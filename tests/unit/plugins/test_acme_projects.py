"""The declaration of the projects plugin, and its job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any, Final

import pytest
from acme_projects import plugin
from acme_projects.service import KEPT

from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    DeleteProjectRequest,
    GetProjectRequest,
    ProjectMembersBase,
    ProjectPurged,
    ProjectsBase,
    ProjectSettingsBase,
    ProjectsStub,
)
from acme.errors import NotFound
from acme.plugin import Job, Plugin
from acme.testing import Platform
from acme.testing.server import Server

TABLES: Final = ("projects", "project_members", "project_joins", "project_transfers", "settings_versions")


def test_the_platform_finds_it_by_its_name() -> None:
    (point,) = {point.value: point for point in entry_points(group="acme.plugins", name=plugin.name)}.values()
    assert point.load() is plugin


def test_it_keeps_its_contracts_and_brings_its_migrations() -> None:
    assert plugin.contracts == (ProjectsBase, ProjectMembersBase, ProjectSettingsBase)
    migrations = [entry.name for entry in files(plugin.package).joinpath("migrations").iterdir()]
    assert sorted(migrations) == ["0001_projects.sql", "0002_members.sql", "0003_settings.sql"]


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    (job,) = plugin.jobs
    return [replace(plugin, jobs=(Job(job.name, every=0.05, run=job.run),))]


async def test_deleted_projects_are_purged_after_thirty_days_and_their_event_says_so(
    platform: Platform, postgres: Server
) -> None:
    """With everything that hangs on them, and nothing else."""
    ada = platform.somebody()
    projects = platform.stub(ProjectsStub, as_=ada)
    kept = await projects.create_project(CreateProjectRequest(name="Kept"))
    later = await projects.create_project(CreateProjectRequest(name="Deleted later"))
    gone = [await projects.create_project(CreateProjectRequest(name="Gone")) for _ in range(3)]
    for project in gone:
        await projects.delete_project(DeleteProjectRequest(id=project.id))
    platform.clock.advance(timedelta(hours=1))
    await projects.delete_project(DeleteProjectRequest(id=later.id))

    database = platform.database("projects").rpartition("/")[2].partition("?")[0]
    async with postgres.connection(database) as connection:
        for project in gone:
            for table, values in (
                ("project_joins (project_id, invitation_id)", "'inv_1'"),
                (
                    "project_transfers (project_id, organization_id, owner_id, offered_by, user_id, expires_at)",
                    "'org', 'usr', 'usr', 'usr', '2026-01-01Z'",
                ),
            ):
                await connection.execute(
                    f"INSERT INTO {table} SELECT id, {values} FROM projects WHERE id = $1",  # noqa: S608 - names above
                    project.id,
                )
    platform.clock.advance(KEPT - timedelta(minutes=30))
    events: list[Any] = []
    async with asyncio.timeout(20):
        while len(events) < len(gone):
            events = [event for event in await platform.outbox("projects") if isinstance(event, ProjectPurged)]
    assert {event.project_id for event in events} == {project.id for project in gone}
    assert {event.organization_id for event in events} == {ada.organization}
    async with postgres.connection(database) as connection:
        for table in TABLES:
            column = "id" if table == "projects" else "project_id"
            left = await connection.fetch(f"SELECT {column} FROM {table}")  # noqa: S608 - names above
            assert {row[0] for row in left} <= {kept.id, later.id}, table
    assert (await projects.get_project(GetProjectRequest(id=later.id))).deleted_at is not None
    with pytest.raises(NotFound):
        await projects.get_project(GetProjectRequest(id=gone[0].id))
