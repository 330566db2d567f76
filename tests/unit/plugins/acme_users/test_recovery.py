"""Another password: what it costs, and what races it."""

from __future__ import annotations

import asyncio

import pytest
from acme_users.passwords import Passwords

from acme import Denied, Invalid
from acme.ports import Database
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.accounts import THIRD, Account, cannot_log_in, request_reset, reset, reset_token
from tests.people import OTHER, People, new_email
from tests.unit.plugins.acme_users.test_sessions import waiting


async def test_asking_for_a_reset_costs_no_computation_whoever_it_is_for(
    people: People, passwords: Passwords, ann: Caller
) -> None:
    await people.sign_up(unproved := new_email())
    before = passwords.computations
    for email in (new_email(), unproved, ann.email):
        await request_reset(people, email)
    assert passwords.computations == before


async def test_no_token_is_kept_as_it_is(people: People, observed: Database, ann: Caller) -> None:
    token = await reset_token(people, ann.email)
    async with observed.connection() as connection:
        digests = [row[0] for row in await connection.fetch("SELECT digest FROM mail_tokens")]
    assert {len(digest) for digest in digests} == {32}
    assert token.startswith("acm_")
    assert len(token) == 47


async def test_a_change_costs_two_computations_a_reset_one_and_a_token_that_is_none_nothing(
    people: People, passwords: Passwords, ann: Caller
) -> None:
    token = await reset_token(people, ann.email)
    before = passwords.computations
    with pytest.raises(Invalid):
        await reset(people, "acm_" + "x" * 43)
    assert passwords.computations == before
    await reset(people, token)
    assert passwords.computations == before + 1
    again = Account(people, await people.caller(ann.email, OTHER))
    before = passwords.computations
    await again.change_password(OTHER, THIRD)
    assert passwords.computations == before + 2


async def test_a_wrong_old_password_costs_one_computation(people: People, passwords: Passwords, ann: Caller) -> None:
    before = passwords.computations
    with pytest.raises(Denied):
        await Account(people, ann).change_password(THIRD)
    assert passwords.computations == before + 1


async def test_of_a_change_and_a_reset_at_once_the_later_one_does_not_undo_the_first(
    people: People, observed: Database, ann: Caller
) -> None:
    """Both have compared what they need, and wait for the account: the test holds its lock."""
    token = await reset_token(people, ann.email)
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", ann.id)
        resetting = asyncio.gather(reset(people, token, THIRD), return_exceptions=True)
        await waiting(observed, 1)
        changing = asyncio.gather(Account(people, ann).change_password(), return_exceptions=True)
        await waiting(observed, 2)
        await connection.commit()
    assert [*await resetting] == [None]
    [outcome] = await changing
    assert isinstance(outcome, Denied)
    assert await people.log_in(ann.email, THIRD)
    for password in (PASSWORD, OTHER):
        await cannot_log_in(people, ann.email, password)


async def test_a_log_in_that_waits_for_a_reset_begins_no_session(
    people: People, observed: Database, ann: Caller
) -> None:
    token = await reset_token(people, ann.email)
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", ann.id)
        resetting = asyncio.gather(reset(people, token), return_exceptions=True)
        await waiting(observed, 1)
        logging_in = asyncio.gather(cannot_log_in(people, ann.email, PASSWORD), return_exceptions=True)
        await waiting(observed, 2)
        await connection.commit()
    assert [*await resetting, *await logging_in] == [None, None]
