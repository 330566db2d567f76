"""The authority's keys: how they are fetched, withdrawn, and which are left out."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from acme.tokens import Verifier
from tests.unit.acme.authority import Authority, part, refusal


async def test_a_new_key_is_fetched_when_the_version_moves(authority: Authority, verifier: Verifier) -> None:
    authority.publish("k2")
    await verifier.poll()
    asked = authority.asked
    assert (await verifier.verify(authority.token("k2"))).id == "usr_1"
    assert authority.asked == asked


async def test_an_unknown_key_is_fetched_once_for_all_who_wait(authority: Authority, verifier: Verifier) -> None:
    authority.publish("k2")
    asked = authority.asked
    principals = await asyncio.gather(*(verifier.verify(authority.token("k2", jti=str(n))) for n in range(20)))
    assert len(principals) == 20
    assert authority.asked == asked + 1


async def test_unknown_keys_do_not_make_us_ask_again_and_again(authority: Authority, verifier: Verifier) -> None:
    asked = authority.asked
    for number in range(50):
        token = f"{part({'alg': 'ES256', 'typ': 'at+jwt', 'kid': f'none-{number}'})}.{part(authority.claims())}.AA"
        assert (await refusal(verifier, token)).reason == "invalid_token"
    assert authority.asked == asked + 1


async def test_keys_that_cannot_be_fetched_are_an_unknown_key(authority: Authority, verifier: Verifier) -> None:
    await verifier.verify(authority.token("k1"))
    authority.publish("k2")
    authority.up = False
    assert (await refusal(verifier, authority.token("k2"))).reason == "invalid_token"
    assert (await verifier.verify(authority.token("k1", jti="2"))).id == "usr_1"


async def test_a_withdrawn_key_takes_its_cached_tokens_along(authority: Authority, verifier: Verifier) -> None:
    token = authority.token()
    await verifier.verify(token)
    authority.publish("k2")
    authority.withdraw("k1")
    await verifier.poll()
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "invalid_token"


async def test_a_key_is_not_believed_before_its_time_nor_after_its_end(
    authority: Authority, verifier: Verifier
) -> None:
    now = authority.clock.now()
    authority.publish("early", not_before=now + timedelta(minutes=1))
    authority.publish("ending", retired_at=now + timedelta(minutes=1))
    await verifier.poll()
    assert (await refusal(verifier, authority.token("early"))).reason == "invalid_token"
    token = authority.token("ending")
    assert (await verifier.verify(token)).expires_at == (now + timedelta(minutes=1)).timestamp()
    authority.clock.advance(60)
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "HS256"},
        {"algorithm": "none"},
        {"jwk": "{"},
        {"jwk": '{"kty":"oct","k":"c2VjcmV0"}'},
        {"jwk": "1"},
    ],
)
async def test_a_published_key_of_another_kind_is_left_out(
    authority: Authority, verifier: Verifier, change: dict[str, str]
) -> None:
    authority.publish("odd")
    for name, value in change.items():
        setattr(authority.published["odd"], name, value)
    await verifier.poll()
    assert [key["kid"] for key in verifier.jwks()["keys"]] == ["k1"]
    assert verifier.fresh


async def test_the_key_set_shows_public_members_only(authority: Authority, verifier: Verifier) -> None:
    key = authority.private["k1"].as_dict(private=True)
    authority.published["k1"].jwk = json.dumps(key)
    authority.key_version += 1
    await verifier.poll()
    (shown,) = verifier.jwks()["keys"]
    assert shown.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
