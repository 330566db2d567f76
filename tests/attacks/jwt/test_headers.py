"""Headers that would have a verifier believe what it must not: RFC 7515 (sections 4 and 10), RFC 8725 (sections 2 and 3)."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.attacks.jwt.world import Side, Signature, World, b64

P256, P384, P521 = (ECKey.generate_key(curve) for curve in ("P-256", "P-384", "P-521"))
K1, RSA, ED = ECKey.generate_key("secp256k1"), RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519")

Case = Callable[[Side], str]


def said(**header: Any) -> Case:
    """A header that says this, under a real signature."""
    return lambda side: side.token(side.header(**header))


def unsigned(**header: Any) -> Case:
    """A header that says this, and no signature worth the name."""
    return lambda side: side.token(side.header(**header), signature=lambda _: b"\0")


def keyed(alg: str, secret: Callable[[Side], bytes], **header: Any) -> Case:
    """An HMAC with what the attacker knows as its secret (RFC 8725, section 2.1)."""
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]

    def case(side: Side) -> str:
        sign: Signature = lambda content: hmac.digest(secret(side), content, digest)  # noqa: E731 - one expression
        return side.token(side.header(alg=alg, **header), signature=sign)

    return case


def other(alg: str, key: Any, **header: Any) -> Case:
    """Signed with a key of the attacker's own."""
    return lambda side: side.token(
        side.header(alg=alg, **{name: of(side) if callable(of) else of for name, of in header.items()}),
        signature=lambda content: side.sign(content, alg, key),
    )


def pem(side: Side) -> bytes:
    return side.key.as_pem(private=False)


def jwk(side: Side) -> bytes:
    return json.dumps(side.key.as_dict(private=False)).encode()


def coordinate(side: Side) -> bytes:
    return str(side.key.as_dict(private=False)["x"]).encode()


def public(key: ECKey | RSAKey | OKPKey) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k1"}


ALGORITHMS: dict[str, Case] = {
    "alg-none": unsigned(alg="none"),
    "alg-none-under-a-real-signature": said(alg="none"),
    "alg-None": unsigned(alg="None"),
    "alg-NONE": unsigned(alg="NONE"),
    "alg-nOnE": said(alg="nOnE"),
    "alg-empty": said(alg=""),
    "alg-null": said(alg=None),
    "alg-missing": said(alg=...),
    "alg-number": said(alg=256),
    "alg-truth": said(alg=True),
    "alg-list": said(alg=["ES256"]),
    "alg-object": said(alg={"name": "ES256"}),
    "alg-lower-case": said(alg="es256"),
    "alg-with-a-space": said(alg="ES256 "),
    "alg-with-a-nul": said(alg="ES256\0"),
    "alg-of-another-curve-under-a-real-signature": said(alg="ES384"),
    "alg-of-rsa-under-a-real-signature": said(alg="RS256"),
    "alg-hs256-under-a-real-signature": said(alg="HS256"),
    "alg-unheard-of": said(alg="ES257"),
    "confusion-hs256-with-the-pem": keyed("HS256", pem),
    "confusion-hs256-with-the-pem-without-its-end": keyed("HS256", lambda side: pem(side).rstrip()),
    "confusion-hs384-with-the-pem": keyed("HS384", pem),
    "confusion-hs512-with-the-pem": keyed("HS512", pem),
    "confusion-hs256-with-the-jwk": keyed("HS256", jwk),
    "confusion-hs256-with-a-coordinate": keyed("HS256", coordinate),
    "confusion-hs256-with-the-kid": keyed("HS256", lambda side: side.kid.encode()),
    "empty-key-hs256": keyed("HS256", lambda _: b""),
    "empty-key-hs512": keyed("HS512", lambda _: b""),
    "weak-key-hs256": keyed("HS256", lambda _: b"secret"),
    "attackers-es256-under-the-same-kid": other("ES256", P256),
    "attackers-es384": other("ES384", P384),
    "attackers-es512": other("ES512", P521),
    "attackers-es256k": other("ES256K", K1),
    "attackers-rs256": other("RS256", RSA),
    "attackers-ps256": other("PS256", RSA),
    "attackers-ed25519": other("Ed25519", ED),
}

