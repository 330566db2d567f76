"""Log-in, as somebody sees it who measures; and refresh under contention, with its lock in the test's hand.

Here nobody logs in before the address is proved (`require_verified_email`); test_sessions.py in tests/contract has the
default.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from acme_users import passwords as hashing
from acme_users.passwords import Passwords
from argon2 import PasswordHasher

from acme import Denied, Unauthenticated
from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import SessionTokens
from acme.drivers import postgres as driver
from acme.ports import Database
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Platform
from acme.testing.people import PASSWORD
from tests.people import OTHER, People, new_email

ROUNDS = 50
PARALLEL = 50


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"plugins": {"users": {"require_verified_email": True}}}


@pytest.fixture
async def database(platform: Platform) -> AsyncIterator[Database]:
    """The service's database, on connections of our own."""
    async with Tasks("test", Metrics()) as tasks:
        pool = await driver.open(platform.database("users"), size=2, tasks=tasks)
        yield pool
        await pool.close()


@pytest.fixture
async def ann(people: People) -> str:
    """The address of somebody who may log in."""
    await people.verified(email := new_email())
    return email


async def cost_of_refusal(people: People, passwords: Passwords, email: str, password: str) -> tuple[str, int]:
    """The reason of a refused log-in, and the hashes it cost."""
    before = passwords.computations
    with pytest.raises((Unauthenticated, Denied)) as caught:
        await people.log_in(email, password)
    return caught.value.reason, passwords.computations - before


# ---- log-in --------------------------------------------------------------------------------------------------------


async def test_every_log_in_costs_one_hash_and_no_refusal_tells_more_than_another(
    people: People, passwords: Passwords, ann: str
) -> None:
    await people.sign_up(unproved := new_email())
    branches = {
        "unknown": (new_email(), PASSWORD),
        "no address": ("nobody", PASSWORD),
        "wrong password": (ann, OTHER),
        "no possible password": (ann, "x"),
        "unproved and wrong": (unproved, OTHER),
    }
    told = {name: await cost_of_refusal(people, passwords, *given) for name, given in branches.items()}
    assert told == dict.fromkeys(branches, ("invalid_credentials", 1))
    before = passwords.computations
    await people.log_in(ann)
    assert passwords.computations == before + 1


async def test_an_account_without_a_password_costs_a_hash_too(
    people: People, passwords: Passwords, database: Database, ann: str
) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE users SET password_hash = NULL WHERE email_key = $1", ann)
    assert await cost_of_refusal(people, passwords, ann, PASSWORD) == ("invalid_credentials", 1)


async def test_only_the_right_password_is_told_that_the_address_is_unproved(
    people: People, passwords: Passwords
) -> None:
    await people.sign_up(email := new_email())
    assert await cost_of_refusal(people, passwords, email, PASSWORD) == ("email_not_verified", 1)
    assert await cost_of_refusal(people, passwords, email, OTHER) == ("invalid_credentials", 1)
    await people.verify(await people.token(email))
    assert await people.log_in(email)


async def old_hash(database: Database, passwords: Passwords, email: str) -> bytes:
    """Gives an account a hash of its password by the parameters of another day."""
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    kept = passwords._cipher.seal("passwords", old.encode())
    async with database.connection() as connection:
        await connection.execute("UPDATE users SET password_hash = $1 WHERE email_key = $2", kept, email)
    return kept


async def kept_hash(database: Database, email: str) -> bytes:
    async with database.connection() as connection:
        kept: bytes = await connection.fetchval("SELECT password_hash FROM users WHERE email_key = $1", email)
    return kept


async def test_logging_in_renews_a_hash_of_other_parameters(
    people: People, passwords: Passwords, database: Database, ann: str
) -> None:
    await old_hash(database, passwords, ann)
    await people.log_in(ann)
    renewed = await kept_hash(database, ann)
    assert not hashing.ARGON2.check_needs_rehash(passwords._open(renewed))
    await people.log_in(ann)
    assert await kept_hash(database, ann) == renewed


async def test_log_ins_at_once_all_succeed_while_the_hash_is_renewed(
    people: People, passwords: Passwords, database: Database, ann: str
) -> None:
    old = await old_hash(database, passwords, ann)
    sessions = await asyncio.gather(*(people.log_in(ann) for _ in range(8)))
    assert len({session.session_id for session in sessions}) == 8
    assert await kept_hash(database, ann) != old


