"""Downloads in parts, over raw sockets, and what of a stream outlives a change of settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme.contract import Contracts
from acme.gateway.settings import CorsSettings
from tests import blobs
from tests.unit.acme.dispatch.town import until
from tests.unit.acme.gateway.streaming import head_of, running, unchunked

SIZE = 1_000_000
FILE = f"/v1/files/{SIZE}"


@pytest.fixture(params=["local", "loopback"], name="rig")
async def _rig(request: pytest.FixtureRequest, trial: Contracts) -> AsyncIterator[Any]:
    async with running(trial, request.param) as rig:
        yield rig


@pytest.mark.parametrize(
    ("asked", "start", "end", "first"),
    [
        ("bytes=0-", 0, SIZE, 0),
        ("bytes=10-19", 10, 20, 10),
        ("bytes=0-0", 0, 1, 0),
        ("bytes=999999-", SIZE - 1, SIZE, SIZE - 1),
        ("bytes=999990-2000000", SIZE - 10, SIZE, SIZE - 10),
        ("bytes=300000-900000", 300_000, 900_001, 300_000),
        ("bytes=-5", SIZE - 5, SIZE, -5),
        ("bytes=-2000000", 0, SIZE, -2_000_000),
    ],
)
async def test_a_part_is_sent_alone_and_read_alone(rig: Any, asked: str, start: int, end: int, first: int) -> None:
    answer = await rig.ask("GET", FILE, Range=asked)
    assert (answer.status, answer.body) == (206, blobs.file(SIZE)[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == ('"7"', "bytes")
    assert rig.projects.asked == [first]
    assert rig.lines()[-1]["status"] == 206


async def test_the_connection_goes_on_after_a_part_and_its_service_has_ended(rig: Any) -> None:
    async with rig.connection() as connection:
        for start in (0, 500_000):
            connection.send(rig.request("GET", FILE, Range=f"bytes={start}-{start + 4}"))
            assert (await connection.answer()).body == blobs.file(SIZE)[start : start + 5]
    await until(lambda: len(rig.projects.ended) == 2)
    assert rig.projects.produced == 2  # not to the end of the file


@pytest.mark.parametrize("asked", ["bytes=1000000-", "bytes=1000000-2000000", "bytes=-0"])
async def test_a_part_that_is_not_there_is_416_and_says_how_much_is(rig: Any, asked: str) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", FILE, Range=asked))
        answer = await connection.answer()
        answer.problem(416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{SIZE}"
        connection.send(rig.request("GET", "/v1/small/a"))
        assert (await connection.answer()).body == b"a"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "items=0-1", "bytes=9-5", "nonsense"])
async def test_several_parts_and_what_is_none_are_the_whole(rig: Any, asked: str) -> None:
    answer = await rig.ask("GET", FILE, Range=asked)
    assert (answer.status, answer.body) == (200, blobs.file(SIZE))
    assert answer.headers["accept-ranges"] == "bytes"
    assert "content-range" not in answer.headers
    assert rig.projects.asked == [0]


@pytest.mark.parametrize("condition", ['"7"', blobs.CHANGED])
async def test_who_has_a_part_of_the_same_gets_the_rest(rig: Any, condition: str) -> None:
    answer = await rig.ask("GET", FILE, Range="bytes=999990-", If_Range=condition)
    assert (answer.status, len(answer.body)) == (206, 10)


@pytest.mark.parametrize("condition", ['"6"', 'W/"7"', "Sat, 01 Aug 2026 09:59:59 GMT"])
async def test_who_has_a_part_of_another_gets_the_whole(rig: Any, condition: str) -> None:
    answer = await rig.ask("GET", FILE, Range="bytes=999990-", If_Range=condition)
    assert (answer.status, answer.body) == (200, blobs.file(SIZE))
    assert rig.projects.asked == [999_990, 0]


async def test_what_has_no_length_is_sent_whole(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{FILE}-", Range="bytes=5-9"))
        status, headers = await head_of(connection)
        assert (status, "accept-ranges" in headers) == (200, False)
        assert await unchunked(connection) == blobs.file(SIZE)


async def test_an_empty_file_has_no_parts(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", "/v1/files/0", Range="bytes=0-"))
        assert (await head_of(connection))[0] == 200
        assert await unchunked(connection) == b""


async def test_the_head_is_that_of_the_whole(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("HEAD", FILE, Range="bytes=5-9"))
        answer = await connection.answer(head=True)
        assert (answer.status, answer.headers["content-length"]) == (200, str(SIZE))
        assert answer.headers["accept-ranges"] == "bytes"


async def test_what_gives_no_parts_says_nothing_of_them(rig: Any) -> None:
    answer = await rig.ask("GET", "/v1/blobs/1000", Range="bytes=5-9")
    assert (answer.status, answer.body) == (200, b"x" * 1000)
    assert "accept-ranges" not in answer.headers


async def test_a_refusal_of_a_part_is_a_problem(rig: Any) -> None:
    (await rig.ask("GET", FILE, bearer=None, Range="bytes=5-9")).problem(401, "token_missing")
    (await rig.ask("GET", f"{FILE}?first=5")).problem(422, "invalid_argument")


async def test_one_caller_has_so_many_streams_and_others_have_theirs(trial: Contracts) -> None:
    async with running(trial, streams_each=2) as rig, rig.connection() as one, rig.connection() as other:
        gate = asyncio.Event()

        async def wait(value: int) -> None:
            if value:
                await gate.wait()

        rig.projects.hook = wait
        for connection in (one, other):
            connection.send(rig.request("GET", "/v1/ticks?count=2"))
            await head_of(connection)
        refused = await rig.ask("GET", "/v1/ticks?count=2")
        refused.problem(429, "too_many_streams")
        assert refused.headers["retry-after"] == "1"
        (await rig.ask("PUT", "/v1/blobs/a", b"x")).problem(429, "too_many_streams")
        rig.projects.hook = None
        bob = rig.authority.token(sub="usr_2", sid="ses_2")
        assert (await rig.ask("PUT", "/v1/blobs/a", b"x", bearer=bob)).status == 201
        assert (await rig.ask("POST", "/v1/blobs/a:echo", None, bearer=None)).status == 200  # nobody: by the address
        gate.set()
        for connection in (one, other):
            await unchunked(connection)
        assert (await rig.ask("PUT", "/v1/blobs/a", b"x")).status == 201
        assert rig.gateway._streams._held == {}


async def test_pages_of_other_origins_may_ask_for_parts_and_come_again(trial: Contracts) -> None:
    origin = "https://app.example"
    async with running(trial, cors=CorsSettings(origins=(origin,))) as rig:
        answer = await rig.ask("GET", FILE, Range="bytes=0-9", Origin=origin)
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Accept-Ranges", "Content-Range", "ETag"} <= set(exposed)
        assert "Last-Event-ID" not in exposed
        for path, header in ((FILE, "Range"), ("/v1/ticks", "Last-Event-ID")):
            asked = await rig.ask("OPTIONS", path, bearer=None, Origin=origin, Access_Control_Request_Method="GET")
            assert header in asked.headers["access-control-allow-headers"].split(", ")
