"""The verifier: what becomes of tokens, and when nothing is believed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from acme.context import Kind, Membership
from acme.errors import Unauthenticated, Unavailable
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from acme.tokens import verifier as module
from tests.unit.acme.authority import Authority, Direct, refusal


async def test_a_good_token_becomes_a_principal(authority: Authority, verifier: Verifier) -> None:
    principal = await verifier.verify(authority.token(scope="projects.read projects.create"))
    assert principal.kind is Kind.USER
    assert (principal.id, principal.session, principal.organization) == ("usr_1", "ses_1", "org_1")
    assert principal.scopes == {"projects.read", "projects.create"}
    assert principal.memberships == {"org_1": Membership("owner", default_role="owner")}
    assert (principal.region, principal.epoch) == ("us-east", 1)
    assert principal.expires_at == authority.clock.time() + 600


async def test_all_pages_of_changes_are_read_in_one_poll(authority: Authority, verifier: Verifier) -> None:
    authority.page = 3
    for number in range(10):
        authority.revoke_session(f"ses_{number}")
    await verifier.poll()
    assert (await refusal(verifier, authority.token(sid="ses_9"))).reason == "token_revoked"


async def test_without_a_successful_poll_nothing_is_believed(authority: Authority) -> None:
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