async def test_a_log_in_whose_account_loses_its_password_meanwhile_begins_no_session(
    people: People, database: Database, ann: str
) -> None:
    """The password is compared outside of any transaction; what counts is what the transaction finds."""
    async with database.connection() as connection:
        await connection.begin()
        await connection.execute("UPDATE users SET password_hash = NULL WHERE email_key = $1", ann)
        trying = asyncio.gather(people.log_in(ann), return_exceptions=True)
        await waiting(database, 1)
        await connection.commit()
        [outcome] = await trying
        assert isinstance(outcome, Unauthenticated)
        assert outcome.reason == "invalid_credentials"
        begun = "SELECT count(*) FROM sessions WHERE user_id = (SELECT id FROM users WHERE email_key = $1)"
        assert await connection.fetchval(begun, ann) == 0


# ---- refresh -------------------------------------------------------------------------------------------------------


async def waiting(database: Database, number: int) -> None:
    """Returns when that many connections wait for a lock."""
    async with asyncio.timeout(10), database.connection() as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while await connection.fetchval(sql) < number:
            await connection.execute("SELECT pg_sleep(0.002)")


async def race(people: People, database: Database, tokens: SessionTokens) -> set[str]:
    """The refresh tokens that `PARALLEL` uses of one give, begun while the test holds the session's row."""
    async with database.connection() as connection:
        await connection.begin()
        await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", tokens.session_id)
        uses = asyncio.gather(*(people.refresh(tokens.refresh_token) for _ in range(PARALLEL)))
        await waiting(database, 2)
        await connection.commit()
    return {reply.refresh_token for reply in await uses}


async def test_fifty_rounds_of_fifty_refreshes_at_once_give_one_successor_each(
    people: People, database: Database, ann: str
) -> None:
    tokens = await people.log_in(ann)
    first = tokens.refresh_token
    for number in range(ROUNDS):
        [successor] = await race(people, database, tokens)
        tokens.refresh_token = successor
        async with database.connection() as connection:
            sql = "SELECT generation FROM sessions WHERE id = $1 AND revoked_at IS NULL"
            assert await connection.fetchval(sql, tokens.session_id) == number + 2
    with pytest.raises(Unauthenticated) as caught:
        await people.refresh(first)
    assert caught.value.reason == "refresh_token_reused"


async def test_reuse_stays_committed_although_it_is_refused(
    platform: Platform, people: People, database: Database, ann: str
) -> None:
    tokens = await people.log_in(ann)
    youngest = await people.refresh((await people.refresh(tokens.refresh_token)).refresh_token)
    with pytest.raises(Unauthenticated):
        await people.refresh(tokens.refresh_token)
    async with database.connection() as connection:
        revoked_at = await connection.fetchval("SELECT revoked_at FROM sessions WHERE id = $1", tokens.session_id)
    assert revoked_at is not None
    told = await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())
    assert told.changes[-1].session_id == tokens.session_id
    with pytest.raises(Unauthenticated):
        await people.refresh(youngest.refresh_token)


async def test_an_old_token_among_parallel_uses_of_the_current_one_ends_the_family_once(
    platform: Platform, people: People, ann: str
) -> None:
    tokens = await people.log_in(ann)
    current = await people.refresh((await people.refresh(tokens.refresh_token)).refresh_token)
    used = [current.refresh_token] * 10 + [tokens.refresh_token] * 10
    replies = await asyncio.gather(*(people.refresh(token) for token in used), return_exceptions=True)
    reasons = [reply.reason for reply in replies if isinstance(reply, Unauthenticated)]
    assert reasons.count("refresh_token_reused") == 1
    told = (await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())).changes
    assert [change.session_id for change in told].count(tokens.session_id) == 1
    with pytest.raises(Unauthenticated) as caught:
        await people.refresh(current.refresh_token)
    assert caught.value.reason == "invalid_refresh_token"


async def test_the_grace_begins_when_the_successor_is_made_and_not_when_it_was_asked_for(
    platform: Platform, people: People, database: Database, ann: str
) -> None:
    tokens = await people.log_in(ann)
    async with database.connection() as connection:
        await connection.begin()
        await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", tokens.session_id)
        waits = asyncio.gather(people.refresh(tokens.refresh_token))
        await waiting(database, 1)
        platform.clock.advance(timedelta(seconds=11))
        await connection.commit()
    [successor] = await waits
    assert (await people.refresh(tokens.refresh_token)).refresh_token == successor.refresh_token


async def test_a_session_ended_while_a_refresh_waits_gives_no_tokens(
    people: People, database: Database, ann: str
) -> None:
    tokens = await people.log_in(ann)
    async with database.connection() as connection:
        await connection.begin()
        await connection.execute("UPDATE sessions SET revoked_at = created_at WHERE id = $1", tokens.session_id)
        waits = asyncio.gather(people.refresh(tokens.refresh_token), return_exceptions=True)
        await waiting(database, 1)
        await connection.commit()
    [outcome] = await waits
    assert isinstance(outcome, Unauthenticated)
    assert outcome.reason == "invalid_refresh_token"
