"""The projects service alone, two people who call it, and a project of one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from acme_projects import plugin as projects_plugin

from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    Project,
    ProjectsStub,
)
from acme.plugin import Plugin
from acme.testing import Platform, User
from tests.contract.projects.crews import Crew
from tests.offices import looking


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [projects_plugin]


@pytest.fixture
def ada(platform: Platform) -> User:
    return platform.somebody()


@pytest.fixture
def bob(platform: Platform) -> User:
    return platform.somebody()


@pytest.fixture
def projects(platform: Platform, ada: User) -> ProjectsStub:
    """The service, called by ada."""
    return platform.stub(ProjectsStub, as_=ada)


@pytest.fixture
def others(platform: Platform, bob: User) -> ProjectsStub:
    """The service, called by bob."""
    return platform.stub(ProjectsStub, as_=bob)


@pytest.fixture
async def atlas(projects: ProjectsStub) -> Project:
    """A project of ada's."""
    return await projects.create_project(
        CreateProjectRequest(name="Atlas", description="Maps", labels={"team": "north"})
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def looks(platform: Platform) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
    """Connections to the databases of users and projects."""
    async with looking(platform, "users") as users, looking(platform, "projects") as projects:
        yield users, projects


@pytest.fixture
async def crew(platform: Platform, looks: tuple[asyncpg.Connection, asyncpg.Connection]) -> AsyncIterator[Crew]:
    """An organisation with a project, where the users service is there too."""
    async with Crew.opened(platform, *looks) as crew:
        yield crew
