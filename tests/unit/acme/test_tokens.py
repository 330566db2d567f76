"""Access tokens: what is accepted, what is refused and why, and how revocations and keys are followed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest

from acme import tokens
from acme.context import Kind, Membership
from acme.errors import Code, Refused, Unauthenticated, Unavailable
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from tests.unit.acme.authority import Authority, Direct, part


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def verifier(authority: Authority) -> Verifier:
    made = Verifier(Direct(authority), authority.clock, TokenSettings(), Metrics())
    await made.poll()
    return made


async def refusal(verifier: Verifier, token: str) -> Refused:
    with pytest.raises(Refused) as caught:
        await verifier.verify(token)
    return caught.value


async def test_a_good_token_becomes_a_principal(authority: Authority, verifier: Verifier) -> None:
    principal = await verifier.verify(authority.token(scope="projects.read projects.create"))
    assert principal.kind is Kind.USER
    assert (principal.id, principal.session, principal.organization) == ("usr_1", "ses_1", "org_1")
    assert principal.scopes == {"projects.read", "projects.create"}
    assert principal.memberships == {"org_1": Membership("owner", default_role="owner")}
    assert (principal.region, principal.epoch) == ("us-east", 1)
    assert principal.expires_at == authority.clock.time() + 600


async def test_an_audience_may_be_a_list_that_holds_ours(authority: Authority, verifier: Verifier) -> None:
    assert (await verifier.verify(authority.token(aud=["other", "acme-api"]))).id == "usr_1"


async def test_a_verified_token_is_cached_until_it_expires(authority: Authority, verifier: Verifier) -> None:
    token = authority.token()
    assert verifier.cached(token) is None
    principal = await verifier.verify(token)
    assert verifier.cached(token) is principal
    authority.clock.advance(600)
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "token_expired"


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "other issuer": {"iss": "https://elsewhere.example"},
    "no issuer": {"iss": None},
    "other audience": {"aud": "other-api"},
    "list of other audiences": {"aud": ["other-api"]},
    "no audience": {"aud": None},
    "audience as a prefix": {"aud": "acme-api-2"},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": "9999999999"},
    "expiry as a truth": {"exp": True},
    "endless expiry": {"exp": 1e300},
    "life longer than allowed": {"exp": 1_900_000_000},
    "not yet valid": {"nbf": 1_900_000_000},
    "no nbf": {"nbf": None},
    "issued in the future": {"iat": 1_900_000_000, "exp": 1_900_000_600},
    "negative time": {"iat": -1},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "subject as a number": {"sub": 7},
    "subject that breaks a log line": {"sub": 'usr_1","x":"y'},
    "no session": {"sid": None},
    "scope as a list": {"scope": ["*"]},
    "no scope": {"scope": None},
    "auth_time as text": {"auth_time": "noon"},
    "no auth_time": {"auth_time": None},
    "epoch as text": {"epoch": "1"},
    "epoch as a truth": {"epoch": True},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_a_wrong_claim_is_refused(authority: Authority, verifier: Verifier, claims: dict[str, Any]) -> None:
    refused = await refusal(verifier, authority.token(**claims))
    assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "invalid_token")
    assert verifier.cached(authority.token(**claims)) is None


@pytest.mark.parametrize("claim", [{"nbf": 4}, {"iat": 4}])
async def test_clocks_may_differ_a_little(authority: Authority, verifier: Verifier, claim: dict[str, int]) -> None:
    late: dict[str, Any] = {name: int(authority.clock.time()) + ahead for name, ahead in claim.items()}
    assert (await verifier.verify(authority.token(**late))).id == "usr_1"


async def test_an_expired_token_is_told_from_a_wrong_one(authority: Authority, verifier: Verifier) -> None:
    expired = authority.token(exp=int(authority.clock.time()))
    assert (await refusal(verifier, expired)).reason == "token_expired"


def unsigned(authority: Authority, **header: Any) -> str:
    return f"{part({'typ': 'at+jwt', 'kid': 'k1', **header})}.{part(authority.claims())}"


def hs256(authority: Authority) -> str:
    """Signed with the public key as the secret of an HMAC."""
    signed = unsigned(authority, alg="HS256")
    mac = hmac.digest(authority.private["k1"].as_pem(private=False), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered(authority: Authority) -> str:
    head, _, signature = authority.token().split(".")
    return f"{head}.{part(authority.claims(sub='usr_2'))}.{signature}"


def resigned(authority: Authority) -> str:
    """Signed with another key under the same kid."""
    other = Authority(clock=authority.clock)
    return other.token()


def embedded(authority: Authority) -> str:
    """Signed with a key that the token brings along."""
    other = Authority(clock=authority.clock)
    return other.token(header={"jwk": other.private["k1"].as_dict(private=False)})


WRONG_TOKENS = {
    "nothing": lambda a: "",
    "words": lambda a: "let me in",
    "two parts": lambda a: "a.b",
    "five parts, a JWE": lambda a: "a.b.c.d.e",
    "line break at the end": lambda a: a.token() + "\n",
    "padding": lambda a: a.token() + "==",
    "lone surrogates": lambda a: a.token() + "\udcff",
    "too long": lambda a: a.token(jti="x" * 9000),
    "alg none": lambda a: unsigned(a, alg="none") + ".AA",
    "alg none without signature": lambda a: unsigned(a, alg="none") + ".",
    "alg None": lambda a: unsigned(a, alg="None") + ".AA",
    "no alg": lambda a: unsigned(a) + ".AA",
    "HMAC with the public key": hs256,
    "other algorithm": lambda a: unsigned(a, alg="ES384") + ".AA",
    "tampered body": tampered,
    "signed by another key": resigned,
    "key in the header": embedded,
    "jku": lambda a: a.token(header={"jku": "https://elsewhere.example/keys"}),
    "x5u": lambda a: a.token(header={"x5u": "https://elsewhere.example/key"}),
    "crit": lambda a: unsigned(a, alg="ES256", crit=["exp"]) + ".AA",
    "b64": lambda a: unsigned(a, alg="ES256", b64=False, crit=["b64"]) + ".AA",
    "typ JWT": lambda a: a.token(header={"typ": "JWT"}),
    "typ in other case": lambda a: a.token(header={"typ": "AT+JWT"}),
    "typ with its media type": lambda a: a.token(header={"typ": "application/at+jwt"}),
    "no typ": lambda a: f"{part({'alg': 'ES256', 'kid': 'k1'})}.{part(a.claims())}.AA",
    "no kid": lambda a: f"{part({'alg': 'ES256', 'typ': 'at+jwt'})}.{part(a.claims())}.AA",
    "kid as a list": lambda a: unsigned(a, alg="ES256", kid=["k1"]) + ".AA",
    "kid that walks": lambda a: unsigned(a, alg="ES256", kid="../../k1") + ".AA",
    "duplicate header": lambda a: f"{part(TWICE)}.{part(a.claims())}.AA",
    "header is no object": lambda a: f"{part('[]')}.{part(a.claims())}.AA",
    "header is no JSON": lambda a: f"{part('{')}.{part(a.claims())}.AA",
    "header too deep": lambda a: f"{part('[' * 5000)}.{part('{}')}.AA",
    "body is no object": lambda a: a.sign("[]"),
    "body is no JSON": lambda a: a.sign("{"),
    "body is not UTF-8": lambda a: a.sign(b'{"iss":"\xff"}'),
    "body with NaN": lambda a: a.sign(json.dumps({**a.claims(), "exp": float("nan")})),
    "body with a number of 5,000 digits": lambda a: a.sign('{"exp":' + "9" * 5000 + "}"),
    "duplicate claim": lambda a: a.sign(json.dumps(a.claims())[:-1] + ',"sub":"usr_2"}'),
    "duplicate role": lambda a: a.sign(json.dumps(a.claims())[:-1] + ',"more":{"o":"a","o":"b"}}'),
    "signature of wrong length": lambda a: a.token()[:-4],
    "empty signature": lambda a: a.token().rpartition(".")[0] + ".",
    "signature of zeros": lambda a: a.token().rpartition(".")[0] + "." + "A" * 86,
}
TWICE = '{"alg":"ES256","typ":"at+jwt","kid":"k1","kid":"k1"}'


@pytest.mark.parametrize("make", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
async def test_a_wrong_token_is_refused(authority: Authority, verifier: Verifier, make: Any) -> None:
    token = make(authority)
    refused = await refusal(verifier, token)
    assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "invalid_token")
    assert not token or token not in refused.message


async def test_a_session_s_tokens_die_with_the_next_poll(authority: Authority, verifier: Verifier) -> None:
    mine, other = authority.token(), authority.token(sid="ses_2")
    await verifier.verify(mine)
    await verifier.verify(other)
    authority.revoke_session("ses_1")
    await verifier.poll()
    assert verifier.cached(mine) is None
    assert (await refusal(verifier, mine)).reason == "token_revoked"
    assert (await refusal(verifier, authority.token(jti="2"))).reason == "token_revoked"
    assert verifier.cached(other) is not None


async def test_an_epoch_kills_the_tokens_below_it_and_no_others(authority: Authority, verifier: Verifier) -> None:
    old, new, other = authority.token(epoch=1), authority.token(epoch=2), authority.token(sub="usr_2", epoch=1)
    for token in (old, new, other):
        await verifier.verify(token)
    authority.revoke_epochs("usr_1", 2)
    await verifier.poll()
    assert verifier.cached(old) is None
    assert (await refusal(verifier, old)).reason == "token_revoked"
    assert verifier.cached(new) is not None
    assert verifier.cached(other) is not None


async def test_a_lower_epoch_that_comes_later_revives_nothing(authority: Authority, verifier: Verifier) -> None:
    authority.revoke_epochs("usr_1", 5)
    authority.revoke_epochs("usr_1", 3)
    await verifier.poll()
    assert (await refusal(verifier, authority.token(epoch=4))).reason == "token_revoked"


async def test_all_pages_of_changes_are_read_in_one_poll(authority: Authority, verifier: Verifier) -> None:
    authority.page = 3
    for number in range(10):
        authority.revoke_session(f"ses_{number}")
    await verifier.poll()
    assert (await refusal(verifier, authority.token(sid="ses_9"))).reason == "token_revoked"


async def test_a_revocation_is_forgotten_when_its_tokens_have_expired(authority: Authority, verifier: Verifier) -> None:
    authority.revoke_session("ses_1")
    await verifier.poll()
    authority.clock.advance(899)
    await verifier.poll()
    assert (await refusal(verifier, authority.token())).reason == "token_revoked"
    authority.clock.advance(10)
    await verifier.poll()
    assert (await verifier.verify(authority.token())).session == "ses_1"


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
    monkeypatch.setattr(tokens.time, "monotonic", lambda: later)  # type: ignore[attr-defined]  # our own import of time
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
        token = unsigned(authority, alg="ES256", kid=f"none-{number}") + ".AA"
        assert (await refusal(verifier, token)).reason == "invalid_token"
    assert authority.asked == asked + 1


async def test_keys_that_cannot_be_fetched_are_an_unknown_key(authority: Authority, verifier: Verifier) -> None:
    authority.publish("k2")
    authority.up = False
    assert (await refusal(verifier, authority.token("k2"))).reason == "invalid_token"
    assert (await verifier.verify(authority.token("k1"))).id == "usr_1"


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


async def test_the_cache_is_bounded_and_the_oldest_goes(authority: Authority) -> None:
    metrics = Metrics()
    verifier = Verifier(Direct(authority), authority.clock, TokenSettings(cache=3), metrics)
    await verifier.poll()
    made = [authority.token(jti=str(number), sid=f"ses_{number}") for number in range(5)]
    for token in made:
        await verifier.verify(token)
    assert [verifier.cached(token) is not None for token in made] == [False, False, True, True, True]
    assert b"acme_token_cache_tokens 3.0" in metrics.render()


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
