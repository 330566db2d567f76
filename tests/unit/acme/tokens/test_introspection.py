"""Opaque tokens: whom they stand for, how soon they die, and what a flood of made-up ones costs."""

from __future__ import annotations

import asyncio

import pytest

from acme.context import Kind, Membership
from acme.contracts.authority.v1 import Membership as Said
from acme.errors import Unavailable
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from acme.tokens.introspection import AT_A_TIME, UNKNOWN, UNKNOWN_FOR, WAITING, is_opaque
from tests.unit.acme.authority import Authority, Direct, refusal


def made_up(number: int) -> str:
    return f"acp_{number:043}"


async def test_a_personal_token_stands_for_its_owner_within_its_scopes(
    authority: Authority, verifier: Verifier
) -> None:
    principal = await verifier.verify(token := authority.make_token())
    assert (principal.kind, principal.id, principal.session) == (Kind.USER, "usr_1", "pat_1")
    assert principal.scopes == {"projects.read"}
    assert (principal.organization, principal.region) == ("org_1", "us-east")
    assert principal.memberships == {"org_1": Membership("owner", default_role="owner")}
    assert principal.authenticated_at == 0
    assert verifier.cached(token) is principal
    assert authority.looked_up == [token]


async def test_a_token_that_reads_covers_what_only_reads(authority: Authority) -> None:
    verifier = Verifier(
        Direct(authority), authority.clock, TokenSettings(), Metrics(), frozenset({"projects.read", "members.read"})
    )
    await verifier.poll()
    token = authority.make_token()
    authority.opaque[token].scopes = ["read", "projects.create"]
    principal = await verifier.verify(token)
    assert principal.scopes == {"read", "projects.create", "projects.read", "members.read"}


async def test_a_service_accounts_token_stands_for_a_program(authority: Authority, verifier: Verifier) -> None:
    authority.members["sva_1"] = [Said(organization_id="org_1", role="member", default_role="viewer")]
    principal = await verifier.verify(authority.make_token(subject="sva_1"))
    assert (principal.kind, principal.id) == (Kind.SERVICE_ACCOUNT, "sva_1")
    assert principal.memberships["org_1"].role == "member"


async def test_a_token_is_asked_about_again_after_a_minute(authority: Authority, verifier: Verifier) -> None:
    principal = await verifier.verify(token := authority.make_token())
    assert principal.expires_at == authority.clock.time() + 60
    authority.clock.advance(60)
    assert verifier.cached(token) is None
    await verifier.verify(token)
    assert authority.looked_up == [token, token]


async def test_a_token_ends_in_the_moment_it_says(authority: Authority, verifier: Verifier) -> None:
    principal = await verifier.verify(token := authority.make_token(seconds=30))
    assert principal.expires_at == authority.clock.time() + 30
    authority.clock.advance(30)
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "token_expired"


async def test_a_revoked_token_dies_with_the_next_poll_and_alone(authority: Authority, verifier: Verifier) -> None:
    mine, other = authority.make_token(1), authority.make_token(2)
    for token in (mine, other):
        await verifier.verify(token)
    authority.end_token(mine)
    await verifier.poll()
    assert verifier.cached(mine) is None
    assert (await refusal(verifier, mine)).reason == "invalid_token"
    assert verifier.cached(other) is not None


async def test_a_token_that_is_revoked_during_the_question_is_dead(authority: Authority, verifier: Verifier) -> None:
    token = authority.make_token()

    async def overtake() -> None:
        authority.end_token(token)
        await verifier.poll()

    authority.on_the_way = overtake
    assert (await refusal(verifier, token)).reason == "token_revoked"
    assert verifier.cached(token) is None


async def test_grants_that_a_change_has_overtaken_are_asked_for_again(authority: Authority, verifier: Verifier) -> None:
    async def overtake() -> None:
        authority.on_the_way = None
        authority.change_grants("usr_1")
        await verifier.poll()

    authority.on_the_way = overtake
    token = authority.make_token()
    assert (await verifier.verify(token)).memberships == {}
    assert authority.looked_up == [token, "usr_1"]


async def test_a_change_of_memberships_reaches_opaque_tokens(authority: Authority, verifier: Verifier) -> None:
    await verifier.verify(token := authority.make_token())
    authority.change_grants("usr_1")
    await verifier.poll()
    assert verifier.cached(token) is None
    assert (await verifier.verify(token)).memberships == {}


@pytest.mark.parametrize("token", ["acp_", "acp_" + "0" * 42, "acs_" + "0" * 44, "acp_" + "0" * 42 + "!", "acp_a.b.c"])
async def test_what_cannot_be_one_is_refused_without_a_question(
    authority: Authority, verifier: Verifier, token: str
) -> None:
    assert is_opaque(token)
    assert (await refusal(verifier, token)).reason == "invalid_token"
    assert authority.looked_up == []


async def test_an_unknown_token_is_asked_about_once_in_a_while(
    authority: Authority, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    verifier.__dict__["_polled"] = float("inf")  # fresh, whatever the time
    monkeypatch.setattr("acme.tokens.introspection.time.monotonic", lambda: now)
    for _ in range(3):
        assert (await refusal(verifier, made_up(1))).reason == "invalid_token"
    assert authority.looked_up == [made_up(1)]
    now += UNKNOWN_FOR
    await refusal(verifier, made_up(1))
    assert authority.looked_up == [made_up(1)] * 2


async def test_those_who_send_one_token_at_once_cause_one_question(authority: Authority, verifier: Verifier) -> None:
    async def travel() -> None:
        await asyncio.sleep(0)

    authority.on_the_way = travel
    token = authority.make_token()
    principals = await asyncio.gather(*(verifier.verify(token) for _ in range(50)))
    assert {principal.session for principal in principals} == {"pat_1"}
    assert authority.looked_up == [token]


async def test_a_flood_of_made_up_tokens_is_bounded_and_those_who_were_here_before_pass(
    authority: Authority, verifier: Verifier
) -> None:
    await verifier.verify(before := authority.make_token())
    authority.clock.advance(60)
    gate, under_way, most = asyncio.Event(), 0, 0

    async def held() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if authority.looked_up[-1] != before:
            await gate.wait()
        under_way -= 1

    authority.on_the_way = held
    flood = asyncio.gather(*(refusal(verifier, made_up(number)) for number in range(100, 100 + WAITING + 10)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (await verifier.verify(before)).session == "pat_1"
    gate.set()
    refused = await flood
    assert most <= AT_A_TIME + 1
    assert sum(isinstance(each, Unavailable) for each in refused) == 10
    assert len(authority.looked_up) == 1 + WAITING + 1


async def test_unknown_tokens_are_remembered_to_a_limit(authority: Authority, verifier: Verifier) -> None:
    introspection = verifier._introspection
    for number in range(UNKNOWN + 5):
        introspection._remember(made_up(number))
    assert len(introspection._unknown) == UNKNOWN
    assert made_up(4) not in introspection._unknown
    assert made_up(5) in introspection._unknown


async def test_an_authority_that_does_not_answer_costs_no_token(authority: Authority, verifier: Verifier) -> None:
    token = authority.make_token()
    authority.up = False
    assert (await refusal(verifier, token)).reason == "tokens_unavailable"
    authority.up = True
    assert (await verifier.verify(token)).session == "pat_1"
