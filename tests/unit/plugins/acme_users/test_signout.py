"""Ending what gives access: sessions, tokens for programs, and the order in which verifiers hear of it."""

from __future__ import annotations

import pytest
from acme_users.store import Purpose

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import RevokeAllSessionsRequest, SessionRevoked, SessionsStub, TokenRevoked
from acme.ids import new_id
from acme.ports import Database
from acme.testing import Platform
from acme.testing import User as Caller
from tests.accounts import Account, mailed, reset, reset_token, undo
from tests.people import OTHER, People, new_email


async def program(platform: Platform, observed: Database, ann: Caller) -> str:
    """The id of an access token of hers for programs."""
    token_id, now = new_id("pat", platform.clock), platform.clock.now()
    async with observed.connection() as connection:
        await connection.execute(
            """
            INSERT INTO access_tokens (id, subject, digest, name, scopes, created_at, expires_at)
            VALUES ($1, $2, $3, 'CI', '{*}', $4, $4::timestamptz + interval '30 days')
            """,
            token_id,
            ann.id,
            token_id.encode(),
            now,
        )
    return token_id


async def alive(observed: Database, token_id: str) -> bool:
    async with observed.connection() as connection:
        sql = "SELECT revoked_at IS NULL FROM access_tokens WHERE id = $1"
        return await connection.fetchval(sql, token_id) is True


async def test_a_change_of_the_password_leaves_tokens_for_programs_alone(
    platform: Platform, people: People, observed: Database, ann: Caller
) -> None:
    token_id = await program(platform, observed, ann)
    await Account(people, ann).change_password()
    assert await alive(observed, token_id)


@pytest.mark.parametrize("purpose", [Purpose.RESET_PASSWORD, Purpose.UNDO_EMAIL_CHANGE])
async def test_a_reset_and_an_undone_move_end_tokens_for_programs(
    platform: Platform, people: People, observed: Database, ann: Caller, purpose: Purpose
) -> None:
    token_id = await program(platform, observed, ann)
    if purpose is Purpose.RESET_PASSWORD:
        await reset(people, await reset_token(people, ann.email))
    else:
        await Account(people, ann).move(new_email())
        await undo(people, await mailed(people, ann.email, "undo-email-change"))
    assert not await alive(observed, token_id)
    events = await platform.outbox("users", key=ann.id)
    assert [event.token_id for event in events if isinstance(event, TokenRevoked)] == [token_id]


async def test_an_account_that_loses_its_address_loses_its_tokens_for_programs(
    platform: Platform, people: People, observed: Database
) -> None:
    await people.sign_up(email := new_email())
    squatter = await people.caller(email)
    token_id = await program(platform, observed, squatter)
    await people.sign_up(email, OTHER)
    await people.verify(await mailed(people, email, "verify-email", number=2))
    assert not await alive(observed, token_id)


async def test_verifiers_hear_of_each_session_that_ended_and_of_no_other(
    platform: Platform, people: People, ann: Caller
) -> None:
    authority = platform.stub(AuthorityStub, as_service="tokens")
    others = {(await people.log_in(ann.email)).session_id for _ in range(3)}
    since = (await authority.changes(ChangesRequest())).latest
    await platform.stub(SessionsStub, as_=ann).revoke_all_sessions(RevokeAllSessionsRequest(keep_current=True))
    told = (await authority.changes(ChangesRequest(since=since))).changes
    assert {change.session_id for change in told} == others
    events = await platform.outbox("users", key=ann.id)
    assert {event.session_id for event in events if isinstance(event, SessionRevoked)} == others
