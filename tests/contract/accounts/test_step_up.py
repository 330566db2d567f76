"""Proving again who is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from acme.contracts.users.v1 import (
    DeleteSessionRequest,
    RevokeAllSessionsRequest,
    SessionsStub,
    StepUpReply,
    StepUpRequest,
)
from acme.errors import Denied, Unauthenticated
from acme.ids import new_id
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD, principal_of
from tests.accounts import Account, cannot_refresh, ended
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


async def step_up(platform: Platform, caller: Caller, password: str = PASSWORD) -> StepUpReply:
    return await platform.stub(SessionsStub, as_=caller).step_up(StepUpRequest(password=password))


async def test_the_password_gives_a_fresh_access_token_of_the_same_session(
    platform: Platform, people: People, ann: Caller
) -> None:
    platform.clock.advance(timedelta(minutes=11))
    reply = await step_up(platform, ann)
    assert (reply.token_type, reply.expires_in) == ("Bearer", 600)
    fresh = principal_of(reply.access_token)
    assert (fresh.id, fresh.session) == (ann.id, ann.principal.session)
    assert ann.principal.authenticated_at + 660 <= fresh.authenticated_at <= platform.clock.time()
    assert await people.refresh(ann.refresh_token)


async def test_a_refresh_keeps_when_somebody_last_proved_to_be_there(
    platform: Platform, people: People, ann: Caller
) -> None:
    platform.clock.advance(timedelta(minutes=11))
    old = await people.refresh(ann.refresh_token)
    assert principal_of(old.access_token).authenticated_at == ann.principal.authenticated_at
    fresh = principal_of((await step_up(platform, ann)).access_token)
    platform.clock.advance(timedelta(minutes=1))
    after = await people.refresh(old.refresh_token)
    assert principal_of(after.access_token).authenticated_at == fresh.authenticated_at


async def test_a_method_that_asks_for_a_fresh_log_in_refuses_an_old_one_and_takes_it_after_step_up(
    platform: Platform, people: People, ann: Caller
) -> None:
    platform.clock.advance(timedelta(minutes=10, seconds=1))
    with pytest.raises((Unauthenticated, Denied)) as caught:
        await Account(people, ann).change_email(new_email())
    assert caught.value.reason == "step_up_required"
    assert len(platform.mailbox.list(ann.email)) == 1
    fresh = replace(ann, principal=principal_of((await step_up(platform, ann)).access_token))
    await Account(people, fresh).change_email(new_email())


async def test_a_wrong_password_gives_nothing(platform: Platform, ann: Caller) -> None:
    with pytest.raises(Denied) as caught:
        await step_up(platform, ann, OTHER)
    assert caught.value.reason == "invalid_credentials"


async def test_a_session_that_has_ended_gives_nothing(platform: Platform, people: People, ann: Caller) -> None:
    await platform.stub(SessionsStub, as_=ann).delete_session(DeleteSessionRequest(id=ann.principal.session))
    with pytest.raises(Unauthenticated) as caught:
        await step_up(platform, ann)
    assert caught.value.reason == "token_revoked"


async def test_a_token_for_programs_cannot_step_up(platform: Platform, ann: Caller) -> None:
    program = replace(ann, principal=replace(ann.principal, session=new_id("pat", platform.clock)))
    with pytest.raises(Denied) as caught:
        await step_up(platform, program)
    assert caught.value.reason == "step_up_impossible"


# ---- ending all sessions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_current", [True, False])
async def test_all_sessions_end_or_all_but_the_own_one(
    platform: Platform, people: People, ann: Caller, keep_current: bool
) -> None:
    others = [await people.log_in(ann.email) for _ in range(2)]
    await people.verified(bobs := new_email())
    bob = await people.caller(bobs)
    sessions = platform.stub(SessionsStub, as_=ann)
    await sessions.revoke_all_sessions(RevokeAllSessionsRequest(keep_current=keep_current))
    for other in others:
        await cannot_refresh(people, other.refresh_token)
    assert await people.refresh(bob.refresh_token)
    gone = {other.session_id for other in others}
    if keep_current:
        assert await people.refresh(ann.refresh_token)
    else:
        await cannot_refresh(people, ann.refresh_token)
        gone.add(ann.principal.session)
    assert set(await ended(platform, ann.id)) == {(session, "signed_out") for session in gone}