KEYS: dict[str, Case] = {
    "jwk-of-the-attacker": other("ES256", P256, jwk=public(P256)),
    "jwk-of-the-attacker-without-kid": other("ES256", P256, jwk=public(P256), kid=...),
    "jwk-of-the-attacker-for-rs256": other("RS256", RSA, jwk=public(RSA)),
    "jwk-real-under-a-real-signature": lambda side: said(jwk=side.key.as_dict(private=False))(side),
    "jwk-symmetric": keyed("HS256", lambda _: b"k" * 32, jwk={"kty": "oct", "k": b64(b"k" * 32)}),
    "jwk-null": said(jwk=None),
    "jku-of-the-attacker": other("ES256", P256, jku=lambda side: f"{side.trap}/keys"),
    "jku-of-the-attacker-with-the-issuer-as-user": other(
        "ES256", P256, jku=lambda side: side.trap.replace("//", "//acme.localhost@") + "/keys"
    ),
    "jku-of-a-file": other("ES256", P256, jku="file:///etc/passwd"),
    "jku-of-a-cloud": other("ES256", P256, jku="http://169.254.169.254/latest/meta-data/"),
    "jku-under-a-real-signature": lambda side: said(jku=f"{side.trap}/keys")(side),
    "x5u-of-the-attacker": other("ES256", P256, x5u=lambda side: f"{side.trap}/certificate"),
    "x5u-under-a-real-signature": lambda side: said(x5u=f"{side.trap}/certificate")(side),
    "x5c-of-the-attacker": other("ES256", P256, x5c=["MIIB"]),
    "x5c-under-a-real-signature": said(x5c=["MIIB"]),
    "x5c-empty": said(x5c=[]),
    "kid-missing": said(kid=...),
    "kid-empty": said(kid=""),
    "kid-null": said(kid=None),
    "kid-number": said(kid=1),
    "kid-list": said(kid=["k1"]),
    "kid-object": said(kid={"$ne": ""}),
    "kid-in-other-case": said(kid="K1"),
    "kid-with-a-space": said(kid="k1 "),
    "kid-with-a-nul": said(kid="k1\0"),
    "kid-with-a-line-break": said(kid="k1\r\nX-Evil: 1"),
    "kid-percent-encoded": said(kid="%6b1"),
    "kid-homograph": said(kid="κ1"),
    "kid-half-a-surrogate": said(kid="\ud800"),
    "kid-walks-to-nothing": keyed("HS256", lambda _: b"", kid="../../../../../../dev/null"),
    "kid-walks-to-a-known-file": keyed("HS256", lambda _: b"1\n", kid="/proc/sys/kernel/randomize_va_space"),
    "kid-walks-back": said(kid="x/../k1"),
    "kid-sql-or": said(kid="' OR '1'='1"),
    "kid-sql-union": keyed("HS256", lambda _: b"a", kid="x' UNION SELECT 'a' -- "),
    "kid-shell": said(kid="k1; sleep 5"),
    "kid-template": said(kid="{{7*7}}${7*7}"),
    "kid-url-of-the-attacker": lambda side: other("ES256", P256, kid=f"{side.trap}/keys#k1")(side),
    "kid-endless": said(kid="k" * 2000),
    "kid-of-the-prototype": said(kid="__proto__"),
    "epk": said(epk={"kty": "EC"}),
}

CRITICAL: dict[str, Case] = {
    "crit-unheard-of": said(crit=["acme"], acme=True),
    "crit-of-a-claim": said(crit=["exp"], exp=1),
    "crit-empty": said(crit=[]),
    "crit-text": said(crit="exp"),
    "crit-null": said(crit=None),
    "crit-of-registered-members": said(crit=["alg", "kid"]),
    "crit-b64-false": said(crit=["b64"], b64=False),
    "crit-b64-true": said(crit=["b64"], b64=True),
    "b64-false-without-crit": said(b64=False),
    "b64-true-without-crit": said(b64=True),
    "b64-false-with-a-body-as-it-is": lambda side: _unencoded(side),
    "zip": said(zip="DEF"),
    "enc": said(enc="A256GCM"),
    "cty-jwt": said(cty="JWT"),
    "iss-in-the-header": said(iss="https://acme.localhost"),
    "nonce-in-the-header": said(nonce="1"),
    "apu-apv": said(apu="", apv=""),
    "ppt": said(ppt="shaken"),
    "member-without-a-name": said(**{"": 1}),
}

TYPES: dict[str, Case] = {
    "typ-missing": said(typ=...),
    "typ-empty": said(typ=""),
    "typ-null": said(typ=None),
    "typ-number": said(typ=1),
    "typ-list": said(typ=["at+jwt"]),
    "typ-JWT": said(typ="JWT"),
    "typ-jwt": said(typ="jwt"),
    "typ-id-token": said(typ="id_token"),
    "typ-logout": said(typ="logout+jwt"),
    "typ-dpop": said(typ="dpop+jwt"),
    "typ-introspection": said(typ="token-introspection+jwt"),
    "typ-refresh": said(typ="rt+jwt"),
    "typ-with-a-parameter": said(typ="at+jwt;v=1"),
    "typ-with-a-space": said(typ="at+jwt "),
    "typ-of-another-tree": said(typ="text/at+jwt"),
    "typ-twice-its-tree": said(typ="application/application/at+jwt"),
}


def _unencoded(side: Side) -> str:
    """RFC 7797: the body is signed as it is, and a verifier that believes the header reads other claims than were signed."""
    head, body = b64(json.dumps(side.header(b64=False, crit=["b64"]))), b64(json.dumps(side.claims()))
    return f"{head}.{body}.{b64(side.sign(head.encode() + b'.' + json.dumps(side.claims()).encode()))}"


ALL = {**ALGORITHMS, **KEYS, **CRITICAL, **TYPES}


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_a_header_that_asks_for_trust_gets_none(world: World, side: Side, case: Case) -> None:
    await world.refused(case(side))
