"""The users plugin with a view of what no contract shows: the hasher that counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from acme_users import plugin as users_plugin
from acme_users.accounts import Users
from acme_users.passwords import Passwords

from acme import Plugin, Resources
from acme.drivers import postgres as driver
from acme.ports import Database
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Platform
from acme.testing import User as Caller
from tests.people import People, new_email
from tests.quick_hashes import quick_hashes


@pytest.fixture(scope="module", autouse=True)
def _quick_hashes(request: pytest.FixtureRequest) -> Iterator[None]:
    """As in tests/contract, but where the hashes themselves are tried."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.module.__name__.endswith("test_passwords"):
            quick_hashes(patch)
        yield


@pytest.fixture(scope="module")
def services() -> list[object]:
    """What the plugin's factory yielded to `platform`."""
    return []


@pytest.fixture(scope="module")
def plugins(services: list[object]) -> list[Plugin]:
    @asynccontextmanager
    async def observed(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        async with users_plugin.service(resources) as made:
            services.extend(made)
            yield made

    return [replace(users_plugin, service=observed)]


@pytest.fixture
def passwords(platform: Platform, services: list[object]) -> Passwords:
    """The hasher of the running service."""
    [users] = [service for service in services if isinstance(service, Users)]
    return users._passwords


@pytest.fixture
async def observed(platform: Platform) -> AsyncIterator[Database]:
    """The service's database, on connections of our own."""
    async with Tasks("test", Metrics()) as tasks:
        pool = await driver.open(platform.database("users"), size=2, tasks=tasks)
        yield pool
        await pool.close()


@pytest.fixture
async def ann(people: People) -> Caller:
    """Somebody who proved her address, which took one mail, and has one session."""
    await people.verified(email := new_email())
    return await people.caller(email)


@pytest.fixture
def people(platform: Platform) -> People:
    return People(platform)
