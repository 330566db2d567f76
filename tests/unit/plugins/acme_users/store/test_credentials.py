"""SQL of passwords and addresses of accounts that exist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import AccountStore, Credentials, CredentialStore, NewAccount

from acme import Plugin, UniqueViolation, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase
from tests.people import new_email

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
LATER = NOW + timedelta(seconds=1)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> CredentialStore:
    return CredentialStore(database)


async def account(database: FreshDatabase, *, verified: bool = True) -> Credentials:
    made = NewAccount(new_id("usr", CLOCK), Address.parse(new_email()), b"hash", "Ann", new_id("org", CLOCK), "eu")
    await AccountStore(database).create_account(made, verified_at=NOW if verified else None, at=NOW)
    return Credentials(made.id, made.address, verified, b"hash", "Ann")


@pytest.mark.parametrize("verified", [True, False])
async def test_credentials_are_those_of_the_account(
    store: CredentialStore, database: FreshDatabase, verified: bool
) -> None:
    ann = await account(database, verified=verified)
    assert await store.of(ann.user_id) == await store.lock(ann.user_id) == ann


async def test_an_account_without_an_address_has_none(store: CredentialStore, database: FreshDatabase) -> None:
    ann = await account(database)
    await AccountStore(database).strip(ann.user_id, at=LATER)
    assert await store.of(ann.user_id) is None
    assert await store.lock("usr_unknown") is None
    assert await store.lock_with_holder(ann.user_id, ann.address.key) == (None, None)


async def test_an_account_is_locked_together_with_the_holder_of_an_address(
    store: CredentialStore, database: FreshDatabase
) -> None:
    ann, bob = await account(database), await account(database, verified=False)
    assert await store.lock_with_holder(ann.user_id, bob.address.key) == (ann, bob)
    assert await store.lock_with_holder(bob.user_id, ann.address.key) == (bob, ann)
    assert await store.lock_with_holder(ann.user_id, ann.address.key) == (ann, None)
    assert await store.lock_with_holder(ann.user_id, "nobody@example.com") == (ann, None)


async def test_moving_gives_a_proved_address_and_another_version(
    store: CredentialStore, database: FreshDatabase
) -> None:
    ann, new = await account(database, verified=False), Address.parse(new_email())
    await store.move(ann.user_id, new, at=LATER)
    moved = await store.of(ann.user_id)
    assert moved == Credentials(ann.user_id, new, True, b"hash", "Ann")
    kept = await AccountStore(database).account(ann.user_id)
    assert kept is not None
    assert (kept.version, kept.updated_at) == (2, LATER)


async def test_no_two_accounts_have_one_address(store: CredentialStore, database: FreshDatabase) -> None:
    ann, bob = await account(database), await account(database)
    with pytest.raises(UniqueViolation):
        await store.move(ann.user_id, bob.address, at=LATER)


async def test_a_password_is_replaced_and_taken(store: CredentialStore, database: FreshDatabase) -> None:
    ann = await account(database)
    await store.set_password(ann.user_id, b"other", at=LATER)
    changed = await store.of(ann.user_id)
    assert changed is not None
    assert changed.password_hash == b"other"
    await store.take_password(ann.user_id)
    taken = await store.of(ann.user_id)
    assert taken is not None
    assert taken.password_hash is None


async def test_epochs_grow_by_one(store: CredentialStore, database: FreshDatabase) -> None:
    ann = await account(database)
    assert [await store.next_epoch(ann.user_id) for _ in range(3)] == [1, 2, 3]
