"""What is refused in its connection, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

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
    overload.refuses = lambda message: True  # type: ignore[method-assign]  # nobody else decides
    overload._sieve.close(overload.refuses)


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
