"""Somebody whose account these tests get into, and lose."""

from __future__ import annotations

import pytest
from acme_users import plugin as users_plugin

from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.people import People, new_email


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def people(platform: Platform) -> People:
    return People(platform)


@pytest.fixture
def email() -> str:
    return new_email()


@pytest.fixture
async def ann(people: People, email: str) -> Caller:
    """Somebody who proved her address, which took one mail, and has one session."""
    await people.verified(email)
    return await people.caller(email)
