"""Forwarding headers: no byte of a client reaches what says who and where it is, and none takes away what a proxy says.

The access log tells which address a request had.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.attacks.http.client import connected
from tests.unit.acme.gateway.rig import Rig, running

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
PEER = "127.0.0.1"
FORGED = "192.0.2.66"
NAMES = [
    "X-Forwarded-For", "X-Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
    "X-Forwarded-Prefix", "X-Forwarded-By", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Originating-Ip",
    "X-Remote-Ip", "X-Remote-Addr", "X-Envoy-External-Address", "True-Client-Ip", "CF-Connecting-Ip", "Fastly-Client-Ip",
    "Client-Ip", "Via", "X-User-Id", "X-Principal", "X-Authenticated-User", "Remote-User", "X-Original-Url", "X-Rewrite-Url",
]  # fmt: skip
"""What somebody's server has believed some time."""


@pytest.fixture(scope="module")
async def alone() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[Rig]:
    async with running(proxies=("127.0.0.1/32",)) as rig:
        yield rig


async def address(rig: Rig, lines: str, source: str = PEER) -> str:
    """Whose address a request with these headers has in the log."""
    async with connected(rig.port, source) as wire:
        wire.send(GET + lines.encode() + b"\r\n\r\n")
        answer = await wire.answer()
        assert answer is not None
        assert answer.status == 200, answer
        assert FORGED.encode() not in answer.head + answer.body
    return str(rig.lines()[-1]["address"])


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_client_says_of_itself_is_not_believed(alone: Rig, name: str) -> None:
    assert await address(alone, f"{name}: {FORGED}") == PEER
    assert await address(alone, f"{name}: {FORGED}", "127.0.0.2") == "127.0.0.2"
    line = alone.lines()[-1]
    assert (line["principal"], line["path"], line["route"]) == ("", "/healthz", "/healthz")


@pytest.mark.parametrize("name", NAMES[1:])
async def test_behind_a_proxy_nothing_is_believed_but_the_header_that_it_writes(behind: Rig, name: str) -> None:
    assert await address(behind, f"X-Forwarded-For: 203.0.113.9\r\n{name}: {FORGED}") == "203.0.113.9"


@pytest.mark.parametrize(
    "lines",
    [
        f"X-Forwarded-For: {FORGED}, 203.0.113.9",
        f"X-Forwarded-For: {FORGED}\r\nX-Forwarded-For: 203.0.113.9",
        f"X-Forwarded-For: {FORGED},{FORGED} ,203.0.113.9",
        f"X-Forwarded-For: 127.0.0.1, {FORGED}, 203.0.113.9",
        f"X-Forwarded-For: {FORGED}, 203.0.113.9, 127.0.0.1",
        f"x-forwarded-for: {FORGED}\r\nX-FORWARDED-FOR: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9\r\nConnection: X-Forwarded-For",
        "Connection: close, X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9:4711",
        "X-Forwarded-For: ::ffff:203.0.113.9",
    ],
)
async def test_only_what_the_proxy_has_added_is_believed(behind: Rig, lines: str) -> None:
    assert await address(behind, lines) == "203.0.113.9"


@pytest.mark.parametrize("value", ["", ",", "unknown", "nobody, unknown", "a" * 5000, "999.1.1.1", "_hidden", "\\0"])
async def test_what_is_no_address_is_the_proxys(behind: Rig, value: str) -> None:
    assert await address(behind, f"X-Forwarded-For: {value}") == PEER


@pytest.mark.parametrize("source", ["127.0.0.2", "127.0.1.1"])
async def test_a_neighbour_of_the_proxy_is_none(behind: Rig, source: str) -> None:
    assert await address(behind, f"X-Forwarded-For: {FORGED}", source) == source


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X.Forwarded.For", "X-Forwarded_For", "X-Forwarded.For"])
async def test_an_alias_of_the_header_is_refused(behind: Rig, name: str) -> None:
    async with connected(behind.port) as wire:
        wire.send(GET + f"X-Forwarded-For: 203.0.113.9\r\n{name}: {FORGED}\r\n\r\n".encode())
        answer = await wire.answer()
        assert answer is not None
        assert answer.status == 400
        await wire.ended()


async def test_a_trailer_says_nothing_of_the_next_request(behind: Rig) -> None:
    async with connected(behind.port) as wire:
        wire.send(GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n" + GET + b"\r\n")
        first = await wire.answer()
        assert first is not None
        assert (first.status, first.header("connection")) == (200, "close")
        await wire.ended()
    assert FORGED not in [line["address"] for line in behind.lines()]
