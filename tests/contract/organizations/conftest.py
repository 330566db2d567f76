"""An organisation, and people in it. The projects service is there, because it is told who has left."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, looking


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def users(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    async with looking(platform, "users") as database:
        yield database


@pytest.fixture
async def office(platform: Platform, users: asyncpg.Connection) -> AsyncIterator[Office]:
    async with Office.opened(platform, users) as office:
        yield office


@pytest.fixture
async def admin(office: Office) -> Caller:
    return await office.member("admin")


@pytest.fixture
async def member(office: Office) -> Caller:
    return await office.member("member")


@pytest.fixture
async def guest(office: Office) -> Caller:
    return await office.member("guest")
