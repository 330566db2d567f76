"""JWK Sets of other issuers (RFC 7517): the keys in them that tokens may be verified with, each with the algorithms that fit
it. What cannot be used is left out, as RFC 7517, section 5, wants it: a set may hold what is meant for others."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from acme.tokens.jws import PublicKey, strict_object

MOST: Final = 100
"""Keys of a set that are looked at."""
LONGEST_KID: Final = 256
"""Characters of a key's name."""
_RSA_BITS: Final = range(2048, 8193)
"""RFC 7518, section 3.3, wants 2048; more than 8192 would be a way to keep us busy."""
_EXPONENT: Final = range(3, 2**32)

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FITTING: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
}
"""(kty, crv) → algorithms. Nothing symmetric is in it."""
_MEMBERS: Final = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
"""Of the public half: whoever publishes the other half as well, by mistake, does not make us keep it."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A public key of another issuer."""

    kid: str
    key: PublicKey
    algorithms: frozenset[str]
    """Those that fit it and that its issuer may use."""
    material: tuple[str, ...]
    """Its public members: two keys are the same when these are."""


def read_keys(document: bytes, allowed: Collection[str]) -> dict[str, Trusted]:
    """The usable keys of a JWK Set, by kid. `allowed` are the issuer's algorithms.

    A key without a name, or with one that two keys have, is left out: nobody could tell which is meant.

    Raises:
        ValueError: it is no JWK Set, or holds more than `MOST` keys.
    """
    entries = strict_object(document).get("keys")
    if not isinstance(entries, list):
        raise ValueError("not a JWK Set: it has no list of keys")
    if len(entries) > MOST:
        raise ValueError(f"more than {MOST} keys")
    found = [key for entry in entries if (key := _trusted(entry, allowed)) is not None]
    often = Counter(key.kid for key in found)
    return {key.kid: key for key in found if often[key.kid] == 1}


def _trusted(entry: Any, allowed: Collection[str]) -> Trusted | None:
    if not isinstance(entry, dict):
        return None
    kid, kty, curve = entry.get("kid"), entry.get("kty"), entry.get("crv", "")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_KID or not isinstance(kty, str):
        return None
    fitting = _FITTING.get((kty, curve if isinstance(curve, str) else "?"), ())
    said, operations = entry.get("alg"), entry.get("key_ops", ["verify"])
    algorithms = frozenset(name for name in fitting if name in allowed and said in (None, name))
    signs = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not algorithms or not signs:
        return None
    public = {name: entry.get(name) for name in _MEMBERS[kty]}
    key = _key(public)
    return None if key is None else Trusted(kid, key, algorithms, tuple(map(str, public.values())))


def _key(public: dict[str, Any]) -> PublicKey | None:
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        if public["kty"] == "RSA":
            modulus, exponent = _number(public["n"]), _number(public["e"])
            good = modulus.bit_length() in _RSA_BITS and exponent in _EXPONENT and exponent % 2 == 1
            return RSAKey.import_key(public) if good else None
        return ECKey.import_key(public) if public["kty"] == "EC" else OKPKey.import_key(public)
    except (JoseError, ValueError):
        return None


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
