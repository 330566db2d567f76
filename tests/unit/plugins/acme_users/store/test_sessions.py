"""SQL of sessions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import NEWEST, AccountStore, NewAccount, Session, SessionStore

from acme import Plugin, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase
from tests.people import new_email

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> SessionStore:
    return SessionStore(database)


@pytest.fixture
async def user(database: FreshDatabase) -> str:
    address = Address.parse(new_email())
    account = NewAccount(new_id("usr", CLOCK), address, b"hash", "Ann", new_id("org", CLOCK), "eu")
    await AccountStore(database).create_account(account, verified_at=None, at=NOW)
    return account.id


def session(user_id: str, number: int = 0, *, life: timedelta = timedelta(days=30)) -> Session:
    """The `number`-th session of a user, by the order of ids."""
    return Session(f"ses_{number:03}{user_id}", user_id, bytes(32), 1, NOW, "curl", "::1", NOW, NOW + life, NOW)


async def test_a_session_comes_back_as_it_was_added_and_changed(store: SessionStore, user: str) -> None:
    added = session(user)
    await store.add_session(added)
    assert await store.lock_session(added.id) == added
    later = NOW + timedelta(seconds=1)
    await store.rotate(added.id, 2, at=later)
    await store.revoke_session(added.id, at=later)
    assert await store.lock_session(added.id) == replace(added, generation=2, rotated_at=later, revoked_at=later)
    assert await store.lock_session("ses_unknown") is None


async def test_sessions_come_newest_first_on_pages_without_those_that_ended(store: SessionStore, user: str) -> None:
    for number in range(7):
        await store.add_session(session(user, number, life=timedelta(days=1 if number == 3 else 30)))
    await store.revoke_session(session(user, 5).id, at=NOW)
    found: list[str] = []
    before = NEWEST
    while rows := await store.sessions(user, before=before, at=NOW + timedelta(days=1), limit=2):
        found += [row.id for row in rows]
        before = found[-1]
    assert found == [session(user, number).id for number in (6, 4, 2, 1, 0)]


async def test_revoking_all_sessions_tells_only_those_that_could_be_used(store: SessionStore, user: str) -> None:
    for number in range(3):
        await store.add_session(session(user, number, life=timedelta(days=1 if number == 2 else 30)))
    await store.revoke_session(session(user, 0).id, at=NOW)
    at = NOW + timedelta(days=1)
    assert await store.revoke_sessions(user, at=at) == [session(user, 1).id]
    assert await store.revoke_sessions(user, at=at) == []


async def test_expired_sessions_are_purged_in_batches(store: SessionStore, user: str) -> None:
    for number in range(5):
        await store.add_session(session(user, number, life=timedelta(days=number - 900)))
    at = NOW + timedelta(days=3 - 900)
    assert [await store.purge_sessions(expired_by=at, limit=3) for _ in range(3)] == [3, 1, 0]
    assert await store.lock_session(session(user, 4).id) is not None
