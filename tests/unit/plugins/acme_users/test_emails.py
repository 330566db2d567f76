"""Moving an account, with the deciding locks in the test's hand."""

from __future__ import annotations

import asyncio

import pytest
from acme_users.passwords import Passwords

from acme import Invalid, Unavailable
from acme.contracts.users.v1 import User
from acme.ports import Database
from acme.testing import Platform
from acme.testing import User as Caller
from tests.accounts import Account, confirm, mailed, undo
from tests.people import People, new_email
from tests.unit.plugins.acme_users.test_sessions import waiting

ROUNDS = 10


async def test_no_step_of_a_move_costs_a_computation(people: People, passwords: Passwords, ann: Caller) -> None:
    before = passwords.computations
    await Account(people, ann).move(new_email())
    await undo(people, await mailed(people, ann.email, "undo-email-change"))
    assert passwords.computations == before


async def test_asking_writes_as_much_for_an_address_that_belongs_to_somebody(
    people: People, observed: Database, ann: Caller
) -> None:
    await people.verified(taken := new_email())
    for address in (new_email(), taken):
        async with observed.connection() as connection:
            before = await connection.fetchval("SELECT count(*) FROM mail_tokens")
            await Account(people, ann).change_email(address)
            assert await connection.fetchval("SELECT count(*) FROM mail_tokens") == before + 1


async def test_a_sign_up_with_the_address_at_that_moment_means_trying_again(
    platform: Platform, people: People, observed: Database, ann: Caller
) -> None:
    new = new_email()
    await Account(people, ann).change_email(new)
    token = await people.token(new)
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute(
            """
            WITH own AS (
                INSERT INTO organizations (id, name, personal, region, created_at)
                VALUES ('org_' || $1, 'Bob', true, 'local', $2)
            )
            INSERT INTO users (id, email, email_key, display_name, organization_id, region, created_at, updated_at)
            VALUES ('usr_' || $1, $1, $1, 'Bob', 'org_' || $1, 'local', $2, $2)
            """,
            new,
            platform.clock.now(),
        )
        confirming = asyncio.gather(confirm(people, token), return_exceptions=True)
        await waiting(observed, 1)
        await connection.commit()
    [outcome] = await confirming
    assert isinstance(outcome, Unavailable)
    assert outcome.reason == "address_busy"
    assert (await confirm(people, token)).id == ann.id


async def test_two_accounts_that_move_to_one_address_at_once_never_wait_for_each_other_for_good(
    people: People, observed: Database, ann: Caller
) -> None:
    await people.verified(bobs := new_email())
    accounts = [Account(people, ann), Account(people, await people.caller(bobs))]
    for _ in range(ROUNDS):
        new = new_email()
        tokens = []
        for number, account in enumerate(accounts, 1):
            await account.change_email(new)
            tokens.append(await mailed(people, new, "confirm-email", number=number))
        ids = [account.caller.id for account in accounts]
        async with observed.connection() as connection:
            await connection.begin()
            await connection.execute("SELECT FROM users WHERE id = ANY($1) FOR UPDATE", ids)
            racing = asyncio.gather(*(confirm(people, token) for token in tokens), return_exceptions=True)
            await waiting(observed, 2)
            await connection.commit()
        outcomes = await racing
        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Invalid | Unavailable) for outcome in outcomes) == 1


async def test_an_undo_that_races_a_further_move_wins_or_comes_after_it(
    people: People, observed: Database, ann: Caller
) -> None:
    new, second = new_email(), new_email()
    account = Account(people, ann)
    await account.move(new)
    back = await mailed(people, ann.email, "undo-email-change")
    await account.change_email(second)
    on = await people.token(second)
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", ann.id)
        racing = asyncio.gather(confirm(people, on), undo(people, back), return_exceptions=True)
        await waiting(observed, 2)
        await connection.commit()
    await racing
    async with observed.connection() as connection:
        row = await connection.fetchrow("SELECT email, password_hash FROM users WHERE id = $1", ann.id)
    assert row is not None
    assert tuple(row) == (ann.email, None)


async def test_what_is_no_token_is_refused_alike_by_every_method(people: People) -> None:
    said = set()
    for attempt in (confirm(people, "nonsense"), undo(people, "acm_" + "x" * 43)):
        with pytest.raises(Invalid) as caught:
            await attempt
        said.add((caught.value.reason, caught.value.message))
    assert len(said) == 1
