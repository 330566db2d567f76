"""Another password, by mail."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import RequestPasswordResetReply, RequestPasswordResetRequest, UserPasswordChanged
from acme.errors import Invalid
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.accounts import (
    THIRD,
    Account,
    cannot_log_in,
    cannot_refresh,
    confirm,
    ended,
    request_reset,
    reset,
    reset_token,
    token_refused,
    told,
)
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


async def test_the_token_from_the_mail_sets_another_password(people: People, ann: Caller) -> None:
    await reset(people, await reset_token(people, ann.email))
    await cannot_log_in(people, ann.email, PASSWORD)
    assert await people.log_in(ann.email, OTHER)


async def test_the_mail_has_a_link_and_a_command_at_the_configured_origin(
    platform: Platform, people: People, ann: Caller
) -> None:
    token = await reset_token(people, ann.email)
    mail = await told(platform, ann.email, "Set another password")
    assert mail.links == (f"https://acme.test/reset-password?token={token}",)
    assert mail.links[0] in mail.text
    assert "curl -X POST https://acme.test/v1/users:resetPassword" in mail.text


async def test_every_session_ends_and_verifiers_are_told_by_epoch(
    platform: Platform, people: People, ann: Caller
) -> None:
    other = await people.log_in(ann.email)
    await reset(people, await reset_token(people, ann.email))
    for refresh_token in (ann.refresh_token, other.refresh_token):
        await cannot_refresh(people, refresh_token)
    sessions = {ann.principal.session, other.session_id}
    assert set(await ended(platform, ann.id)) == {(session, "password_reset") for session in sessions}
    change = (await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())).changes[-1]
    assert (change.subject, change.epoch) == (ann.id, ann.principal.epoch + 1)
    assert (await people.caller(ann.email, OTHER)).principal.epoch == ann.principal.epoch + 1


async def test_the_address_and_listeners_are_told(platform: Platform, people: People, ann: Caller) -> None:
    await reset(people, await reset_token(people, ann.email))
    await told(platform, ann.email, "Your password was set anew")
    [event] = [event for event in await platform.outbox("users", key=ann.id) if isinstance(event, UserPasswordChanged)]
    assert (event.user_id, event.reset) == (ann.id, True)


async def test_the_answer_is_the_same_for_an_unknown_an_unproved_and_a_proved_address(
    platform: Platform, people: People, ann: Caller
) -> None:
    await people.sign_up(unproved := new_email())
    nobody = "There is no account with this address"
    for email, said in ((new_email(), nobody), (unproved, nobody), (ann.email, "Set another password")):
        reply = await people.users.request_password_reset(RequestPasswordResetRequest(email=email))
        assert reply == RequestPasswordResetReply()
        await told(platform, email, said)


async def test_a_token_works_once(people: People, ann: Caller) -> None:
    token = await reset_token(people, ann.email)
    await reset(people, token)
    assert (await token_refused(reset(people, token, THIRD)))[0] == "token_invalid"
    assert await people.log_in(ann.email, OTHER)


async def test_of_ten_parallel_uses_of_a_token_one_sets_the_password(people: People, ann: Caller) -> None:
    token = await reset_token(people, ann.email)
    choices = [f"choice number {number} of the horse" for number in range(10)]
    results = await asyncio.gather(*(reset(people, token, choice) for choice in choices), return_exceptions=True)
    [winner] = [choice for choice, result in zip(choices, results, strict=True) if result is None]
    assert sum(isinstance(result, Invalid) for result in results) == 9
    assert await people.log_in(ann.email, winner)


async def test_a_token_works_for_an_hour(platform: Platform, people: People, ann: Caller) -> None:
    late = await reset_token(people, ann.email)
    platform.clock.advance(timedelta(minutes=59))
    await reset(people, late)
    expired = await reset_token(people, ann.email)
    platform.clock.advance(timedelta(hours=1, seconds=1))
    assert (await token_refused(reset(people, expired, THIRD)))[0] == "token_invalid"


async def test_one_reset_voids_the_others(people: People, ann: Caller) -> None:
    first, second = await reset_token(people, ann.email), await reset_token(people, ann.email)
    await reset(people, second)
    assert await token_refused(reset(people, first, THIRD)) == await token_refused(
        reset(people, "acm_" + "x" * 43, THIRD)
    )


async def test_a_token_is_good_for_one_purpose(people: People, ann: Caller, email: str) -> None:
    token = await reset_token(people, ann.email)
    for other_use in (people.verify(token), confirm(people, token)):
        assert (await token_refused(other_use))[0] == "token_invalid"
    await Account(people, ann).change_email(new := new_email())
    assert (await token_refused(reset(people, await people.token(new))))[0] == "token_invalid"


async def test_a_reset_voids_a_move_that_was_asked_for(people: People, ann: Caller) -> None:
    await Account(people, ann).change_email(new := new_email())
    move = await people.token(new)
    await reset(people, await reset_token(people, ann.email))
    assert (await token_refused(confirm(people, move)))[0] == "token_invalid"


async def test_what_is_no_address_is_refused(people: People) -> None:
    with pytest.raises(Invalid) as caught:
        await request_reset(people, "nobody")
    assert [fault.pointer for fault in caught.value.faults] == ["/email"]


async def test_a_bad_choice_leaves_the_token_good(people: People, ann: Caller) -> None:
    token = await reset_token(people, ann.email)
    with pytest.raises(Invalid) as caught:
        await reset(people, token, "passwordpassword1")
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/new_password", "common_password")]
    await reset(people, token)
