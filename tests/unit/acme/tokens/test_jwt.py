"""What of a JWT access token is accepted, and what is refused and why."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from acme.errors import Code
from acme.tokens import Verifier
from tests.unit.acme.authority import Authority, part, refusal


async def test_an_audience_may_be_a_list_that_holds_ours(authority: Authority, verifier: Verifier) -> None:
    assert (await verifier.verify(authority.token(aud=["other", "acme-api"]))).id == "usr_1"


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
