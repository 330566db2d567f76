"""SQL of access tokens for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import AccessToken, AccountStore, AuthorityStore, Bearer, NewAccount, TokenStore

from acme import Plugin, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> TokenStore:
    return TokenStore(database)


@pytest.fixture
async def account(database: FreshDatabase) -> NewAccount:
    user_id = new_id("usr", CLOCK)
    made = NewAccount(user_id, Address.parse(f"{user_id}@example.com"), b"hash", "Ann", new_id("org", CLOCK), "eu")
    assert await AccountStore(database).create_account(made, verified_at=NOW, at=NOW)
    return made


def token(subject: str, *, expires_at: datetime = LATER) -> AccessToken:
    token_id = new_id("pat", CLOCK)
    return AccessToken(token_id, subject, token_id.encode(), "laptop", ("projects.read",), NOW, expires_at)


async def test_a_live_token_leads_to_its_subjects_home(store: TokenStore, account: NewAccount) -> None:
    await store.add(made := token(account.id))
    assert await store.bearer(made.digest, at=NOW) == Bearer(
        made.id, account.id, ("projects.read",), LATER, account.organization_id, "eu"
    )
    assert await store.bearer(b"another", at=NOW) is None


async def test_a_token_ends_in_the_moment_it_says(store: TokenStore, account: NewAccount) -> None:
    await store.add(made := token(account.id))
    assert await store.bearer(made.digest, at=LATER - timedelta(microseconds=1)) is not None
    assert await store.bearer(made.digest, at=LATER) is None
    assert await store.tokens(account.id, before="~", at=LATER, limit=9) == []


async def test_a_revoked_token_leads_nowhere_and_is_revoked_once(store: TokenStore, account: NewAccount) -> None:
    await store.add(made := token(account.id))
    assert await store.revoke("usr_other", made.id, at=NOW) is None
    assert await store.revoke(account.id, made.id, at=NOW) is True
    assert await store.revoke(account.id, made.id, at=NOW) is False
    assert await store.bearer(made.digest, at=NOW) is None
    assert await store.count(account.id, at=NOW) == 0


async def test_tokens_are_listed_youngest_first_on_pages(store: TokenStore, account: NewAccount) -> None:
    made = [token(account.id) for _ in range(3)]
    for each in made:
        await store.add(each)
    page = await store.tokens(account.id, before="~", at=NOW, limit=2)
    rest = await store.tokens(account.id, before=page[-1].id, at=NOW, limit=2)
    assert [each.id for each in (*page, *rest)] == sorted((each.id for each in made), reverse=True)
    assert await store.count(account.id, at=NOW) == 3


async def test_use_is_kept_once_a_minute(store: TokenStore, account: NewAccount) -> None:
    await store.add(made := token(account.id))
    seen = []
    for seconds in (0, 30, 59, 60, 61):
        await store.note_use(made.id, at=NOW + timedelta(seconds=seconds))
        [shown] = await store.tokens(account.id, before="~", at=NOW, limit=9)
        assert shown.last_used_at is not None
        seen.append((shown.last_used_at - NOW).total_seconds())
    assert seen == [0, 0, 0, 60, 60]


async def test_all_tokens_of_a_subject_end_at_once_and_are_announced_in_a_row(
    store: TokenStore, account: NewAccount, database: FreshDatabase
) -> None:
    made = [token(account.id), token(account.id)]
    for each in (*made, token(account.id, expires_at=NOW)):
        await store.add(each)
    ended = await store.revoke_all(account.id, at=NOW)
    assert set(await store.revoked(account.id, at=NOW)) == set(ended)
    assert set(ended) == {each.id for each in made}
    authority = AuthorityStore(database)
    before = (await authority.feed(0, limit=1)).last_sequence
    await authority.announce_ended(ended, at=NOW)
    await authority.announce_ended([], at=NOW)
    feed = await authority.feed(before, limit=9)
    assert [(entry.sequence, entry.session_id) for entry in feed.entries] == [
        (before + number, token_id) for number, token_id in enumerate(ended, start=1)
    ]
    assert feed.last_sequence == before + 2


async def test_expired_tokens_are_purged_in_batches(store: TokenStore, account: NewAccount) -> None:
    await store.add(kept := token(account.id))
    while await store.purge(expired_by=NOW, limit=9):
        pass
    for _ in range(3):
        await store.add(token(account.id, expires_at=NOW))
    assert [await store.purge(expired_by=NOW, limit=2) for _ in range(3)] == [2, 1, 0]
    assert [each.id for each in await store.tokens(account.id, before="~", at=NOW, limit=9)] == [kept.id]


async def test_only_a_user_or_a_program_can_have_tokens(store: TokenStore, account: NewAccount) -> None:
    assert await store.lock_subject(account.id)
    assert not await store.lock_subject("usr_nobody")
    assert not await store.lock_subject("sva_nobody")
