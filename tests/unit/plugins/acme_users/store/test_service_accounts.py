"""SQL of service accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import ServiceAccount, ServiceAccountStore

from acme import Plugin, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> ServiceAccountStore:
    return ServiceAccountStore(database)


@pytest.fixture
async def home(database: FreshDatabase) -> str:
    made = new_id("org", CLOCK)
    await database.execute(
        "INSERT INTO organizations (id, name, personal, region, created_at) VALUES ($1, 'Acme', false, 'eu', $2)",
        made,
        NOW,
    )
    return made


def made(home: str, role: str = "member") -> ServiceAccount:
    return ServiceAccount(new_id("sva", CLOCK), home, "CI", role, (), NOW, 1)


async def test_what_is_kept_comes_back_in_its_own_organisation_only(store: ServiceAccountStore, home: str) -> None:
    await store.add(account := made(home))
    assert await store.account(home, account.id) == account
    assert await store.account("org_other", account.id) is None


async def test_a_custom_role_comes_with_what_it_includes(
    store: ServiceAccountStore, home: str, database: FreshDatabase
) -> None:
    role = new_id("rol", CLOCK)
    await database.execute(
        """
        INSERT INTO roles (id, organization_id, name, permissions, created_at, updated_at)
        VALUES ($1, $2, 'Reader', '{projects.read}', $3, $3)
        """,
        role,
        home,
        NOW,
    )
    await store.add(account := made(home, role))
    assert await store.account(home, account.id) == replace(account, permissions=("projects.read",))
    await store.delete(account.id, at=NOW)
    await database.execute("DELETE FROM roles WHERE id = $1", role)  # a deleted account is not in the way


async def test_a_deleted_one_is_told_from_one_that_never_was_until_it_is_purged(
    store: ServiceAccountStore, home: str
) -> None:
    await store.add(account := made(home))
    await store.add(kept := made(home))
    await store.delete(account.id, at=NOW)
    assert await store.account(home, account.id) == replace(account, version=2, deleted_at=NOW)
    assert [each.id for each in await store.accounts(home, after="", limit=9)] == [kept.id]
    assert await store.count(home) == 1
    while await store.purge(deleted_by=NOW - timedelta(seconds=1), limit=9):
        pass
    assert await store.account(home, account.id) is not None
    await store.purge(deleted_by=NOW, limit=9)
    assert await store.account(home, account.id) is None


async def test_they_are_listed_oldest_first_on_pages(store: ServiceAccountStore, home: str) -> None:
    accounts = sorted((made(home) for _ in range(3)), key=lambda each: each.id)
    for account in accounts:
        await store.add(account)
    page = await store.accounts(home, after="", limit=2)
    assert page == accounts[:2]
    assert await store.accounts(home, after=page[-1].id, limit=2) == accounts[2:]
