"""How often somebody may try, whatever is being tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from acme.contracts.users.v1 import (
    ChangePasswordRequest,
    CreateSessionRequest,
    SessionsStub,
    StepUpRequest,
    UsersStub,
)
from acme.errors import Denied, Exhausted, Refused, Unauthenticated
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.accounts import request_reset, reset, reset_token, resets
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement

WRONG = "not the horse you look for"
FREE = 5


async def refusal(attempt: Coroutine[Any, Any, object]) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


async def fail(people: People, email: str, times: int = FREE) -> None:
    """Log-ins that are looked at, and fail."""
    for _ in range(times):
        assert isinstance(await refusal(people.log_in(email, WRONG)), Unauthenticated)


async def waits(people: People, email: str) -> float:
    """Seconds that a refused attempt is told to wait."""
    refused = await refusal(people.log_in(email))
    assert isinstance(refused, Exhausted)
    assert refused.reason == "too_many_attempts"
    assert refused.retry_after is not None
    return refused.retry_after


async def test_five_failures_are_free_and_the_next_attempt_waits(people: People, ann: Caller) -> None:
    await fail(people, ann.email)
    assert await waits(people, ann.email) == 1.0


async def test_pauses_double_up_to_fifteen_minutes(platform: Platform, people: People, ann: Caller) -> None:
    await fail(people, ann.email)
    seen = []
    for _ in range(12):
        pause = await waits(people, ann.email)
        seen.append(pause)
        platform.clock.advance(timedelta(seconds=pause))
        await fail(people, ann.email, 1)
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_a_success_forgets_the_failures(platform: Platform, people: People, ann: Caller) -> None:
    await fail(people, ann.email)
    platform.clock.advance(timedelta(seconds=1))
    await people.log_in(ann.email)
    await fail(people, ann.email)
    assert await waits(people, ann.email) == 1.0


async def test_the_right_password_is_refused_as_a_wrong_one_during_a_pause(people: People, ann: Caller) -> None:
    await fail(people, ann.email)
    right, wrong = await refusal(people.log_in(ann.email)), await refusal(people.log_in(ann.email, WRONG))
    assert (right.code, right.reason, right.message) == (wrong.code, wrong.reason, wrong.message)
    assert right.retry_after == wrong.retry_after == 1.0


async def test_a_refused_attempt_makes_the_pause_no_longer(platform: Platform, people: People, ann: Caller) -> None:
    await fail(people, ann.email)
    for _ in range(5):
        await waits(people, ann.email)
    platform.clock.advance(timedelta(seconds=1))
    assert await people.log_in(ann.email)


@pytest.mark.parametrize("whose", ["unknown", "unproved", "proved"])
async def test_an_address_counts_the_same_whoever_has_it(
    platform: Platform, people: People, ann: Caller, whose: str
) -> None:
    email = ann.email if whose == "proved" else new_email()
    if whose == "unproved":
        await people.sign_up(email)
    await fail(people, email)
    assert await waits(people, email) == 1.0
    platform.clock.advance(timedelta(seconds=1))
    await fail(people, email, 1)
    assert await waits(people, email.upper()) == 2.0


async def test_after_a_hundred_attempts_only_a_reset_helps(platform: Platform, people: People, ann: Caller) -> None:
    for _ in range(100):
        await fail(people, ann.email, 1)
        platform.clock.advance(timedelta(minutes=15))
    for _ in range(2):
        assert await waits(people, ann.email) == 900.0
        platform.clock.advance(timedelta(days=7))
    await reset(people, await reset_token(people, ann.email))
    assert await people.log_in(ann.email, OTHER)


async def test_cve_2025_64102_every_way_to_prove_a_password_shares_one_counter(
    platform: Platform, people: People, ann: Caller
) -> None:
    """Zitadel counted each factor, and each version of its API, by itself."""
    sessions, users = platform.stub(SessionsStub, as_=ann), platform.stub(UsersStub, as_=ann)

    def change(password: str) -> Coroutine[Any, Any, object]:
        return users.change_password(ChangePasswordRequest(current_password=password, new_password=OTHER))

    def step_up(password: str) -> Coroutine[Any, Any, object]:
        return sessions.step_up(StepUpRequest(password=password))

    def log_in(password: str) -> Coroutine[Any, Any, object]:
        return people.log_in(ann.email, password)

    ways: list[Callable[[str], Coroutine[Any, Any, object]]] = [log_in, step_up, change]
    for number in range(FREE):
        assert isinstance(await refusal(ways[number % 3](WRONG)), Unauthenticated | Denied)
    for way in ways:
        refused = await refusal(way(PASSWORD))
        assert isinstance(refused, Exhausted)
        assert refused.retry_after == 1.0


async def test_many_guesses_at_once_are_no_more_than_many_in_a_row(people: People, ann: Caller) -> None:
    outcomes = await asyncio.gather(
        *(people.log_in(ann.email, f"{WRONG} {number}") for number in range(30)), return_exceptions=True
    )
    looked_at = [outcome for outcome in outcomes if isinstance(outcome, Unauthenticated)]
    assert FREE <= len(looked_at) <= 20
    assert len(looked_at) + sum(isinstance(outcome, Exhausted) for outcome in outcomes) == 30
    assert await waits(people, ann.email) >= 1.0


async def test_an_address_of_a_client_that_fails_on_fifty_accounts_is_looked_at_no_more(
    platform: Platform, people: People, ann: Caller
) -> None:
    thief, other = "2001:db8:1:2::bad", platform.stub(SessionsStub, address="2001:db8:1:3::1")
    for number in range(50):
        one_of_many = platform.stub(SessionsStub, address=f"2001:db8:1:2::{number:x}")
        assert isinstance(
            await refusal(one_of_many.create_session(CreateSessionRequest(email=new_email(), password=WRONG))),
            Unauthenticated,
        )
    request = CreateSessionRequest(email=ann.email, password=PASSWORD)
    refused = await refusal(platform.stub(SessionsStub, address=thief).create_session(request))
    assert isinstance(refused, Exhausted)
    assert refused.retry_after is not None
    assert 590 <= refused.retry_after <= 600
    assert await other.create_session(request)
    platform.clock.advance(timedelta(minutes=10))
    assert await platform.stub(SessionsStub, address=thief).create_session(request)


async def test_a_client_that_fails_on_one_account_is_no_crowd(platform: Platform, people: People, ann: Caller) -> None:
    clumsy = platform.stub(SessionsStub, address="198.51.100.7")
    await people.sign_up(email := new_email())
    for _ in range(55):
        refused = await refusal(clumsy.create_session(CreateSessionRequest(email=email, password=WRONG)))
        platform.clock.advance(timedelta(seconds=refused.retry_after or 0))
    assert await clumsy.create_session(CreateSessionRequest(email=ann.email, password=PASSWORD))


# ---- mails ---------------------------------------------------------------------------------------------------------


async def test_an_address_gets_five_mails_an_hour_that_anybody_may_cause_and_nobody_is_told(
    platform: Platform, people: People, email: str
) -> None:
    for _ in range(6):
        await people.sign_up(email)
    await platform.mailbox.wait(email, number=5)
    platform.clock.advance(timedelta(minutes=59))
    await people.sign_up(email)
    await people.sign_up(witness := new_email())
    await platform.mailbox.wait(witness)
    assert len(platform.mailbox.list(email)) == 5
    platform.clock.advance(timedelta(minutes=1, seconds=1))
    await people.sign_up(email)
    await platform.mailbox.wait(email, number=6)


async def test_nobody_keeps_the_holder_of_an_address_from_resetting_its_password(people: People, ann: Caller) -> None:
    for _ in range(6):
        await people.sign_up(ann.email)
    await reset(people, await reset_token(people, ann.email))
    assert (await people.log_in(ann.email, OTHER)).session_id


async def test_an_address_gets_five_mails_an_hour_that_reset_its_password(
    platform: Platform, people: People, ann: Caller
) -> None:
    for _ in range(6):
        await request_reset(people, ann.email)
    await people.sign_up(ann.email)
    await platform.mailbox.wait(ann.email, number=7)  # the proof, five, and the one of the sign-up
    platform.clock.advance(timedelta(minutes=59))
    await request_reset(people, ann.email)
    await request_reset(people, witness := new_email())
    await platform.mailbox.wait(witness)
    assert resets(platform, ann.email) == 5
