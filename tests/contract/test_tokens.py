"""Personal access tokens through their contract, and as Bearer tokens over HTTP."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from acme_users import plugin as users_plugin
from acme_users.minting import MOST

from acme.contracts.users.v1 import (
    CreateTokenRequest,
    DeleteTokenRequest,
    ListTokensRequest,
    Token,
    TokenCreated,
    TokenRevoked,
    TokensStub,
)
from acme.errors import Conflict, Denied, Invalid, NotFound, Refused, Unauthenticated
from acme.ids import is_id
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.contract.tokens import AT_ONCE, bearing, make, problem, soon
from tests.offices import narrowed

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
async def ann(platform: Platform) -> Caller:
    return await platform.sign_up()


@pytest.fixture
def tokens(platform: Platform, ann: Caller) -> TokensStub:
    return platform.stub(TokensStub, as_=ann)


async def listed(tokens: TokensStub) -> list[Token]:
    """Every token of the caller, page by page of two."""
    found: list[Token] = []
    token = ""
    while True:
        reply = await tokens.list_tokens(ListTokensRequest(page_size=2, page_token=token))
        found += reply.tokens
        token = reply.next_page_token
        if not token:
            return found


async def test_a_token_is_shown_once_and_kept_hashed(platform: Platform, ann: Caller, tokens: TokensStub) -> None:
    made = await make(platform, ann, "sessions.read", name="laptop")
    assert made.token is not None
    assert made.secret.startswith("acp_")
    assert len(made.secret) == 4 + 43
    assert is_id(made.token.id, "pat")
    [shown] = await listed(tokens)
    assert shown == made.token
    assert (shown.name, shown.scopes, shown.last_used_at) == ("laptop", ["sessions.read"], None)
    assert shown.created_at is not None
    assert shown.expires_at == shown.created_at + timedelta(days=30)
    connection = await asyncpg.connect(platform.database("users"))
    try:
        row = str(await connection.fetchrow("SELECT * FROM access_tokens WHERE id = $1", made.token.id))
    finally:
        await connection.close()
    assert made.secret not in row
    created = (await platform.outbox("users", key=ann.id))[-1]
    assert isinstance(created, TokenCreated)
    assert (created.subject, created.token_id) == (ann.id, made.token.id)


async def test_a_token_acts_as_its_owner_within_its_scopes(platform: Platform, ann: Caller) -> None:
    client = bearing(platform, ann, (await make(platform, ann, "users.me.read", "sessions.read")).secret)
    assert (await client.get("/v1/users/me")).expect(200)["id"] == ann.id
    assert (await client.get("/v1/sessions")).expect(200)["sessions"]
    problem(await client.get("/v1/organizations"), 403, "insufficient_scope")
    problem(await client.patch("/v1/users/me", {"display_name": "Eve"}), 403, "insufficient_scope")


async def test_a_token_that_reads_changes_nothing(platform: Platform, ann: Caller) -> None:
    client = bearing(platform, ann, (await make(platform, ann, "read")).secret)
    for path in ("/v1/users/me", "/v1/sessions", "/v1/organizations", "/v1/tokens"):
        (await client.get(path)).expect(200)
    problem(await client.patch("/v1/users/me", {"display_name": "Eve"}), 403, "insufficient_scope")
    problem(await client.post("/v1/organizations", {"name": "Eve's"}), 403, "insufficient_scope")
    problem(await client.delete(f"/v1/sessions/{ann.principal.session}"), 403, "insufficient_scope")


async def test_scopes_give_nothing_that_the_owners_role_does_not(platform: Platform, ann: Caller) -> None:
    other = await platform.sign_up()
    client = bearing(platform, ann, (await make(platform, ann, "*")).secret)
    (await client.get(f"/v1/organizations/{ann.organization}")).expect(200)
    problem(await client.get(f"/v1/organizations/{other.organization}"), 404)


async def test_a_revoked_token_is_dead_everywhere_within_a_second(
    platform: Platform, ann: Caller, tokens: TokensStub
) -> None:
    made, kept = await make(platform, ann), await make(platform, ann)
    assert made.token is not None
    client = bearing(platform, ann, made.secret)
    (await client.get("/v1/users/me")).expect(200)
    await tokens.delete_token(DeleteTokenRequest(id=made.token.id))

    async def refused() -> bool:
        return (await client.get("/v1/users/me")).status == 401

    assert await soon(refused) < AT_ONCE
    problem(await client.get("/v1/users/me"), 401)
    (await bearing(platform, ann, kept.secret).get("/v1/users/me")).expect(200)
    revoked = (await platform.outbox("users", key=ann.id))[-1]
    assert isinstance(revoked, TokenRevoked)
    assert revoked.token_id == made.token.id


async def test_a_token_that_is_revoked_stays_so_and_a_strangers_is_none(
    platform: Platform, ann: Caller, tokens: TokensStub
) -> None:
    made = await make(platform, ann)
    assert made.token is not None
    for _ in range(2):
        await tokens.delete_token(DeleteTokenRequest(id=made.token.id))
    assert await listed(tokens) == []
    stranger = platform.stub(TokensStub, as_=await platform.sign_up())
    theirs = await make(platform, ann)
    assert theirs.token is not None
    with pytest.raises(NotFound):
        await stranger.delete_token(DeleteTokenRequest(id=theirs.token.id))
    (await bearing(platform, ann, theirs.secret).get("/v1/users/me")).expect(200)


async def test_use_is_shown_to_the_minute(platform: Platform, ann: Caller, tokens: TokensStub) -> None:
    client = bearing(platform, ann, (await make(platform, ann)).secret)
    (await client.get("/v1/users/me")).expect(200)
    [first] = await listed(tokens)
    assert first.last_used_at is not None
    platform.clock.advance(timedelta(seconds=61))
    (await client.get("/v1/users/me")).expect(200)
    [then] = await listed(tokens)
    assert then.last_used_at is not None
    assert then.last_used_at - first.last_used_at >= timedelta(seconds=61)


async def test_a_token_ends_after_its_days(platform: Platform, ann: Caller) -> None:
    client = bearing(platform, ann, (await make(platform, ann, days=1)).secret)
    platform.clock.advance(timedelta(hours=23))
    (await client.get("/v1/users/me")).expect(200)
    platform.clock.advance(timedelta(hours=1))
    problem(await client.get("/v1/users/me"), 401)


async def test_tokens_are_listed_newest_first_on_pages(platform: Platform, ann: Caller, tokens: TokensStub) -> None:
    made = []
    for number in range(5):
        platform.clock.advance(timedelta(seconds=1))
        token = (await make(platform, ann, name=str(number))).token
        assert token is not None
        made.append(token.id)
    assert [token.id for token in await listed(tokens)] == made[::-1]


@pytest.mark.parametrize("scopes", [["nothing.such"], ["users.me.read", "READ"], [""], ["admin"]])
async def test_only_permissions_that_there_are_become_scopes(tokens: TokensStub, scopes: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        await tokens.create_token(CreateTokenRequest(name="a", scopes=scopes, expires_in_days=1))
    assert [fault.code for fault in refused.value.faults] == ["unknown_permission"]


@pytest.mark.parametrize("days", [0, 367])
async def test_no_token_lives_longer_than_a_year_or_not_at_all(tokens: TokensStub, days: int) -> None:
    with pytest.raises(Invalid):
        await tokens.create_token(CreateTokenRequest(name="a", scopes=["*"], expires_in_days=days))


@pytest.mark.parametrize(("held", "wanted"), [("tokens.create", "*"), ("tokens.create", "read"), ("read", "*")])
async def test_nobody_hands_on_more_than_the_own_token_covers(
    platform: Platform, ann: Caller, held: str, wanted: str
) -> None:
    narrow = platform.stub(TokensStub, as_=narrowed(ann, held, "tokens.create"))
    with pytest.raises(Denied) as refused:
        await narrow.create_token(CreateTokenRequest(name="a", scopes=[wanted], expires_in_days=1))
    assert refused.value.reason == "scope_above_own"
    await narrow.create_token(CreateTokenRequest(name="a", scopes=[held], expires_in_days=1))


async def test_a_hundred_tokens_are_enough(platform: Platform, ann: Caller, tokens: TokensStub) -> None:
    connection = await asyncpg.connect(platform.database("users"))
    try:
        await connection.execute(
            """
            INSERT INTO access_tokens (id, subject, digest, name, scopes, created_at, expires_at)
            SELECT 'pat_' || $1 || number, $1, sha256(($1 || number)::bytea), 'one', '{read}', $2, $3
            FROM generate_series(1, $4) AS number
            """,
            ann.id,
            platform.clock.now(),
            platform.clock.now() + timedelta(days=1),
            MOST - 1,
        )
    finally:
        await connection.close()
    await make(platform, ann)
    with pytest.raises(Conflict) as refused:
        await make(platform, ann)
    assert refused.value.reason == "too_many_tokens"


async def test_a_token_makes_no_tokens(platform: Platform, ann: Caller) -> None:
    client = bearing(platform, ann, (await make(platform, ann, "*")).secret)
    body = {"name": "more", "scopes": ["*"], "expires_in_days": 366}
    problem(await client.post("/v1/tokens", body), 403, "step_up_impossible")


async def test_making_one_takes_a_log_in_of_the_last_ten_minutes(platform: Platform, ann: Caller) -> None:
    body = {"name": "more", "scopes": ["*"], "expires_in_days": 1}
    platform.clock.advance(timedelta(seconds=590))
    again = await platform.client().post("/v1/sessions:refresh", {"refresh_token": ann.refresh_token})
    client = bearing(platform, ann, again.expect(200)["access_token"])
    (await client.post("/v1/tokens", body)).expect(201)
    platform.clock.advance(timedelta(seconds=11))
    answer = await client.post("/v1/tokens", body)
    problem(answer, 401, "step_up_required")
    assert 'max_age="600"' in answer.headers["WWW-Authenticate"]


async def test_a_request_that_a_sign_out_has_overtaken_leaves_no_token_behind(
    platform: Platform, ann: Caller, tokens: TokensStub
) -> None:
    (await platform.client(ann).delete(f"/v1/sessions/{ann.principal.session}")).expect(204)
    with pytest.raises(Unauthenticated) as refused:
        await make(platform, ann)
    assert refused.value.reason == "token_revoked"
    assert await listed(tokens) == []


async def test_a_password_reset_ends_all_tokens_within_a_second(platform: Platform, ann: Caller) -> None:
    clients = [bearing(platform, ann, (await make(platform, ann)).secret) for _ in range(2)]
    for client in clients:
        (await client.get("/v1/users/me")).expect(200)
    anybody = platform.client()
    mails = len(platform.mailbox.list(ann.email))
    (await anybody.post("/v1/users:requestPasswordReset", {"email": ann.email})).expect(202)
    mail = await platform.mailbox.wait(ann.email, number=mails + 1)
    token = parse_qs(urlsplit(mail.links[0]).query)["token"][0]
    body = {"token": token, "new_password": "yet another battery staple"}
    (await anybody.post("/v1/users:resetPassword", body)).expect(204)

    async def refused() -> bool:
        return [(await client.get("/v1/users/me")).status for client in clients] == [401, 401]

    assert await soon(refused) < AT_ONCE


async def test_nobody_without_an_account_has_tokens(platform: Platform) -> None:
    with pytest.raises(Refused):
        await make(platform, platform.somebody())


@pytest.mark.parametrize("token", ["acp_" + "A" * 43, "acs_" + "A" * 43, "acp_short"])
async def test_a_made_up_token_is_nobodys(platform: Platform, ann: Caller, token: str) -> None:
    answer = await bearing(platform, ann, token).get("/v1/users/me")
    problem(answer, 401, "invalid_token")
    assert token not in answer.body.decode()
