"""Proving a password, as somebody sees it who measures; and what a flood leaves behind."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from acme_users.passwords import Passwords
from acme_users.throttles import FREE

from acme import Refused
from acme.ports import Database
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.people import OTHER, People, new_email


async def cost(passwords: Passwords, attempt: Coroutine[Any, Any, object]) -> tuple[str, int]:
    """Why an attempt was refused, and the computations it took."""
    before = passwords.computations
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value.reason, passwords.computations - before


async def test_an_attempt_costs_one_computation_before_and_during_a_pause_whoever_it_is(
    people: People, passwords: Passwords, ann: Caller
) -> None:
    await people.sign_up(unproved := new_email())
    for email in (ann.email, unproved, new_email(), "nobody"):
        for _ in range(FREE):
            assert await cost(passwords, people.log_in(email, OTHER)) == ("invalid_credentials", 1)
        for password in (PASSWORD, OTHER):
            assert await cost(passwords, people.log_in(email, password)) == ("too_many_attempts", 1)


async def test_an_attempt_that_a_full_queue_refuses_does_not_count(
    people: People, passwords: Passwords, ann: Caller
) -> None:
    taken = 0
    while passwords._room.acquire(blocking=False):
        taken += 1
    try:
        for _ in range(2 * FREE):
            assert await cost(passwords, people.log_in(ann.email, OTHER)) == ("busy", 0)
    finally:
        for _ in range(taken):
            passwords._room.release()
    assert await people.log_in(ann.email)


async def test_the_tables_name_nobody(people: People, observed: Database, ann: Caller) -> None:
    with pytest.raises(Refused):
        await people.log_in(ann.email, OTHER)
    async with observed.connection() as connection:
        found = await connection.fetch(
            """
            SELECT account FROM account_attempts UNION ALL SELECT account FROM address_failures
            UNION ALL SELECT address FROM address_failures UNION ALL SELECT recipient FROM mail_quotas
            """
        )
    names = [row[0] for row in found]
    assert len(names) >= 4
    for name in names:
        assert len(name) == 32
        assert ann.email.encode() not in name
        assert b"127.0.0.1" not in name


async def test_a_failure_stays_counted_although_the_call_is_refused(
    platform: Platform, people: People, observed: Database
) -> None:
    async with observed.connection() as connection:
        await connection.execute("TRUNCATE account_attempts")
        for number in (1, 2, 3):
            with pytest.raises(Refused):
                await people.log_in("ann@example.com", OTHER)
            row = await connection.fetchrow("SELECT attempts, failures FROM account_attempts")
            assert row is not None
            assert tuple(row) == (number, number)
