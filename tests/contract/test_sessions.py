"""Sessions and the authority through their contracts, in every placement."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from acme_users import plugin as users_plugin
from joserfc import jwt
from joserfc.jwk import ECKey

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest, KeysRequest
from acme.contracts.users.v1 import (
    CreateSessionRequest,
    DeleteSessionReply,
    DeleteSessionRequest,
    ListSessionsRequest,
    Session,
    SessionCreated,
    SessionRevoked,
    SessionsStub,
)
from acme.errors import Denied, Invalid, Malformed, NotFound, Refused, Unauthenticated
from acme.ids import is_id
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD, principal_of
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def people(platform: Platform) -> People:
    return People(platform)


@pytest.fixture
async def ann(people: People) -> Caller:
    """Somebody with an account and one session."""
    await people.sign_up(email := new_email())
    return await people.caller(email)


@pytest.fixture
def sessions(platform: Platform, ann: Caller) -> SessionsStub:
    """The service, called by ann."""
    return platform.stub(SessionsStub, as_=ann)


async def listed(sessions: SessionsStub) -> list[Session]:
    """Every session of the caller, page by page of two."""
    found: list[Session] = []
    token = ""
    while True:
        reply = await sessions.list_sessions(ListSessionsRequest(page_size=2, page_token=token))
        found += reply.sessions
        token = reply.next_page_token
        if not token:
            return found


async def revoked(platform: Platform) -> list[tuple[str | None, str | None, int]]:
    """What verifiers are told, oldest first."""
    reply = await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest(since=0))
    return [(change.session_id, change.subject, change.epoch) for change in reply.changes]


async def refused(people: People, refresh_token: str) -> str:
    """Why a refresh token is refused."""
    with pytest.raises(Unauthenticated) as caught:
        await people.refresh(refresh_token)
    return caught.value.reason


# ---- log-in --------------------------------------------------------------------------------------------------------


async def test_logging_in_gives_tokens_and_begins_a_session(platform: Platform, people: People, ann: Caller) -> None:
    tokens = await people.log_in(ann.email)
    assert is_id(tokens.session_id, "ses")
    assert (tokens.token_type, tokens.expires_in) == ("Bearer", 600)
    began = (await platform.outbox("users", key=ann.id))[-1]
    assert isinstance(began, SessionCreated)
    assert (began.user_id, began.session_id) == (ann.id, tokens.session_id)


async def test_an_access_token_has_the_claims_of_its_profile_and_a_published_key(
    platform: Platform, people: People, ann: Caller
) -> None:
    authority = platform.stub(AuthorityStub, as_service="tokens")
    [key] = (await authority.keys(KeysRequest())).keys
    jwk: dict[str, Any] = json.loads(key.jwk)
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    tokens = await people.log_in(ann.email)
    token = jwt.decode(tokens.access_token, ECKey.import_key(jwk), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    now = int(platform.clock.time())
    claims = token.claims
    assert now - 5 <= claims["iat"] <= now
    assert claims.pop("iat") == claims.pop("nbf") == claims.pop("auth_time") == claims.pop("exp") - 600
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": "https://acme.localhost",
        "aud": "acme-api",
        "sub": ann.id,
        "client_id": "acme",
        "sid": tokens.session_id,
        "scope": "*",
        "org": ann.organization,
        "region": "local",
        "epoch": 0,
    }


async def test_no_two_access_tokens_have_one_id(people: People, ann: Caller) -> None:
    one, other = await people.log_in(ann.email), await people.log_in(ann.email)
    assert one.access_token != other.access_token


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(people: People, ann: Caller) -> None:
    said = []
    for email, password in [
        (ann.email, OTHER),
        (ann.email, "short"),
        (new_email(), PASSWORD),
        ("not an address", PASSWORD),
        ("nul\x00@example.com", PASSWORD),
    ]:
        with pytest.raises(Unauthenticated) as caught:
            await people.log_in(email, password)
        said.append((caught.value.reason, caught.value.message, caught.value.faults, caught.value.retry_after))
    assert set(said) == {said[0]}
    assert said[0][0] == "invalid_credentials"


async def test_an_address_is_found_in_any_spelling(people: People, ann: Caller) -> None:
    assert principal_of((await people.log_in(ann.email.upper())).access_token).id == ann.id


# ---- refresh -------------------------------------------------------------------------------------------------------


async def test_refreshing_gives_a_new_access_token_and_the_next_refresh_token(people: People, ann: Caller) -> None:
    tokens = await people.refresh(ann.refresh_token)
    assert tokens.session_id == ann.principal.session
    assert tokens.refresh_token != ann.refresh_token
    assert tokens.access_token != ann.access_token
    assert principal_of(tokens.access_token).id == ann.id
    assert (await people.refresh(tokens.refresh_token)).session_id == ann.principal.session


async def test_a_client_that_lost_the_reply_gets_the_same_successor_for_ten_seconds(
    platform: Platform, people: People, ann: Caller
) -> None:
    lost = await people.refresh(ann.refresh_token)
    platform.clock.advance(timedelta(seconds=8))
    again = await people.refresh(ann.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert again.access_token != lost.access_token
    assert (await people.refresh(again.refresh_token)).session_id == ann.principal.session


async def test_a_predecessor_shown_too_late_ends_the_session(platform: Platform, people: People, ann: Caller) -> None:
    successor = await people.refresh(ann.refresh_token)
    platform.clock.advance(timedelta(seconds=11))
    assert await refused(people, ann.refresh_token) == "refresh_token_reused"
    assert await refused(people, successor.refresh_token) == "invalid_refresh_token"


async def test_a_predecessor_whose_successor_was_used_ends_the_session(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    youngest = await people.refresh((await people.refresh(ann.refresh_token)).refresh_token)
    assert await refused(people, ann.refresh_token) == "refresh_token_reused"
    assert await refused(people, ann.refresh_token) == "invalid_refresh_token"
    assert await refused(people, youngest.refresh_token) == "invalid_refresh_token"
    assert await listed(sessions) == []
    assert (ann.principal.session, None, 0) in await revoked(platform)
    ended = (await platform.outbox("users", key=ann.id))[-1]
    assert isinstance(ended, SessionRevoked)
    assert (ended.session_id, ended.reason) == (ann.principal.session, "refresh_token_reused")


async def test_reuse_ends_one_session_and_leaves_the_others(people: People, ann: Caller) -> None:
    other = await people.log_in(ann.email)
    await people.refresh((await people.refresh(ann.refresh_token)).refresh_token)
    assert await refused(people, ann.refresh_token) == "refresh_token_reused"
    assert (await people.refresh(other.refresh_token)).session_id == other.session_id


async def test_fifty_parallel_refreshes_of_a_token_give_one_successor(people: People, ann: Caller) -> None:
    replies = await asyncio.gather(*(people.refresh(ann.refresh_token) for _ in range(50)))
    [successor] = {reply.refresh_token for reply in replies}
    assert (await people.refresh(successor)).session_id == ann.principal.session


async def test_refreshing_does_not_extend_the_session(platform: Platform, people: People, ann: Caller) -> None:
    token = ann.refresh_token
    for _ in range(2):
        platform.clock.advance(timedelta(days=14))
        token = (await people.refresh(token)).refresh_token
    platform.clock.advance(timedelta(days=2))
    assert await refused(people, token) == "invalid_refresh_token"


async def test_what_is_no_refresh_token_of_ours_gets_one_answer(people: People, ann: Caller) -> None:
    good = ann.refresh_token
    other_session = "acr_" + good[4:40] + ("A" if good[40] != "A" else "B") + good[41:]
    for text in ("nonsense", "acr_", good[:-1], good[:-1] + "!", good.swapcase(), other_session, "acr_" + "A" * 84):
        assert await refused(people, text) == "invalid_refresh_token"
    assert (await people.refresh(good)).session_id == ann.principal.session


# ---- the list ------------------------------------------------------------------------------------------------------


async def test_sessions_are_listed_newest_first_on_pages_and_the_own_one_is_marked(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    made = [ann.principal.session]
    for _ in range(4):
        platform.clock.advance(timedelta(seconds=1))
        made.append((await people.log_in(ann.email)).session_id)
    found = await listed(sessions)
    assert [session.id for session in found] == made[::-1]
    assert [session.id for session in found if session.current] == [ann.principal.session]


async def test_a_session_shows_its_device_and_its_times(platform: Platform, people: People, ann: Caller) -> None:
    anybody = platform.stub(SessionsStub, address="203.0.113.7")
    tokens = await anybody.create_session(
        CreateSessionRequest(email=ann.email, password=PASSWORD, user_agent="Phone\x00\n" + "x" * 300)
    )
    caller = Caller(principal_of(tokens.access_token))
    platform.clock.advance(timedelta(minutes=1))
    await people.refresh(tokens.refresh_token)
    [shown] = [session for session in await listed(platform.stub(SessionsStub, as_=caller)) if session.current]
    assert shown.user_agent == "Phone" + "x" * 195
    assert shown.address == "203.0.113.7"
    assert shown.created_at is not None
    assert shown.last_used_at is not None
    assert shown.expires_at == shown.created_at + timedelta(days=30)
    assert timedelta(seconds=55) < shown.last_used_at - shown.created_at < timedelta(seconds=65)


async def test_sessions_of_others_and_ended_ones_are_not_listed(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    await people.sign_up(email := new_email())
    await people.log_in(email)
    platform.clock.advance(timedelta(days=15))
    kept, ended = await people.log_in(ann.email), await people.log_in(ann.email)
    await sessions.delete_session(DeleteSessionRequest(id=ended.session_id))
    platform.clock.advance(timedelta(days=16))
    assert [session.id for session in await listed(sessions)] == [kept.session_id]


async def test_a_page_token_of_somebody_else_is_refused(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    await people.log_in(ann.email)
    token = (await sessions.list_sessions(ListSessionsRequest(page_size=1))).next_page_token
    await people.sign_up(email := new_email())
    bob = platform.stub(SessionsStub, as_=await people.caller(email))
    for altered in (token, token[:-2] + "AA", "nonsense"):
        with pytest.raises(Malformed):
            await bob.list_sessions(ListSessionsRequest(page_token=altered))


# ---- the end -------------------------------------------------------------------------------------------------------


async def test_ending_a_session_stops_its_tokens_and_tells_verifiers(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    assert await sessions.delete_session(DeleteSessionRequest(id=ann.principal.session)) == DeleteSessionReply()
    assert await refused(people, ann.refresh_token) == "invalid_refresh_token"
    assert (ann.principal.session, None, 0) in await revoked(platform)
    ended = (await platform.outbox("users", key=ann.id))[-1]
    assert isinstance(ended, SessionRevoked)
    assert (ended.session_id, ended.reason) == (ann.principal.session, "signed_out")


async def test_ending_a_session_twice_is_ending_it_once(
    platform: Platform, sessions: SessionsStub, ann: Caller
) -> None:
    request = DeleteSessionRequest(id=ann.principal.session)
    await sessions.delete_session(request)
    before = await revoked(platform), await platform.outbox("users", key=ann.id)
    assert await sessions.delete_session(request) == DeleteSessionReply()
    assert (await revoked(platform), await platform.outbox("users", key=ann.id)) == before


async def test_a_session_of_somebody_else_cannot_be_ended_and_seems_not_to_exist(
    platform: Platform, people: People, sessions: SessionsStub, ann: Caller
) -> None:
    await people.sign_up(email := new_email())
    bob = await people.caller(email)
    said = []
    for session_id in (bob.principal.session, platform.somebody().principal.session):
        with pytest.raises(NotFound) as caught:
            await sessions.delete_session(DeleteSessionRequest(id=session_id))
        said.append((caught.value.reason, caught.value.message))
    assert said[0] == said[1]
    assert await people.refresh(bob.refresh_token)


async def test_what_is_no_session_id_is_refused(sessions: SessionsStub, ann: Caller) -> None:
    with pytest.raises(Invalid):
        await sessions.delete_session(DeleteSessionRequest(id=ann.id))


# ---- the authority -------------------------------------------------------------------------------------------------


async def test_only_verifiers_may_ask_the_authority(platform: Platform, ann: Caller) -> None:
    for authority in (
        platform.stub(AuthorityStub),
        platform.stub(AuthorityStub, as_=ann),
        platform.stub(AuthorityStub, as_service="projects"),
    ):
        for call in (authority.keys(KeysRequest()), authority.changes(ChangesRequest())):
            with pytest.raises(Refused) as caught:
                await call
            assert isinstance(caught.value, Denied)


async def test_verifiers_are_told_once_what_was_revoked_since_they_last_asked(
    platform: Platform, people: People, ann: Caller
) -> None:
    authority = platform.stub(AuthorityStub, as_service="tokens")
    known = (await authority.changes(ChangesRequest())).latest
    nothing = await authority.changes(ChangesRequest(since=known))
    assert (nothing.changes, nothing.latest, nothing.more) == ([], known, False)
    await platform.stub(SessionsStub, as_=ann).delete_session(DeleteSessionRequest(id=ann.principal.session))
    told = await authority.changes(ChangesRequest(since=known))
    assert [(change.sequence, change.session_id) for change in told.changes] == [(known + 1, ann.principal.session)]
    assert (told.latest, told.key_version) == (known + 1, (await authority.keys(KeysRequest())).key_version)


async def test_an_account_that_lost_its_address_has_its_access_tokens_revoked_by_epoch(
    platform: Platform, people: People, ann: Caller
) -> None:
    await people.sign_up(ann.email, OTHER)
    await people.verify(await people.token(ann.email, number=2))
    assert (None, ann.id, 1) in await revoked(platform)  # beside what tests before this one left to be told later
    assert principal_of((await people.log_in(ann.email, OTHER)).access_token).epoch == 0


async def test_a_verifier_that_is_ahead_of_a_restored_database_is_told_where_it_is(platform: Platform) -> None:
    authority = platform.stub(AuthorityStub, as_service="tokens")
    now = (await authority.changes(ChangesRequest())).latest
    assert (await authority.changes(ChangesRequest(since=now + 1000))).latest == now
