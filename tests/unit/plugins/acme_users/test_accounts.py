"""Sign-up, as somebody sees it who measures instead of reading the answer."""

from __future__ import annotations

import pytest
from acme_users.passwords import Passwords

from acme import Invalid, Unavailable
from acme.ports import Database
from acme.testing import Platform
from tests.people import OTHER, People, new_email


async def test_signing_up_costs_one_hash_whatever_is_known_of_the_address(people: People, passwords: Passwords) -> None:
    email = new_email()
    costs = []
    for _ in ("unknown", "unproved"):
        before = passwords.computations
        await people.sign_up(email)
        costs.append(passwords.computations - before)
    await people.verify(await people.token(email, number=2))
    before = passwords.computations
    await people.sign_up(email)
    assert [*costs, passwords.computations - before] == [1, 1, 1]


async def test_signing_up_sends_one_mail_whatever_is_known_of_the_address(platform: Platform, people: People) -> None:
    email = new_email()
    for number in (1, 2, 3):
        await people.sign_up(email)
        await platform.mailbox.wait(email, number=number)
        if number == 2:
            await people.verify(await people.token(email, number=2))
    assert len(platform.mailbox.list(email)) == 3


async def test_signing_up_keeps_one_token_whatever_is_known_of_the_address(
    platform: Platform, people: People, observed: Database
) -> None:
    email = new_email()

    async def kept() -> int:
        async with observed.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM email_verifications WHERE email = $1", email))

    for number in (1, 2):
        await people.sign_up(email)
        assert await kept() == number
    await people.verify(await people.token(email, number=2))
    assert await kept() == 0
    await people.sign_up(email, OTHER)
    assert await kept() == 1
    assert (await platform.mailbox.wait(email, number=3)).links == ()  # nobody gets it


async def test_a_password_that_nobody_may_choose_costs_no_hash(people: People, passwords: Passwords) -> None:
    before = passwords.computations
    with pytest.raises(Invalid):
        await people.sign_up(new_email(), "short")
    assert passwords.computations == before


async def test_proving_an_address_costs_no_hash(people: People, passwords: Passwords) -> None:
    email = new_email()
    await people.sign_up(email)
    await people.sign_up(email, OTHER)
    before = passwords.computations
    await people.verify(await people.token(email, number=2))
    assert passwords.computations == before


async def test_a_full_queue_refuses_every_sign_up_and_keeps_nothing(
    platform: Platform, people: People, passwords: Passwords
) -> None:
    email = new_email()
    taken = 0
    while passwords._room.acquire(blocking=False):
        taken += 1
    try:
        with pytest.raises(Unavailable) as caught:
            await people.sign_up(email)
    finally:
        for _ in range(taken):
            passwords._room.release()
    assert caught.value.retry_after == 1.0
    assert platform.mailbox.list(email) == []
    await people.sign_up(email)
    await people.verify(await people.token(email))
