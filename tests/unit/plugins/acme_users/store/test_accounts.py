"""SQL of accounts, and of tokens that prove addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import (
    EARLIEST,
    AccountStore,
    Identity,
    NewAccount,
    Organization,
    OrganizationStore,
    Verification,
)

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
def store(database: FreshDatabase) -> AccountStore:
    return AccountStore(database)


def newcomer(email: str = "") -> NewAccount:
    address = Address.parse(email or new_email())
    return NewAccount(new_id("usr", CLOCK), address, b"hash", "Ann", new_id("org", CLOCK), "eu")


async def created(store: AccountStore) -> NewAccount:
    account = newcomer()
    assert await store.create_account(account, verified_at=None, at=NOW)
    return account


async def test_an_account_comes_with_its_organisation_and_membership(
    store: AccountStore, database: FreshDatabase
) -> None:
    account = await created(store)
    row = await store.account(account.id)
    assert row is not None
    assert (row.email, row.email_verified, row.region, row.version) == (account.address.text, False, "eu", 1)
    [joined] = await OrganizationStore(database).joined(account.id, after=EARLIEST, at=NOW, limit=9)
    made = Organization(account.organization_id, "Ann", True, "eu", NOW, 1, "viewer", NOW)
    assert (joined.organization, joined.role, joined.joined_at) == (made, "owner", NOW)


async def test_an_address_has_one_holder_and_a_second_account_leaves_nothing_behind(
    store: AccountStore, database: FreshDatabase
) -> None:
    first = await created(store)
    second = newcomer(first.address.text.upper())
    assert not await store.create_account(second, verified_at=NOW, at=NOW)
    assert await store.account(second.id) is None
    assert not await database.fetchval("SELECT count(*) FROM organizations WHERE id = $1", second.organization_id)
    holder = await store.holder(first.address.key)
    assert holder is not None
    assert (holder.id, holder.verified) == (first.id, False)


async def test_a_stripped_account_frees_its_address_and_moves_its_epoch(store: AccountStore) -> None:
    first = await created(store)
    assert await store.strip(first.id, at=NOW) == 1
    assert await store.holder(first.address.key) is None
    assert (await store.identity(first.id)).epoch == 1
    assert await store.create_account(newcomer(first.address.text), verified_at=NOW, at=NOW)


async def test_a_password_is_held_only_while_it_is_the_same(store: AccountStore) -> None:
    account = await created(store)
    assert await store.hold_password(account.id, b"hash")
    assert not await store.hold_password(account.id, b"another")
    await store.strip(account.id, at=NOW)
    assert not await store.hold_password(account.id, b"hash")


async def test_a_hash_is_replaced_only_while_it_is_the_one_that_was_compared(store: AccountStore) -> None:
    account = await created(store)
    await store.replace_hash(account.id, b"another", b"wrong")
    assert await store.hold_password(account.id, b"hash")
    await store.replace_hash(account.id, b"hash", b"renewed")
    assert await store.hold_password(account.id, b"renewed")


async def test_a_rename_is_for_the_version_it_names(store: AccountStore) -> None:
    account = await created(store)
    assert not await store.update(account.id, {"display_name": "Bea"}, version=2, at=NOW)
    assert await store.update(account.id, {"display_name": "Bea"}, version=1, at=NOW)
    assert await store.update(account.id, {"display_name": "Cleo"}, version=None, at=NOW)
    row = await store.account(account.id)
    assert row is not None
    assert (row.display_name, row.version) == ("Cleo", 3)


async def test_a_token_is_found_until_it_expires(store: AccountStore) -> None:
    account = await created(store)
    own = Verification(b"own" + account.id.encode(), account.address, account.id, None)
    pending = Verification(b"pending" + account.id.encode(), account.address, None, (b"hash", "Bea"))
    for token in (own, pending):
        await store.add_verification(token, expires_at=NOW)
        assert await store.verification(token.digest, at=NOW - timedelta(microseconds=1)) == token
        assert await store.verification(token.digest, at=NOW) is None
    assert await store.verification(b"unknown", at=NOW) is None


async def test_all_tokens_of_an_address_are_consumed_together_and_once(store: AccountStore) -> None:
    account, other = await created(store), await created(store)
    for digest in (b"1", b"2"):
        token = Verification(digest + account.id.encode(), account.address, account.id, None)
        await store.add_verification(token, expires_at=NOW)
    kept = Verification(b"1" + other.id.encode(), other.address, other.id, None)
    await store.add_verification(kept, expires_at=NOW + timedelta(days=9))
    consumed = await store.consume_verifications(account.address.key)
    assert consumed == {b"1" + account.id.encode(), b"2" + account.id.encode()}
    assert await store.consume_verifications(account.address.key) == set()
    assert await store.verification(kept.digest, at=NOW) == kept


async def test_expired_tokens_are_purged_in_batches(store: AccountStore) -> None:
    account = await created(store)
    past = NOW - timedelta(days=900)
    for number in range(5):
        token = Verification(b"%d" % number + account.id.encode(), account.address, account.id, None)
        await store.add_verification(token, expires_at=past + timedelta(seconds=number))
    at = past + timedelta(seconds=3)
    assert [await store.purge_verifications(expired_by=at, limit=3) for _ in range(3)] == [3, 1, 0]


async def test_an_identity_is_what_a_token_says_of_an_account(store: AccountStore) -> None:
    account = await created(store)
    assert await store.identity(account.id) == Identity(0, account.organization_id, "eu")


async def test_an_account_that_does_not_exist_has_no_identity(store: AccountStore) -> None:
    assert await store.account("usr_nobody") is None
    with pytest.raises(LookupError):
        await store.identity("usr_nobody")
