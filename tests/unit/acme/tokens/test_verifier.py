"""The verifier: what becomes of tokens, and when nothing is believed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from acme.context import Kind, Membership
from acme.contracts.authority.v1 import ChangesReply, ChangesRequest
from acme.errors import Unauthenticated, Unavailable
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from acme.tokens import verifier as module
from acme.tokens.settings import PATIENCE
from tests.unit.acme.authority import Authority, Direct, refusal


async def test_a_good_token_becomes_a_principal(authority: Authority, verifier: Verifier) -> None:
    principal = await verifier.verify(authority.token(scope="projects.read projects.create"))
    assert principal.kind is Kind.USER
    assert (principal.id, principal.session, principal.organization) == ("usr_1", "ses_1", "org_1")
    assert principal.scopes == {"projects.read", "projects.create"}
    assert principal.memberships == {"org_1": Membership("owner", default_role="owner")}
    assert (principal.region, principal.epoch) == ("us-east", 1)
    assert principal.expires_at == authority.clock.time() + 600


async def test_a_token_is_known_from_its_verification_until_it_expires_or_revocations_are_not_known(
    authority: Authority, verifier: Verifier
) -> None:
    token, at, now = authority.token(), time.monotonic(), authority.clock.time()
    assert verifier.known(token, at, now) is None
    principal = await verifier.verify(token)
    assert verifier.known(token, at, now) is principal
    assert verifier.known(token, at, principal.expires_at) is None
    assert verifier.known(token, at + 1.1, now) is None


async def test_all_pages_of_changes_are_read_in_one_poll(authority: Authority, verifier: Verifier) -> None:
    authority.page = 3
    for number in range(10):
        authority.revoke_session(f"ses_{number}")
    await verifier.poll()
    assert (await refusal(verifier, authority.token(sid="ses_9"))).reason == "token_revoked"


async def test_without_a_successful_poll_nothing_is_believed(authority: Authority) -> None:
    authority.up = False
    verifier = Verifier(Direct(authority), authority.clock, TokenSettings(), Metrics())
    assert not verifier.fresh
    with pytest.raises(Unavailable) as caught:
        await verifier.verify(authority.token())
    assert caught.value.retry_after == 1


async def test_a_second_without_a_poll_is_too_long(
    authority: Authority, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verifier.fresh
    authority.up = False
    later = time.monotonic() + 1.1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)  # type: ignore[attr-defined]  # our own import of time
    await verifier.poll()
    assert not verifier.fresh
    authority.up = True
    await verifier.poll()
    assert verifier.fresh


async def test_an_authority_that_hangs_costs_a_poll_and_not_the_loop(authority: Authority) -> None:
    class Hanging(Direct):
        async def changes(self, *args: Any, timeout: float | None = None, **more: Any) -> Any:
            assert timeout is not None
            assert timeout <= 0.2
            return await super().changes(*args, timeout=0.001, **more)

    class Slow(Authority):
        async def changes(self, message: Any) -> Any:
            await asyncio.Event().wait()

    verifier = Verifier(Hanging(Slow()), authority.clock, TokenSettings(), Metrics())
    await verifier.poll()
    assert not verifier.fresh


async def test_refusals_are_counted_by_reason(authority: Authority) -> None:
    metrics = Metrics()
    verifier = Verifier(Direct(authority), authority.clock, TokenSettings(), metrics)
    await verifier.poll()
    with pytest.raises(Unauthenticated):
        await verifier.verify("a.b.c")
    await verifier.verify(authority.token())
    rendered = metrics.render()
    assert b'acme_token_verifications_total{result="invalid_token"} 1.0' in rendered
    assert b'acme_token_verifications_total{result="ok"} 1.0' in rendered


class Slow(Direct):
    """Changes arrive when the test lets them."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority)
        self.asked = 0
        self.answers = asyncio.Semaphore(0)

    async def changes(self, message: ChangesRequest, *, timeout: float | None = None, **_: Any) -> ChangesReply:
        self.asked += 1
        reply = await super().changes(message)  # as of now, whenever it arrives
        await self.answers.acquire()
        return reply


async def begun(slow: Slow, polls: int) -> None:
    async with asyncio.timeout(5):
        while slow.asked < polls:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)


async def test_whoever_comes_during_a_poll_shares_the_next_one(authority: Authority) -> None:
    slow = Slow(authority)
    verifier = Verifier(slow, authority.clock, TokenSettings(), Metrics())
    async with asyncio.TaskGroup() as group:
        group.create_task(verifier.poll())
        await begun(slow, 1)
        authority.revoke_session("ses_1")  # after the first was answered
        waiting = [group.create_task(verifier.catch_up()) for _ in range(20)]
        await asyncio.sleep(0)
        slow.answers.release()
        await begun(slow, 2)
        assert not any(task.done() for task in waiting)
        slow.answers.release()
    assert (slow.asked, verifier.seen) == (2, 1)


async def test_a_change_that_is_known_costs_no_poll(authority: Authority) -> None:
    slow = Slow(authority)
    verifier = Verifier(slow, authority.clock, TokenSettings(), Metrics())
    authority.revoke_session("ses_1")
    slow.answers.release()
    await verifier.catch_up(1)
    assert verifier.seen == 1
    await verifier.catch_up(1)
    assert slow.asked == 1


async def test_an_authority_that_says_nothing_holds_nobody_up(authority: Authority) -> None:
    slow = Slow(authority)
    verifier = Verifier(slow, authority.clock, TokenSettings(), Metrics())
    async with asyncio.timeout(10 * PATIENCE):
        await asyncio.gather(*(verifier.catch_up(7) for _ in range(20)))
    assert not verifier.fresh
    slow.answers.release()
    await verifier.poll()
    assert verifier.fresh


async def test_a_poll_that_is_cancelled_is_made_by_those_who_waited_for_it(authority: Authority) -> None:
    slow = Slow(authority)
    verifier = Verifier(slow, authority.clock, TokenSettings(), Metrics())
    async with asyncio.TaskGroup() as group:
        group.create_task(verifier.poll())
        await begun(slow, 1)
        first, second = group.create_task(verifier.poll()), group.create_task(verifier.poll())
        await asyncio.sleep(0)
        authority.revoke_session("ses_1")
        slow.answers.release()
        await begun(slow, 2)
        first.cancel()
        await begun(slow, 3)
        slow.answers.release()
        await second
    assert verifier.seen == 1


async def test_a_process_that_stood_still_asks_before_it_refuses(
    authority: Authority, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = authority.token()
    await verifier.verify(token)
    authority.revoke_session("ses_2")
    later = time.monotonic() + 5
    monkeypatch.setattr(module.time, "monotonic", lambda: later)  # type: ignore[attr-defined]  # our own import of time
    assert not verifier.fresh
    assert (await verifier.verify(token)).id == "usr_1"
    assert verifier.fresh
    assert (await refusal(verifier, authority.token(sid="ses_2"))).reason == "token_revoked"
