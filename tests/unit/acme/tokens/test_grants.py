"""Memberships: asked for once, dropped when the feed names them, and never older than what the feed has said."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from acme.context import Membership
from acme.contracts.authority.v1 import GrantsReply
from acme.contracts.authority.v1 import Membership as Said
from acme.errors import Unavailable
from acme.tokens import TokenSettings, Verifier, memberships
from acme.tokens.grants import Grants
from tests.unit.acme.authority import Authority, Direct

MEMBER = Said(organization_id="org_1", role="member", default_role="viewer", teams=["tem_1"])
VIEWER = Said(organization_id="org_1", role="viewer", default_role="viewer")
CUSTOM = Said(organization_id="org_2", role="rol_1", permissions=["projects.read"])


def test_an_answer_becomes_memberships_by_organisation() -> None:
    assert memberships(GrantsReply(memberships=[MEMBER, CUSTOM])) == {
        "org_1": Membership("member", default_role="viewer", teams=("tem_1",)),
        "org_2": Membership("rol_1", permissions=frozenset({"projects.read"})),
    }


async def test_a_subject_is_asked_about_once_whatever_tokens_it_has(authority: Authority, verifier: Verifier) -> None:
    first, second = await asyncio.gather(
        *(verifier.verify(authority.token(jti=str(number), sid=f"ses_{number}")) for number in range(2))
    )
    await verifier.verify(authority.token(jti="3"))
    assert authority.looked_up == ["usr_1"]
    assert first.memberships == second.memberships


async def test_a_change_of_a_subject_is_known_after_the_next_poll_and_costs_no_token(
    authority: Authority, verifier: Verifier
) -> None:
    token = authority.token()
    await verifier.verify(token)
    authority.change_grants("usr_1", MEMBER, CUSTOM)
    await verifier.poll()
    assert verifier.cached(token) is None
    assert (await verifier.verify(token)).memberships.keys() == {"org_1", "org_2"}
    authority.change_grants("usr_1")
    await verifier.poll()
    assert (await verifier.verify(token)).memberships == {}


async def test_a_change_of_an_organisation_concerns_its_members_and_nobody_else(
    authority: Authority, verifier: Verifier
) -> None:
    authority.members["usr_2"] = [CUSTOM]
    mine, other = authority.token(), authority.token(sub="usr_2", sid="ses_2")
    for token in (mine, other):
        await verifier.verify(token)
    authority.members["usr_1"] = [VIEWER]
    authority.change_organization("org_1")
    await verifier.poll()
    assert verifier.cached(mine) is None
    assert verifier.cached(other) is not None
    assert (await verifier.verify(mine)).memberships["org_1"].role == "viewer"
    assert authority.looked_up == ["usr_1", "usr_2", "usr_1"]


@pytest.mark.parametrize("whole", [False, True])
async def test_an_answer_that_a_change_has_overtaken_is_thrown_away(
    authority: Authority, verifier: Verifier, whole: bool
) -> None:
    """CVE-shaped: the look-up reads "member", the role is taken away, the poll says so before the answer is there."""
    authority.members["usr_1"] = [MEMBER]

    async def overtake() -> None:
        authority.on_the_way = None
        if whole:
            authority.members["usr_1"] = [VIEWER]
            authority.change_organization("org_1")
        else:
            authority.change_grants("usr_1", VIEWER)
        await verifier.poll()

    authority.on_the_way = overtake
    token = authority.token()
    assert (await verifier.verify(token)).memberships["org_1"].role == "viewer"
    kept = verifier.cached(token)
    assert kept is not None
    assert kept.memberships["org_1"].role == "viewer"
    assert authority.looked_up == ["usr_1", "usr_1"]


async def test_an_answer_that_includes_the_change_is_kept_though_the_poll_comes_later(
    authority: Authority, verifier: Verifier
) -> None:
    authority.change_grants("usr_1", VIEWER)
    token = authority.token()
    await verifier.verify(token)
    await verifier.poll()  # drops it, as it must: it does not know what was verified when
    await verifier.verify(token)
    await verifier.poll()
    assert verifier.cached(token) is not None


async def test_a_session_that_ends_during_the_look_up_is_dead(authority: Authority, verifier: Verifier) -> None:
    async def overtake() -> None:
        authority.revoke_session("ses_1")
        await verifier.poll()

    authority.on_the_way = overtake
    with pytest.raises(Exception, match="revoked"):
        await verifier.verify(authority.token())


async def test_a_key_that_is_withdrawn_during_the_look_up_is_unknown(authority: Authority, verifier: Verifier) -> None:
    async def overtake() -> None:
        authority.withdraw("k1")
        await verifier.poll()

    authority.on_the_way = overtake
    with pytest.raises(Exception, match="unknown key"):
        await verifier.verify(authority.token())


async def test_answers_that_are_always_overtaken_are_given_up(authority: Authority, verifier: Verifier) -> None:
    async def overtake() -> None:
        authority.change_grants("usr_1", VIEWER)
        await verifier.poll()

    authority.on_the_way = overtake
    with pytest.raises(Unavailable):
        await verifier.verify(authority.token())
    assert len(authority.looked_up) == 5


async def test_a_membership_ends_in_the_moment_it_says(authority: Authority, verifier: Verifier) -> None:
    ends = authority.clock.now() + timedelta(seconds=60)
    authority.members["usr_1"] = [MEMBER, Said(organization_id="org_2", role="viewer", expires_at=ends)]
    token = authority.token()
    assert (await verifier.verify(token)).expires_at == ends.timestamp()
    authority.clock.advance(59)
    assert verifier.cached(token) is not None
    authority.clock.advance(1)
    assert verifier.cached(token) is None
    # Even while the authority's clock is behind ours, and it still names the membership.
    assert (await verifier.verify(token)).memberships.keys() == {"org_1"}


async def test_an_authority_that_does_not_answer_costs_no_token(authority: Authority, verifier: Verifier) -> None:
    token = authority.token()
    authority.up = False
    with pytest.raises(Unavailable) as refused:
        await verifier.verify(token)
    assert refused.value.reason == "tokens_unavailable"
    authority.up = True
    assert (await verifier.verify(token)).id == "usr_1"


async def test_an_authority_whose_database_was_restored_is_asked_again(
    authority: Authority, verifier: Verifier
) -> None:
    authority.change_grants("usr_1", MEMBER)
    await verifier.poll()
    token = authority.token()
    assert (await verifier.verify(token)).memberships["org_1"].role == "member"
    authority.revoked.clear()
    authority.members["usr_1"] = [VIEWER]
    await verifier.poll()
    assert (await verifier.verify(token)).memberships["org_1"].role == "viewer"


def grants(authority: Authority, limit: int = 100) -> Grants:
    return Grants(Direct(authority), authority.clock.time, TokenSettings(cache=limit))


async def test_the_newer_of_two_answers_is_kept(authority: Authority) -> None:
    kept = grants(authority)
    kept.keep("usr_1", GrantsReply(memberships=[VIEWER], sequence=2))
    kept.keep("usr_1", GrantsReply(memberships=[MEMBER], sequence=1))
    assert (await kept.of("usr_1")).memberships["org_1"].role == "viewer"
    assert authority.looked_up == []


async def test_what_is_kept_is_bounded_and_the_oldest_goes(authority: Authority) -> None:
    kept = grants(authority, limit=2)
    for number in range(4):
        kept.keep(f"usr_{number}", GrantsReply(sequence=0))
    for number in (3, 2, 1):
        await kept.of(f"usr_{number}")
    assert authority.looked_up == ["usr_1"]


async def test_what_is_kept_is_asked_again_while_the_feed_still_reaches_back(authority: Authority) -> None:
    kept = grants(authority)
    await kept.of("usr_1")
    authority.clock.advance(899)
    await kept.of("usr_1")
    authority.clock.advance(1)
    await kept.of("usr_1")
    assert authority.looked_up == ["usr_1", "usr_1"]


async def test_changes_are_forgotten_when_no_answer_can_lack_them(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = grants(authority)
    now = 100.0
    monkeypatch.setattr("acme.tokens.grants.time.monotonic", lambda: now)
    kept.follow({"usr_1": 7}, {})
    now += 19
    kept.follow({"usr_2": 8}, {})
    kept.forget()
    assert set(kept._changed) == {"usr_1", "usr_2"}
    now += 2
    kept.forget()
    assert set(kept._changed) == {"usr_2"}
