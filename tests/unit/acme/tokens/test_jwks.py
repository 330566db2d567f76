"""Which keys of another issuer's set are used, and for which algorithms."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from acme.tokens.jwks import MOST, read_keys

ALL = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519")
P256 = ECKey.generate_key("P-256").as_dict(private=False)
RSA = RSAKey.generate_key(2048).as_dict(private=False)


def read(*entries: Any, allowed: tuple[str, ...] = ALL) -> dict[str, set[str]]:
    """The algorithms of each key that is used."""
    found = read_keys(json.dumps({"keys": entries}).encode(), allowed)
    return {kid: set(key.algorithms) for kid, key in found.items()}


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (P256, {"ES256"}),
        (ECKey.generate_key("P-384").as_dict(private=False), {"ES384"}),
        (ECKey.generate_key("P-521").as_dict(private=False), {"ES512"}),
        (RSA, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (OKPKey.generate_key("Ed25519").as_dict(private=False), {"EdDSA", "Ed25519"}),
    ],
    ids=["P-256", "P-384", "P-521", "RSA", "Ed25519"],
)
def test_a_key_is_used_with_the_algorithms_that_fit_it(key: dict[str, Any], algorithms: set[str]) -> None:
    assert read({**key, "kid": "a"}) == {"a": algorithms}


def test_a_key_is_used_with_nothing_that_its_issuer_may_not_use() -> None:
    assert read({**RSA, "kid": "a"}, {**P256, "kid": "b"}, allowed=("PS256", "ES384")) == {"a": {"PS256"}}


def test_a_key_that_says_its_algorithm_is_used_with_no_other() -> None:
    assert read({**RSA, "kid": "a", "alg": "RS384"}) == {"a": {"RS384"}}
    assert read({**RSA, "kid": "a", "alg": "ES256"}) == {}


SMALL = base64.urlsafe_b64encode((2**1023 + 1).to_bytes(128)).rstrip(b"=").decode()
HUGE = base64.urlsafe_b64encode((2**16000 + 1).to_bytes(2001)).rstrip(b"=").decode()
UNUSABLE: dict[str, Any] = {
    "no object": "key",
    "no name": P256,
    "an empty name": {**P256, "kid": ""},
    "a number for a name": {**P256, "kid": 1},
    "an endless name": {**P256, "kid": "k" * 300},
    "no kty": {**P256, "kid": "a", "kty": None},
    "a kty that is a list": {**P256, "kid": "a", "kty": ["EC"]},
    "for encryption": {**P256, "kid": "a", "use": "enc"},
    "for signing only": {**P256, "kid": "a", "key_ops": ["sign"]},
    "operations that are no list": {**P256, "kid": "a", "key_ops": 5},
    "an algorithm of encryption": {**RSA, "kid": "a", "alg": "RSA-OAEP"},
    "an algorithm that is a list": {**RSA, "kid": "a", "alg": ["RS256"]},
    "alg none": {**RSA, "kid": "a", "alg": "none"},
    "symmetric": {**OctKey.generate_key(256).as_dict(), "kid": "a"},
    "symmetric with alg": {**OctKey.generate_key(256).as_dict(), "kid": "a", "alg": "HS256"},
    "a curve nobody allowed": {**ECKey.generate_key("secp256k1").as_dict(private=False), "kid": "a"},
    "a curve of another type": {**P256, "kid": "a", "crv": "Ed25519"},
    "a curve that is a list": {**P256, "kid": "a", "crv": ["P-256"]},
    "X25519": {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "a"},
    "not on its curve": {**P256, "kid": "a", "x": P256["y"], "y": P256["x"]},
    "a coordinate too few": {"kty": "EC", "crv": "P-256", "x": P256["x"], "kid": "a"},
    "a coordinate that is a number": {**P256, "kid": "a", "x": 7},
    "a small modulus": {"kty": "RSA", "n": SMALL, "e": "AQAB", "kid": "a"},
    "a huge modulus": {"kty": "RSA", "n": HUGE, "e": "AQAB", "kid": "a"},
    "exponent one": {**RSA, "e": "AQ", "kid": "a"},
    "an even exponent": {**RSA, "e": "Ag", "kid": "a"},
    "a huge exponent": {**RSA, "e": "AQAAAAAAAQ", "kid": "a"},
    "a modulus that is no base64": {**RSA, "n": "é", "kid": "a"},
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_left_out_and_the_others_are_not(entry: Any) -> None:
    assert read(entry, {**P256, "kid": "good"}) == {"good": {"ES256"}}


def test_of_two_keys_with_one_name_neither_is_used() -> None:
    other = ECKey.generate_key("P-256").as_dict(private=False)
    assert read({**P256, "kid": "a"}, {**other, "kid": "a"}, {**P256, "kid": "b"}) == {"b": {"ES256"}}


def test_a_private_half_that_was_published_is_not_kept() -> None:
    entry = {**ECKey.generate_key("P-256").as_dict(private=True), "kid": "a"}
    key = read_keys(json.dumps({"keys": [entry]}).encode(), ALL)["a"]
    assert not key.key.is_private
    assert entry["d"] not in key.material


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[],"keys":[]}',
        b"<html>",
        b"\xff",
        json.dumps({"keys": [1] * (MOST + 1)}).encode(),
    ],
)
def test_what_is_no_key_set_is_refused_whole(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_keys(document, ALL)
