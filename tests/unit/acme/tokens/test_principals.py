"""Verified tokens are kept, to a limit."""

from __future__ import annotations

from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from tests.unit.acme.authority import Authority, Direct, refusal


async def test_a_verified_token_is_cached_until_it_expires(authority: Authority, verifier: Verifier) -> None:
    token = authority.token()
    assert verifier.cached(token) is None
    principal = await verifier.verify(token)
    assert verifier.cached(token) is principal
    authority.clock.advance(600)
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "token_expired"


async def test_the_cache_is_bounded_and_the_oldest_goes(authority: Authority) -> None:
    metrics = Metrics()
    verifier = Verifier(Direct(authority), authority.clock, TokenSettings(cache=3), metrics)
    await verifier.poll()
    made = [authority.token(jti=str(number), sid=f"ses_{number}") for number in range(5)]
    for token in made:
        await verifier.verify(token)
    assert [verifier.cached(token) is not None for token in made] == [False, False, True, True, True]
    assert b"acme_token_cache_tokens 3.0" in metrics.render()
