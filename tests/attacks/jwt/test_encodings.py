"""Tokens that could be read in two ways, that are something else than a token, or that come where none belongs: RFC 7515
(sections 2, 3 and 10.12), RFC 8725 (section 3.7), RFC 6750 (section 2)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from tests.attacks.jwt.world import PATH, Side, World, b64
from tests.unit.acme.gateway.rig import GOOD

Case = Callable[[Side], str]
_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def parts(change: Callable[[str, str, str], str]) -> Case:
    """A good token whose parts are put together otherwise."""
    return lambda side: change(*side.token().split("."))


def headed(content: Callable[[Side], bytes]) -> Case:
    """A header of these bytes, under a real signature."""
    return lambda side: side.token(header=content(side))


def bodied(content: Callable[[Side], bytes]) -> Case:
    """A body of these bytes, under a real signature."""
    return lambda side: side.token(claims=content(side))


def head(side: Side) -> bytes:
    return json.dumps(side.header()).encode()


def body(side: Side) -> bytes:
    return json.dumps(side.claims()).encode()


def respelt(part: str) -> str:
    """The same bytes with other spare bits in the last character; padded first, where there are none, by the caller."""
    assert len(part) % 4, "this part has no spare bits"
    return part[:-1] + _SPARE[_SPARE.index(part[-1]) ^ 1]


def _with_spare_bits(content: bytes) -> str:
    """Encoded, with white space in the JSON so that bits are spare."""
    while len(content) % 3 == 0:
        content = content + b" "
    return b64(content)


SHAPES: dict[str, Case] = {
    "one-part": parts(lambda h, b, s: h),
    "two-parts": parts(lambda h, b, s: f"{h}.{b}"),
    "empty-signature": parts(lambda h, b, s: f"{h}.{b}."),
    "empty-header": parts(lambda h, b, s: f".{b}.{s}"),
    "empty-body": parts(lambda h, b, s: f"{h}..{s}"),
    "only-dots": parts(lambda h, b, s: ".."),
    "four-parts": parts(lambda h, b, s: f"{h}.{b}.{s}.{s}"),
    "five-parts-a-jwe": parts(lambda h, b, s: f"{h}.{b}.{s}.{s}.{s}"),
    "dot-before": parts(lambda h, b, s: f".{h}.{b}.{s}"),
    "dot-behind": parts(lambda h, b, s: f"{h}.{b}.{s}."),
    "commas-for-dots": parts(lambda h, b, s: f"{h},{b},{s}"),
    "padding-behind": parts(lambda h, b, s: f"{h}.{b}.{s}=="),
    "padding-in-the-header": parts(lambda h, b, s: f"{h}=.{b}.{s}"),
    "padding-in-the-body": parts(lambda h, b, s: f"{h}.{b}=.{s}"),
    "one-equals-sign": parts(lambda h, b, s: f"{h}.{b}.{s}="),
    "percent-encoded-dots": parts(lambda h, b, s: f"{h}%2E{b}%2E{s}"),
    "space-within": parts(lambda h, b, s: f"{h}. {b}.{s}"),
    "tab-within": parts(lambda h, b, s: f"{h}.\t{b}.{s}"),
    "two-tokens": parts(lambda h, b, s: f"{h}.{b}.{s} {h}.{b}.{s}"),
    "two-tokens-and-a-comma": parts(lambda h, b, s: f"{h}.{b}.{s},{h}.{b}.{s}"),
    "in-quotes": parts(lambda h, b, s: f'"{h}.{b}.{s}"'),
    "with-a-semicolon": parts(lambda h, b, s: f"{h}.{b}.{s};"),
    "bearer-twice": parts(lambda h, b, s: f"Bearer {h}.{b}.{s}"),
    "standard-alphabet": parts(lambda h, b, s: f"{h}.{b}.{s[:-2]}+/"),
    "cut-short": parts(lambda h, b, s: f"{h}.{b}.{s[:-4]}"),
    "a-character-more": parts(lambda h, b, s: f"{h}.{b}.{s}A"),
    "no-ascii": parts(lambda h, b, s: f"{h}.{b}.{s}é"),
    "half-a-surrogate": parts(lambda h, b, s: f"{h}.{b}.{s}\udcff"),
    "signature-spelt-otherwise": parts(lambda h, b, s: f"{h}.{b}.{respelt(s)}"),
    "header-spelt-otherwise": lambda side: side.joined(respelt(_with_spare_bits(head(side))), b64(body(side))),
    "body-spelt-otherwise": lambda side: side.joined(b64(head(side)), respelt(_with_spare_bits(body(side)))),
    "json-serialisation": lambda side: json.dumps(
        dict(zip(("protected", "payload", "signature"), side.token().split("."), strict=True))
    ).replace(" ", ""),
    "json-in-base64": lambda side: base64.urlsafe_b64encode(body(side)).decode(),
    "nested": lambda side: side.token(side.header(cty="JWT"), claims=side.token()),
    "nested-without-cty": lambda side: side.token(claims=json.dumps(side.token())),
    "opaque-in-front": lambda side: "acp_" + side.token(),
    "assertion-in-front": lambda side: "acc_" + side.token(),
    "made-up-words": lambda side: "made.up.token",
    "a-password": lambda side: "admin:admin",
}

JSON: dict[str, Case] = {
    "header-list": headed(lambda side: b"[" + head(side) + b"]"),
    "header-text": headed(lambda side: b'"header"'),
    "header-null": headed(lambda side: b"null"),
    "header-number": headed(lambda side: b"1"),
    "header-cut-short": headed(lambda side: head(side)[:-1]),
    "header-with-more-behind": headed(lambda side: head(side) + b"{}"),
    "header-with-a-nul-behind": headed(lambda side: head(side) + b"\0"),
    "header-with-a-comma-too-much": headed(lambda side: head(side)[:-1] + b",}"),
    "header-with-a-comment": headed(lambda side: head(side)[:-1] + b"/**/}"),
    "header-in-single-quotes": headed(lambda side: head(side).replace(b'"', b"'")),
    "header-in-utf-16": headed(lambda side: head(side).decode().encode("utf-16")),
    "header-in-utf-16-without-a-mark": headed(lambda side: head(side).decode().encode("utf-16-le")),
    "header-in-utf-32": headed(lambda side: head(side).decode().encode("utf-32-be")),
    "header-with-a-byte-order-mark": headed(lambda side: b"\xef\xbb\xbf" + head(side)),
    "header-with-an-overlong-quote": headed(lambda side: head(side).replace(b'"alg"', b'\xc0\xa2alg"')),
    "header-not-utf-8": headed(lambda side: head(side)[:-1] + b',"x":"\xff"}'),
    "header-alg-twice": headed(lambda side: head(side)[:-1] + b',"alg":"ES256"}'),
    "header-alg-twice-once-none": headed(lambda side: b'{"alg":"none",' + head(side)[1:]),
    "header-alg-twice-spelt-otherwise": headed(lambda side: head(side)[:-1] + b',"\\u0061lg":"none"}'),
    "header-kid-twice": headed(lambda side: head(side)[:-1] + b',"kid":"../k1"}'),
    "header-typ-twice": headed(lambda side: head(side)[:-1] + b',"typ":"JWT"}'),
    "header-too-deep": headed(lambda side: head(side)[:-1] + b',"x":' + b"[" * 1500 + b"]" * 1500 + b"}"),
    "header-endless-depth": headed(lambda side: b"[" * 4000),
    "body-list": bodied(lambda side: b"[" + body(side) + b"]"),
    "body-text": bodied(lambda side: b'"claims"'),
    "body-null": bodied(lambda side: b"null"),
    "body-true": bodied(lambda side: b"true"),
    "body-cut-short": bodied(lambda side: body(side)[:-1]),
    "body-with-more-behind": bodied(lambda side: body(side) + body(side)),
    "body-with-a-nul-behind": bodied(lambda side: body(side) + b"\0"),
    "body-with-a-comma-too-much": bodied(lambda side: body(side)[:-1] + b",}"),
    "body-with-a-line-in-a-text": bodied(lambda side: body(side)[:-1] + b',"x":"\n"}'),
    "body-in-utf-16": bodied(lambda side: body(side).decode().encode("utf-16")),
    "body-in-utf-16-without-a-mark": bodied(lambda side: body(side).decode().encode("utf-16-be")),
    "body-with-a-byte-order-mark": bodied(lambda side: b"\xef\xbb\xbf" + body(side)),
    "body-not-utf-8": bodied(lambda side: body(side)[:-1] + b',"x":"\xc3\x28"}'),
    "body-with-a-surrogate-in-utf-8": bodied(lambda side: body(side)[:-1] + b',"x":"\xed\xa0\x80"}'),
    "body-too-deep": bodied(lambda side: body(side)[:-1] + b',"x":' + b'{"a":' * 600 + b"1" + b"}" * 601),
    "body-deflated": bodied(lambda side: b"\x78\x9c" + body(side)),
}

ALL = {**SHAPES, **JSON}


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_what_is_no_token_in_its_one_spelling_is_refused(world: World, side: Side, case: Case) -> None:
    await world.refused(case(side))


PLACES: dict[str, tuple[int, str, Callable[[str], bytes]]] = {
    "query": (401, "token_missing", lambda token: f"GET {PATH}?access_token={token} HTTP/1.1\r\n".encode()),
    "cookie": (401, "token_missing", lambda token: f"GET {PATH} HTTP/1.1\r\nCookie: access_token={token}\r\n".encode()),
    "another-header": (401, "token_missing", lambda token: f"GET {PATH} HTTP/1.1\r\nX-Token: {token}\r\n".encode()),
    "proxy-header": (
        401,
        "token_missing",
        lambda token: f"GET {PATH} HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n".encode(),
    ),
    "basic": (401, "token_missing", lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: Basic {token}\r\n".encode()),
    "no-scheme": (401, "token_missing", lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: {token}\r\n".encode()),
    "scheme-alone": (401, "token_missing", lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: Bearer\r\n".encode()),
    "colon": (
        401,
        "token_missing",
        lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: Bearer: {token}\r\n".encode(),
    ),
    "tab": (
        401,
        "token_missing",
        lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: Bearer\t{token}\r\n".encode(),
    ),
    "twice": (
        400,
        "malformed_request",
        lambda token: (
            f"GET {PATH} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n".encode()
        ),
    ),
    "after-another": (
        400,
        "malformed_request",
        lambda token: f"GET {PATH} HTTP/1.1\r\nAuthorization: Basic YQ==\r\nAuthorization: Bearer {token}\r\n".encode(),
    ),
}


@pytest.mark.parametrize(("status", "code", "request_of"), PLACES.values(), ids=PLACES)
async def test_a_good_token_in_the_wrong_place_is_not_looked_at(
    world: World, side: Side, status: int, code: str, request_of: Callable[[str], bytes]
) -> None:
    calls = len(world.rig.projects.calls)
    async with world.rig.connection() as connection:
        connection.send(request_of(side.token()) + b"Host: localhost\r\n\r\n")
        (await connection.answer()).problem(status, code)
        assert len(world.rig.projects.calls) == calls
        await world.goes_on(connection)


async def test_a_scheme_is_a_word_in_any_case_and_may_be_followed_by_spaces(world: World, side: Side) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
        answer = await world.rig.ask("GET", PATH, bearer=None, Authorization=f"{scheme} {side.token()}")
        assert answer.status == 200


@pytest.mark.parametrize("length", [8193, 9000, 100_000])
async def test_a_token_that_is_too_long_is_refused_before_anybody_reads_it(
    world: World, side: Side, length: int
) -> None:
    token = side.token(claims=side.claims(x="x" * (length * 3 // 4)))
    assert len(token) > 8192
    async with world.rig.connection() as connection:
        connection.send(world.request(token))
        answer = await connection.answer()
        assert answer.status in {400, 401, 431}, answer
        if answer.status != 401:
            assert await connection.closed()


@pytest.mark.parametrize("byte", ["\0", "\r", "\n", "\x7f", "\x01"], ids=repr)
async def test_a_token_with_a_byte_that_no_header_may_have_ends_the_connection(
    world: World, side: Side, byte: str
) -> None:
    calls = len(world.rig.projects.calls)
    async with world.rig.connection() as connection:
        connection.send(world.request(side.token()[:40] + byte + side.token()[40:]))
        answer = await connection.answer()
        assert answer.status in {400, 401}, answer
        assert len(world.rig.projects.calls) == calls
        if answer.status == 400:
            assert await connection.closed()


async def test_a_large_token_within_the_limit_is_read(world: World, side: Side) -> None:
    token = side.token(claims=side.claims(x="x" * 5300))
    assert 7000 < len(token) < 8192
    assert (await world.rig.ask("GET", PATH, bearer=token)).status == 200


async def test_what_is_good_is_believed(world: World) -> None:
    assert (await world.rig.ask("GET", PATH, bearer=GOOD)).status == 200
    theirs = world.sides["theirs"]
    for header in (
        theirs.header(typ="application/at+jwt"),
        theirs.header(typ="AT+JWT"),
        theirs.header(x5t="abc", **{"x5t#S256": "abc"}),
    ):
        assert (await world.rig.ask("GET", PATH, bearer=theirs.token(header))).status == 200
