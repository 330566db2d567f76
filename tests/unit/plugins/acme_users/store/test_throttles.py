"""SQL of throttles."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import Admission, Crowd, Pauses, ThrottleStore

from acme import Plugin
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
ANN, BOB, HERE, THERE = b"ann", b"bob", b"here", b"there"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
async def store(database: FreshDatabase) -> ThrottleStore:
    await database.execute("TRUNCATE account_attempts, address_failures, mail_quotas")
    return ThrottleStore(database)


def pauses(at: datetime = NOW, delays: tuple[float, ...] = (0, 0, 1, 10, 10), at_once: int = 4) -> Pauses:
    return Pauses(delays, 3, at_once, at - timedelta(minutes=1))


async def admit(
    store: ThrottleStore, account: bytes = ANN, address: bytes | None = HERE, at: datetime = NOW
) -> Admission:
    return await store.admit(account, address, at=at, crowd=Crowd(2, at - HOUR), pauses=pauses(at))


async def fail(store: ThrottleStore, account: bytes = ANN, address: bytes | None = None, at: datetime = NOW) -> None:
    assert (await admit(store, account, address, at)).admitted
    await store.fail(account, address, at=at, pauses=pauses(at))


async def test_a_pause_begins_with_its_failure_and_the_next_attempt_after_it_is_one(store: ThrottleStore) -> None:
    for _ in range(3):
        await fail(store)
    assert await admit(store) == Admission(False, 3, NOW + SECOND, None)
    assert (await admit(store, at=NOW + SECOND)).admitted
    # Nobody else is looked at beside it, and its own failure prolongs the pause by the time that it took.
    assert not (await admit(store, at=NOW + 2 * SECOND)).admitted
    await store.fail(ANN, None, at=NOW + 3 * SECOND, pauses=pauses())
    assert (await admit(store, at=NOW + 12 * SECOND)).blocked_until == NOW + 13 * SECOND


async def test_after_as_many_attempts_as_there_are_pauses_none_is_admitted(store: ThrottleStore) -> None:
    at = NOW
    for _ in range(5):
        await fail(store, at=at)
        at += HOUR
    assert await admit(store, at=at) == Admission(False, 5, NOW + 4 * HOUR + 10 * SECOND, None)
    await store.forget(ANN)
    assert (await admit(store, at=at)).admitted


async def test_of_many_attempts_at_once_so_many_are_admitted(store: ThrottleStore) -> None:
    admissions = await asyncio.gather(*(admit(store) for _ in range(12)))
    assert sum(admission.admitted for admission in admissions) == 4


async def test_of_many_attempts_at_once_after_a_pause_one_is_admitted(store: ThrottleStore) -> None:
    for _ in range(3):
        await fail(store)
    admissions = await asyncio.gather(*(admit(store, at=NOW + SECOND) for _ in range(12)))
    assert sum(admission.admitted for admission in admissions) == 1


async def test_attempts_that_were_lost_with_their_process_block_nobody_for_long(store: ThrottleStore) -> None:
    for _ in range(4):
        await admit(store)
    assert not (await admit(store, at=NOW + timedelta(seconds=59))).admitted
    assert (await admit(store, at=NOW + timedelta(seconds=60))).admitted


async def test_an_attempt_that_was_not_looked_at_leaves_nothing(store: ThrottleStore) -> None:
    for _ in range(3):
        await fail(store)
    for _ in range(5):
        assert (await admit(store, at=NOW + SECOND)).admitted
        await store.take_back(ANN)


async def test_an_address_that_failed_on_too_many_accounts_is_a_crowd_until_they_are_old(store: ThrottleStore) -> None:
    await fail(store, ANN, HERE)
    await fail(store, ANN, HERE, NOW + SECOND)
    assert (await admit(store, BOB, HERE)).admitted
    await store.fail(BOB, HERE, at=NOW + 2 * SECOND, pauses=pauses())
    assert (await admit(store, b"carl", HERE)).crowded_since == NOW + SECOND
    assert (await admit(store, b"carl", THERE)).admitted
    assert (await admit(store, b"carl", None)).admitted
    assert (await admit(store, b"dora", HERE, NOW + SECOND + HOUR)).admitted


async def test_an_attempt_from_a_crowd_counts_for_nobody(store: ThrottleStore, database: FreshDatabase) -> None:
    for account in (ANN, BOB):
        await fail(store, account, HERE)
    assert not (await admit(store, b"carl", HERE)).admitted
    assert await database.fetchval("SELECT count(*) FROM account_attempts WHERE account = 'carl'") == 0


async def test_mails_are_counted_in_a_sliding_window(store: ThrottleStore) -> None:
    async def take(at: datetime) -> bool:
        return await store.take_mail(ANN, at=at, since=at - HOUR, most=2)

    assert [await take(NOW), await take(NOW + 10 * SECOND), await take(NOW + 20 * SECOND)] == [True, True, False]
    assert not await take(NOW + HOUR - SECOND)
    assert await take(NOW + HOUR)
    assert not await take(NOW + HOUR + SECOND)
    assert await take(NOW + HOUR + 10 * SECOND)


async def test_of_many_mails_at_once_so_many_are_taken(store: ThrottleStore) -> None:
    taken = await asyncio.gather(*(store.take_mail(ANN, at=NOW, since=NOW - HOUR, most=5) for _ in range(12)))
    assert sum(taken) == 5


async def test_what_is_old_is_deleted_in_batches(store: ThrottleStore, database: FreshDatabase) -> None:
    for number in range(3):
        account = b"%d" % number
        await fail(store, account, account, NOW + number * SECOND)
        await store.take_mail(account, at=NOW + number * SECOND, since=NOW - HOUR, most=5)
    by = NOW + SECOND
    assert [await store.purge_attempts(attempted_by=by, limit=1) for _ in range(3)] == [1, 1, 0]
    assert [await store.purge_failures(failed_by=by, limit=2), await store.purge_failures(failed_by=by, limit=2)] == [
        2,
        0,
    ]
    assert [await store.purge_mail_quotas(sent_by=by, limit=9), await store.purge_mail_quotas(sent_by=by, limit=9)] == [
        2,
        0,
    ]
    for table in ("account_attempts", "address_failures", "mail_quotas"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 1  # noqa: S608 - one of three names
