"""SQL of tokens in mails."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import AccountStore, MailToken, MailTokenStore, NewAccount, Purpose

from acme import Plugin, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase
from tests.people import new_email

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
HOUR = timedelta(hours=1)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> MailTokenStore:
    return MailTokenStore(database)


@pytest.fixture
async def user(database: FreshDatabase) -> str:
    account = NewAccount(new_id("usr", CLOCK), Address.parse(new_email()), b"", "Ann", new_id("org", CLOCK), "eu")
    await AccountStore(database).create_account(account, verified_at=NOW, at=NOW)
    return account.id


def token(
    user: str | None, name: str, purpose: Purpose = Purpose.RESET_PASSWORD, expires_in: timedelta = HOUR
) -> MailToken:
    digest = f"{name} {user}".encode()
    return MailToken(
        digest, purpose, user, Address.parse(f"{name}.{(user or 'nobody')[-8:]}@example.com"), NOW + expires_in
    )


async def test_a_token_comes_back_for_its_purpose_until_it_expires(store: MailTokenStore, user: str) -> None:
    added = token(user, "one")
    await store.add(added)
    assert await store.find(added.digest, Purpose.RESET_PASSWORD, at=NOW) == added
    assert await store.find(added.digest, Purpose.RESET_PASSWORD, at=NOW + HOUR) is None
    assert await store.find(added.digest, Purpose.CHANGE_EMAIL, at=NOW) is None
    assert await store.find(b"unknown", Purpose.RESET_PASSWORD, at=NOW) is None


async def test_a_token_of_nobody_is_never_found(store: MailTokenStore) -> None:
    decoy = token(None, "decoy")
    await store.add(decoy)
    assert await store.find(decoy.digest, Purpose.RESET_PASSWORD, at=NOW) is None


async def test_a_token_is_consumed_once(store: MailTokenStore, user: str) -> None:
    await store.add(token(user, "once"))
    assert [await store.consume(token(user, "once").digest) for _ in range(2)] == [True, False]


async def test_voiding_leaves_what_undoes_a_move(store: MailTokenStore, database: FreshDatabase, user: str) -> None:
    for purpose in Purpose:
        await store.add(token(user, purpose.value.replace("_", "-"), purpose))
    await store.void(user)
    assert await left(database, user) == ["undo-email-change"]


async def test_later_undos_are_voided_and_earlier_ones_stay(
    store: MailTokenStore, database: FreshDatabase, user: str
) -> None:
    for number in range(4):
        await store.add(token(user, f"u{number}", Purpose.UNDO_EMAIL_CHANGE, number * HOUR))
    await store.void_undos(user, since=NOW + 2 * HOUR)
    assert await left(database, user) == ["u0", "u1"]


async def left(database: FreshDatabase, user: str) -> list[str]:
    rows = await database.fetch("SELECT email FROM mail_tokens WHERE user_id = $1 ORDER BY email", user)
    return [row[0].split(".")[0] for row in rows]


async def test_tokens_to_an_address_are_voided_whosever_they_are(store: MailTokenStore, user: str) -> None:
    mine = token(user, "mine", Purpose.CHANGE_EMAIL)
    other = replace(token(user, "other"), address=mine.address)
    await store.add(mine)
    await store.add(other)
    await store.void_address(mine.address.key)
    assert [await store.consume(one.digest) for one in (mine, other)] == [False, False]


async def test_the_former_holder_is_whoever_may_come_back(store: MailTokenStore, user: str) -> None:
    undo = token(user, "undo", Purpose.UNDO_EMAIL_CHANGE)
    await store.add(undo)
    await store.add(replace(token(user, "reset"), address=undo.address))
    assert await store.former_holder(undo.address.key, at=NOW) == user
    assert await store.former_holder(undo.address.key, at=NOW + HOUR) is None
    assert await store.former_holder("nobody@example.com", at=NOW) is None


async def test_expired_tokens_are_deleted_in_batches(store: MailTokenStore, database: FreshDatabase, user: str) -> None:
    await database.execute("TRUNCATE mail_tokens")
    for number in range(3):
        await store.add(token(user, f"t{number}", expires_in=number * HOUR))
    assert [await store.purge(expired_by=NOW + HOUR, limit=1) for _ in range(3)] == [1, 1, 0]
    assert await left(database, user) == ["t2"]
