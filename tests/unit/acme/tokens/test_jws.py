"""How strictly a signed token is read, before anybody asks who signed it."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from acme.errors import Unauthenticated
from acme.tokens import jws
from tests.issuer import signed

KEY = ECKey.generate_key("P-256", private=True)
GOOD = signed(json.dumps({"iss": "somebody"}), KEY, kid="k1")


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def with_header(content: bytes) -> str:
    return ".".join([encoded(content), *GOOD.split(".")[1:]])


def test_a_token_is_read_as_it_is_written() -> None:
    parsed = jws.parse(GOOD)
    assert parsed.header == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    assert parsed.claims == {"iss": "somebody"}
    assert parsed.content == GOOD.rpartition(".")[0].encode()
    assert len(parsed.signature) == 64


def other_spelling(part: str) -> str:
    """The same bytes: the last character has bits that stand for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4, "there is none"
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


WRONG = {
    "the same signature, spelt otherwise": GOOD.rpartition(".")[0] + "." + other_spelling(GOOD.rpartition(".")[2]),
    "the same header, spelt otherwise": ".".join([other_spelling(encoded(b'{"alg": 1}')), *GOOD.split(".")[1:]]),
    "a part of an impossible length": GOOD + "A" * 3,
    "UTF-16": with_header('{"alg":"ES256"}'.encode("utf-16")),
    "a byte order mark": with_header(b'\xef\xbb\xbf{"alg":"ES256"}'),
    "a name that comes twice": with_header(b'{"alg":"ES256","alg":"ES256"}'),
    "a name that comes twice, spelt otherwise": with_header(b'{"alg":"ES256","\\u0061lg":"none"}'),
    "NaN": with_header(b'{"alg":NaN}'),
    "Infinity": with_header(b'{"alg":-Infinity}'),
    "too deep": with_header(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"),
    "endless depth": with_header(b"[" * 5000),
    "JSON with something behind it": with_header(b'{"alg":"ES256"} {}'),
    "a comment": with_header(b'{"alg":"ES256"/**/}'),
    "a list": with_header(b"[]"),
    "null": with_header(b"null"),
    "nothing": with_header(b" "),
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
def test_what_could_be_read_in_two_ways_is_not_read_at_all(token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        jws.parse(token)
    assert caught.value.reason == "invalid_token"


def test_brackets_in_a_string_are_not_depth() -> None:
    assert jws.strict_object(b'{"a":"' + b"[]" * 100 + b'"}') == {"a": "[]" * 100}


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ECKey.generate_key("P-256", private=True)),
        ("ES384", ECKey.generate_key("P-384", private=True)),
        ("ES512", ECKey.generate_key("P-521", private=True)),
        ("RS256", RSAKey.generate_key(2048, private=True)),
        ("PS512", RSAKey.generate_key(2048, private=True)),
        ("Ed25519", OKPKey.generate_key("Ed25519", private=True)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_signature_is_good_for_its_key_and_its_bytes_alone(algorithm: str, key: ECKey | RSAKey | OKPKey) -> None:
    token = jws.parse(signed('{"a":1}', key, algorithm))
    jws.verify(token, key, algorithm)
    other = jws.parse(signed('{"a":2}', key, algorithm))
    mixed = jws.Signed(token.header, token.claims, other.content, token.signature)
    with pytest.raises(Unauthenticated):
        jws.verify(mixed, key, algorithm)
    short = jws.Signed(token.header, token.claims, token.content, token.signature[:-1])
    with pytest.raises(Unauthenticated):
        jws.verify(short, key, algorithm)


def test_a_moment_is_a_number_of_seconds() -> None:
    assert jws.moment({"exp": 1.5}, "exp") == 1.5
    for wrong in (True, "1", None, -1, 1e12, float("inf"), float("nan")):
        with pytest.raises(Unauthenticated, match="claim exp"):
            jws.moment({"exp": wrong}, "exp")


def test_a_text_is_a_string_that_says_something() -> None:
    assert jws.text({"sub": "a"}, "sub") == "a"
    for wrong in ("", 1, None, True):
        with pytest.raises(Unauthenticated, match="claim sub"):
            jws.text({"sub": wrong}, "sub")
