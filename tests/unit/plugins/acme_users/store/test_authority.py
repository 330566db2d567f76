"""SQL of the authority: keys, and revocations in the order of commits."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import AuthorityStore, Entry, Feed, SigningKey

from acme import Plugin
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
async def store(database: FreshDatabase) -> AuthorityStore:
    await database.execute("DELETE FROM authority_changes")
    await database.execute("DELETE FROM signing_keys")
    await database.execute("UPDATE authority SET last_sequence = 0, key_version = 0")
    return AuthorityStore(database)


def key(kid: str, not_before: datetime) -> SigningKey:
    return SigningKey(kid, "ES256", f'{{"kid": "{kid}"}}', b"sealed", not_before, None)


async def waiting(database: FreshDatabase) -> int:
    """Statements that wait for a lock."""
    count: int = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return count


async def test_the_feed_gives_what_came_after_a_number_and_the_counters(store: AuthorityStore) -> None:
    await store.announce(session_id="ses_1", at=NOW)
    await store.announce(subject="usr_1", epoch=7, at=NOW)
    await store.announce(session_id="ses_2", at=NOW)
    assert await store.feed(1, limit=9) == Feed(
        (Entry(2, None, "usr_1", 7, None, None), Entry(3, "ses_2", None, 0, None, None)), 3, 0
    )
    assert (await store.feed(0, limit=2)).entries[-1].sequence == 2
    assert await store.feed(3, limit=9) == Feed((), 3, 0)


async def test_a_number_is_given_out_when_the_one_before_has_been_committed(
    store: AuthorityStore, database: FreshDatabase
) -> None:
    async with database.connection() as early, database.connection() as late:
        await early.begin()
        await late.begin()
        await AuthorityStore(early).announce(session_id="ses_early", at=NOW)
        blocked = asyncio.gather(AuthorityStore(late).announce(session_id="ses_late", at=NOW))
        async with asyncio.timeout(10):
            while not await waiting(database):
                await database.fetchval("SELECT true FROM pg_sleep(0.005)")
        assert (await store.feed(0, limit=9)).last_sequence == 0
        await early.commit()
        await blocked
        assert [entry.session_id for entry in (await store.feed(0, limit=9)).entries] == ["ses_early"]
        await late.commit()
    assert [entry.session_id for entry in (await store.feed(1, limit=9)).entries] == ["ses_late"]


async def test_a_transaction_that_rolls_back_leaves_no_gap(store: AuthorityStore, database: FreshDatabase) -> None:
    async with database.connection() as connection:
        await connection.begin()
        await AuthorityStore(connection).announce(session_id="ses_never", at=NOW)
        await connection.rollback()
    await store.announce(session_id="ses_1", at=NOW)
    assert [entry.sequence for entry in (await store.feed(0, limit=9)).entries] == [1]


async def test_a_verifier_that_polls_while_many_revoke_misses_nothing(
    store: AuthorityStore, database: FreshDatabase
) -> None:
    wanted = {f"ses_{worker}_{number}" for worker in range(5) for number in range(20)}

    async def revoke(worker: int) -> None:
        for number in range(20):
            async with database.connection() as connection:
                await connection.begin()
                await connection.execute("SELECT pg_sleep($1)", random.uniform(0, 0.002))
                await AuthorityStore(connection).announce(session_id=f"ses_{worker}_{number}", at=NOW)
                await (connection.rollback() if (worker, number) == (0, 7) else connection.commit())

    wanted.remove("ses_0_7")
    revoking = asyncio.gather(*(revoke(worker) for worker in range(5)))
    seen: list[str | None] = []
    since = 0
    while len(seen) < len(wanted):
        feed = await store.feed(since, limit=10)
        sequences = [entry.sequence for entry in feed.entries]
        assert sequences == list(range(since + 1, since + 1 + len(sequences)))
        assert feed.last_sequence >= since + len(sequences)
        seen += [entry.session_id for entry in feed.entries]
        since += len(sequences)
    await revoking
    assert len(seen) == len(set(seen))
    assert set(seen) == wanted


async def test_old_revocations_are_purged_in_batches_and_numbers_go_on(store: AuthorityStore) -> None:
    for number in range(5):
        await store.announce(session_id=f"ses_{number}", at=NOW + timedelta(seconds=number))
    at = NOW + timedelta(seconds=3)
    assert [await store.purge_changes(announced_by=at, limit=3) for _ in range(3)] == [3, 1, 0]
    await store.announce(session_id="ses_5", at=NOW)
    assert [entry.sequence for entry in (await store.feed(0, limit=9)).entries] == [5, 6]


async def test_a_new_key_says_when_the_one_before_retires_and_moves_the_version(store: AuthorityStore) -> None:
    first, second = key("first", NOW), key("second", NOW + timedelta(days=30))
    retired = NOW + timedelta(days=31)
    await store.add_key(first, predecessor_retired_at=NOW)
    assert ((await store.keys()).version, (await store.keys()).keys) == (1, (first,))
    await store.add_key(second, predecessor_retired_at=retired)
    assert (await store.keys()).keys == (replace(first, retired_at=retired), second)
    assert (await store.keys()).version == (await store.feed(0, limit=1)).key_version == 2
    await store.delete_keys(retired_before=retired)
    assert (await store.keys()).version == 2
    await store.delete_keys(retired_before=retired + timedelta(seconds=1))
    assert ((await store.keys()).version, (await store.keys()).keys) == (3, (second,))
