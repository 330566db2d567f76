"""What is refused in its connection, and what is not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme.gateway.settings import LARGEST_HEAD
from acme.gateway.sieve import KEPT, Said
from tests.unit.acme.gateway.rig import ID, Rig, running
from tests.waiting import until

ONE = f"/v1/projects/{ID}"


@pytest.fixture
async def closed() -> AsyncIterator[Rig]:
    """A gateway in whose connections everything is refused that can be."""
    async with running() as rig:
        known = await rig.ask("GET", ONE, X_Request_Id="known")
        assert known.status == 200, "so that the names of these headers are known"
        close(rig)
        yield rig


def close(rig: Rig) -> None:
    """For good: whoever watches the gateway does not find that it has nothing to do."""
    overload = rig.gateway._overload
    overload.shedding = True
    overload.judge = lambda waited: None  # type: ignore[method-assign]  # nobody else decides
    overload.skimmed = lambda *given: True  # type: ignore[method-assign]  # nobody else decides
    overload.sifted = lambda message: True  # type: ignore[method-assign]  # nobody else decides
    overload._sieve.close(overload.skimmed, overload.sifted)


async def test_what_is_refused_in_the_connection_is_as_if_the_pipeline_had_refused_it(closed: Rig) -> None:
    async with closed.connection() as connection:
        answers = []
        for _ in range(3):
            connection.send(closed.request("GET", ONE, X_Request_Id="mine"))
            answers.append(await connection.answer())
        connection.send(closed.request("GET", ONE))
        answers.append(await connection.answer())
    for answer in answers:
        problem = answer.problem(503, "overloaded")
        assert problem["title"] == "Service Unavailable"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["cache-control"] == "no-store"
    assert [answer.json["request_id"] for answer in answers[:3]] == ["mine"] * 3
    assert answers[3].json["request_id"] not in ("", "mine")
    assert len(closed.projects.requests) == 1, "nothing of them has reached the service"


async def test_what_is_refused_in_the_connection_is_one_line_of_the_access_log_in_all(closed: Rig) -> None:
    before = len(closed.lines())
    async with closed.connection() as connection:
        for _ in range(3):
            connection.send(closed.request("GET", ONE))
            await connection.answer()
    assert len(closed.lines()) == before
    closed.gateway._access.close()
    (line,) = closed.lines()[before:]
    assert (line["reason"], line["shed"]) == ("overloaded", 3)


async def test_the_connection_goes_on_with_what_is_let_through(closed: Rig) -> None:
    async with closed.connection() as connection:
        connection.send(closed.request("GET", ONE))
        (await connection.answer()).problem(503, "overloaded")
        closed.gateway._overload.shedding = False
        closed.gateway._overload._sieve.open()
        connection.send(closed.request("GET", ONE))
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_a_head_that_comes_in_pieces_is_one_request(closed: Rig, cut: int) -> None:
    data = closed.request("GET", ONE)

    async def begun() -> bool:
        return any(peer._heard for peer in closed.gateway.doors.peers.waiting)  # type: ignore[attr-defined]  # a Connection's

    async with closed.connection() as connection:
        for _ in range(2):
            connection.send(data[:cut])
            await until(begun)
            connection.send(data[cut:])
            (await connection.answer()).problem(503, "overloaded")


async def test_requests_that_are_not_plain_go_their_way(closed: Rig) -> None:
    ways = {
        "HEAD": closed.request("HEAD", ONE),
        "a body": closed.request("PATCH", ONE, {"name": "x"}),
        "a page": closed.request("GET", ONE, Origin="https://app.example"),
        "the last": closed.request("GET", ONE, Connection="close"),
        "a header that is looked at": closed.request("GET", ONE, Expect="100-continue"),
        "an older version": closed.request("GET", ONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    }
    for name, data in ways.items():
        async with closed.connection() as connection:
            connection.send(data)
            answer = await connection.answer(head=name == "HEAD")
            assert answer.status in (200, 428), name


async def test_what_is_no_http_is_told_so(closed: Rig) -> None:
    (await closed.raw(b"nonsense\r\n\r\n")).problem(400, "malformed_request")
    (await closed.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).problem(400, "malformed_request")


async def test_of_several_requests_in_one_piece_each_is_answered_in_order(closed: Rig) -> None:
    async with closed.connection() as connection:
        connection.send(closed.request("GET", ONE, X_Request_Id="a") + closed.request("GET", ONE, X_Request_Id="b"))
        assert [(await connection.answer()).headers["x-request-id"] for _ in range(2)] == ["a", "b"]


async def test_what_is_behind_a_request_that_is_served_waits_for_it(rig: Rig) -> None:
    """An answer that overtook another would be taken for that."""
    go = asyncio.Event()

    async def wait(_: object) -> None:
        await go.wait()

    async def served() -> bool:
        return rig.gateway.in_flight == 1

    rig.projects.before = wait
    async with rig.connection() as connection:
        connection.send(rig.request("GET", ONE, X_Request_Id="served"))
        await until(served)
        close(rig)
        connection.send(rig.request("GET", ONE, X_Request_Id="behind"))
        go.set()
        assert [(await connection.answer()).headers["x-request-id"] for _ in range(2)] == ["served", "behind"]


ORDINARY = b"GET /v1/projects HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a piece", ORDINARY[:-2]),
        ("more than one", ORDINARY + ORDINARY),
        ("something behind it", ORDINARY + b"x"),
        ("a body", ORDINARY.replace(b"Accept: */*", b"Content-Length: 3") + b"abc"),
        ("a length", ORDINARY.replace(b"Accept: */*", b"Content-Length: 0")),
        ("a body in chunks", ORDINARY.replace(b"Accept: */*", b"Transfer-Encoding: chunked")),
        ("a length behind a bare LF", ORDINARY.replace(b"*/*", b"*/*\nContent-Length: 3")),
        ("a length behind a bare CR", ORDINARY.replace(b"*/*", b"*/*\rContent-Length: 3")),
        ("a folded header", ORDINARY.replace(b"*/*", b"*/*\r\n Content-Length: 3")),
        ("a blank before the colon", ORDINARY.replace(b"Accept:", b"Accept :")),
        ("a NUL", ORDINARY.replace(b"*/*", b"*\0*")),
        ("more than ASCII", ORDINARY.replace(b"*/*", b"\xff")),
        ("no host", ORDINARY.replace(b"Host: a\r\n", b"")),
        ("two hosts", ORDINARY.replace(b"Host: a", b"Host: a\r\nhost: b")),
        ("a header that nobody has seen", ORDINARY.replace(b"Accept", b"X-New")),
        ("a connection that is to end", ORDINARY.replace(b"Accept: */*", b"Connection: close")),
        ("another protocol", ORDINARY.replace(b"Accept: */*", b"Upgrade: h2c")),
        ("a page", ORDINARY.replace(b"Accept: */*", b"Origin: https://app.example")),
        ("an older version", ORDINARY.replace(b"HTTP/1.1", b"HTTP/1.0")),
        ("a newer version", ORDINARY.replace(b"HTTP/1.1", b"HTTP/2.0")),
        ("an absolute target", ORDINARY.replace(b"/v1", b"http://a/v1")),
        ("HEAD", ORDINARY.replace(b"GET", b"HEAD")),
        ("OPTIONS", ORDINARY.replace(b"GET", b"OPTIONS")),
        ("too much", ORDINARY.replace(b"*/*", b"x" * LARGEST_HEAD)),
    ],
)
async def test_only_one_whole_plain_head_is_looked_through_without_the_parser(
    closed: Rig, what: str, data: bytes
) -> None:
    """Whoever finds another end of a request than the parser does would take a client's bytes for the next client's."""
    for headers in ({"Connection": "keep-alive"}, {"Origin": "https://app.example"}, {"Accept": "*/*"}):
        await closed.ask("GET", ONE, **headers)
    seen: list[tuple[str, str]] = []

    def skimmed(connection: object, data: bytes, method: str, path: str, said: object) -> bool:
        seen.append((method, path))
        return False

    sieve = closed.gateway._overload._sieve
    sieve.close(skimmed, lambda message: False)
    connection: Any = None
    for _ in range(2):  # what was found out the first time is not taken for more the second time
        assert sieve.skim(connection, ORDINARY) is None
        assert sieve.skim(connection, data) is None, what
    assert seen == [("GET", "/v1/projects")] * 2, what


async def said(rig: Rig, *lines: bytes) -> list[Said]:
    """What is found in header lines."""
    found: list[Said] = []
    sieve = rig.gateway._overload._sieve
    for headers in ({"X-Request-Timeout": "3"}, {"Referer": "x"}, {"X-Request-Id": "x"}, {"Accept": "x"}):
        await rig.ask("GET", ONE, **headers)

    def skimmed(connection: object, data: bytes, method: str, path: str, said: Said) -> bool:
        found.append(said)
        return False

    sieve.open()
    sieve.close(skimmed, lambda message: False)
    connection: Any = None
    for each in lines:
        assert sieve.skim(connection, ORDINARY.replace(b"Accept: */*\r\n", each)) is None
    return found


async def test_what_a_header_says_is_read_from_the_line_it_is_on(closed: Rig) -> None:
    lines = (
        b"x-request-timeout:  2.5 \r\n",
        b"Referer: x-request-timeout: 9\r\n",
        b"Referer: a\r\nX-Request-Timeout: 7\r\n",
        b"X-Request-Timeout:7\r\nX-Request-Timeout: 8\r\n",
    )
    assert [each.seconds for each in await said(closed, *lines, *lines)] == [2.5, math.inf, 7.0, 7.0] * 2


async def test_what_is_no_time_is_told_from_none(closed: Rig) -> None:
    found = await said(closed, b"", b"X-Request-Timeout: soon\r\n", b"X-Request-Timeout: 0\r\n")
    assert [math.isnan(each.seconds) for each in found] == [False, True, True]


async def test_a_token_is_one_of_the_bearer_scheme(closed: Rig) -> None:
    lines = (b"Bearer abc", b"bearer  abc ", b"Basic abc", b"Bearer", b"abc")
    found = await said(closed, *(b"Authorization: %b\r\n" % line for line in lines))
    assert [each.token for each in found] == ["abc", "abc", "", "", ""]


async def test_an_id_that_cannot_be_used_is_none(closed: Rig) -> None:
    found = await said(closed, b"X-Request-Id: mine\r\n", b"X-Request-Id: not mine\r\n", b"")
    assert found[0].request_id == "mine"
    assert found[1].request_id not in ("", "not mine")
    assert found[2].request_id == ""


async def test_what_was_read_is_kept_for_so_many_clients_and_so_long(closed: Rig) -> None:
    sieve = closed.gateway._overload._sieve
    await said(closed, b"Accept: 0\r\n", b"X-Request-Id: mine\r\n", b"Accept: %b\r\n" % (b"x" * 5000))
    assert len(sieve._said) == 1, "those with an id are another request's each time, and large ones take room"
    await said(closed, *(b"Accept: %d\r\n" % number for number in range(KEPT + 10)))
    assert len(sieve._said) == 10
    sieve.open()
    assert not sieve._said
    assert not sieve._asked
