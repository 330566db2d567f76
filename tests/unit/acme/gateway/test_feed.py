"""Streams of events, over raw sockets: how they begin, what keeps them alive, and each way in which they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme.contract import Contracts
from acme.errors import Refused
from acme.gateway import feed
from acme.gateway.problems import problem
from tests.unit.acme.dispatch.town import soon, until
from tests.unit.acme.gateway.streaming import head_of, running, unchunked
from tests.waiting import sample

WATCH = "/v1/ticks"
OPEN = "http_server_event_streams "


@pytest.fixture(params=["local", "loopback"], name="rig")
async def _rig(request: pytest.FixtureRequest, trial: Contracts) -> AsyncIterator[Any]:
    async with running(trial, request.param) as rig:
        yield rig


def events(body: bytes) -> list[dict[str, Any]]:
    """What an EventSource makes of a stream: the events with their fields, and comments as {"": text}."""
    assert body.endswith(b"\n\n")
    read = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(":", 1) for line in block.split("\n"))
        read.append({name: value.removeprefix(" ") for name, value in fields.items()})
    return read


async def piece(connection: Any) -> bytes:
    """The next chunk of an answer."""
    async with asyncio.timeout(10):
        size = int(await connection.reader.readline(), 16)
        return bytes((await connection.reader.readexactly(size + 2))[:-2])


async def test_each_message_is_an_event_with_its_id_and_the_end_is_one_too(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        status, headers = await head_of(connection)
        assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/event-stream", "no-store")
        assert "last-event-id" not in headers
        first, second, end = events(await unchunked(connection))
        assert (first["id"], json.loads(first["data"])) == ("1", {"id": "1", "text": "é\n"})
        assert second["id"] == "2"
        assert end == {"event": "end", "data": "{}"}
        connection.send(rig.request("GET", "/v1/small/a"))  # and the connection goes on
        assert (await connection.answer()).body == b"a"
    assert [line["status"] for line in rig.lines()] == [200, 200]


async def test_who_comes_again_gets_what_it_has_not_seen(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=3", Last_Event_ID="2"))
        await head_of(connection)
        assert [event.get("id") for event in events(await unchunked(connection))] == ["3", None]


async def test_a_stream_of_nothing_ends_at_once(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", WATCH))
        await head_of(connection)
        assert events(await unchunked(connection)) == [{"event": "end", "data": "{}"}]


async def test_a_refusal_before_the_first_event_is_answered_as_any_other(rig: Any) -> None:
    rig.projects.fail_at = 1
    (await rig.ask("GET", f"{WATCH}?count=3")).problem(409, "no_more")
    (await rig.ask("GET", WATCH, bearer=None)).problem(401, "token_missing")
    (await rig.ask("GET", f"{WATCH}?id=1")).problem(422, "invalid_argument")


async def test_a_refusal_after_the_first_event_is_the_last_one(rig: Any) -> None:
    rig.projects.fail_at = 2
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=3"))
        assert (await head_of(connection))[0] == 200
        first, problem = events(await unchunked(connection))
        assert (first["id"], problem["event"]) == ("1", "problem")
        told = json.loads(problem["data"])
        assert (told["status"], told["code"]) == (409, "no_more")
        connection.send(rig.request("GET", "/v1/small/a"))  # it ended in order
        assert (await connection.answer()).body == b"a"
    assert rig.lines()[0]["broken"] == "no_more"
    name = f'http_server_broken_downloads_total{{error_type="conflict",http_route="{WATCH}"}}'
    assert sample(rig.metrics, name) == 1


async def test_the_answer_begins_although_nothing_comes_and_comments_keep_it_alive(
    trial: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "OPENING", 0.05)
    async with running(trial, heartbeat=0.05) as rig, rig.connection() as connection:
        gate = asyncio.Event()

        async def wait(_value: int) -> None:
            await gate.wait()

        rig.projects.hook = wait
        connection.send(rig.request("GET", f"{WATCH}?count=1"))
        assert (await head_of(connection))[0] == 200
        assert [await piece(connection) for _ in range(3)] == [b":\n\n"] * 3
        gate.set()
        rest = events(await unchunked(connection))
        assert [event for event in rest if "" not in event][-1]["event"] == "end"
        assert any(event.get("id") == "1" for event in rest)


async def test_a_client_that_reads_nothing_is_cut_off_and_nothing_is_kept_for_it(trial: Contracts) -> None:
    async with running(trial, write_timeout=0.2) as rig, rig.connection() as connection:
        rig.projects.padding = 100_000
        connection.writer.transport.pause_reading()
        connection.send(rig.request("GET", f"{WATCH}?count=1000000"))
        await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
        assert rig.projects.produced < 200  # of a million: the buffers of two sockets
        assert rig.lines()[-1]["broken"] == "slow_client"
        assert sample(rig.metrics, OPEN) == 0


async def test_a_client_that_leaves_ends_the_service(rig: Any) -> None:
    gate = asyncio.Event()

    async def wait(value: int) -> None:
        if value:
            await gate.wait()

    rig.projects.hook = wait
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        await head_of(connection)
        assert sample(rig.metrics, OPEN) == 1
    await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
    assert rig.lines()[-1]["broken"] == "client_gone"
    assert sample(rig.metrics, OPEN) == 0


async def test_a_drain_sends_listeners_elsewhere_in_order(rig: Any) -> None:
    gate = asyncio.Event()

    async def wait(value: int) -> None:
        if value:
            await gate.wait()

    rig.projects.hook = wait
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        await head_of(connection)
        await piece(connection)
        draining = soon(rig.gateway.drain(5.0))
        rest = events(await unchunked(connection))
        assert [list(event) for event in rest] == [["retry"]]
        assert feed.AWAY[0] <= int(rest[0]["retry"]) <= feed.AWAY[1]
        assert await connection.closed()
        await draining
    assert rig.projects.ended == ["CancelledError"]
    assert "broken" not in rig.lines()[-1]


async def test_time_that_is_up_sends_a_listener_away_in_order(rig: Any) -> None:
    gate = asyncio.Event()

    async def wait(value: int) -> None:
        if value:
            await gate.wait()

    rig.projects.hook = wait
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2", X_Request_Timeout="1.5"))
        await head_of(connection)
        assert [list(event) for event in events(await unchunked(connection))] == [["id", "data"], ["retry"]]
        connection.send(rig.request("GET", "/v1/small/a"))
        assert (await connection.answer()).body == b"a"


async def test_time_that_is_up_before_anything_came_is_504(rig: Any) -> None:
    async def wait(_value: int) -> None:
        await asyncio.Event().wait()

    rig.projects.hook = wait
    answer = await rig.ask("GET", f"{WATCH}?count=2", X_Request_Timeout="0.1")
    answer.problem(504, "deadline_exceeded")


@pytest.mark.parametrize("way", ["expired", "revoked"])
async def test_no_event_leaves_for_somebody_who_may_no_longer_listen(rig: Any, way: str) -> None:
    gate = asyncio.Event()

    async def wait(value: int) -> None:
        if value:
            await gate.wait()

    rig.projects.hook = wait
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        await head_of(connection)
        assert events(await piece(connection))[0]["id"] == "1"
        if way == "expired":
            rig.authority.clock.advance(3600)
        else:
            rig.authority.revoke_session(rig.authority.claims()["sid"])
            await rig.verifier.poll()
        gate.set()
        (problem,) = events(await unchunked(connection))
        assert (problem["event"], json.loads(problem["data"])["code"]) == ("problem", f"token_{way}")
    assert rig.projects.produced == 2


async def test_a_silent_stream_of_somebody_who_may_no_longer_listen_ends_at_a_heartbeat(trial: Contracts) -> None:
    async with running(trial, heartbeat=0.1) as rig, rig.connection() as connection:

        async def wait(value: int) -> None:
            if value:
                await asyncio.Event().wait()

        rig.projects.hook = wait
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        await head_of(connection)
        await piece(connection)
        rig.authority.clock.advance(3600)
        rest = events(await unchunked(connection))
        assert list(rest[-1]) == ["retry"]


async def test_the_head_alone_is_had_without_an_event(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("HEAD", f"{WATCH}?count=2"))
        status, headers = await head_of(connection)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        connection.send(rig.request("GET", "/v1/small/a"))
        assert (await connection.answer()).body == b"a"
    await until(lambda: rig.projects.ended)


async def test_the_head_of_what_nothing_comes_of_is_had_too(trial: Contracts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "OPENING", 0.05)
    async with running(trial) as rig:

        async def wait(_value: int) -> None:
            await asyncio.Event().wait()

        rig.projects.hook = wait
        async with rig.connection() as connection:
            connection.send(rig.request("HEAD", f"{WATCH}?count=2"))
            assert (await head_of(connection))[0] == 200
            assert await connection.closed()


async def test_http_1_0_gets_events_until_the_connection_ends(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=1").replace(b"HTTP/1.1", b"HTTP/1.0"))
        status, headers = await head_of(connection)
        assert (status, headers["connection"]) == (200, "close")
        read = events(await connection.reader.read(-1))
        assert [event.get("event") for event in read] == [None, "end"]


async def test_a_fault_of_ours_says_nothing_of_itself(rig: Any) -> None:
    async def fail(value: int) -> None:
        if value:
            raise RuntimeError("a secret")

    rig.projects.hook = fail
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"{WATCH}?count=2"))
        await head_of(connection)
        body = await unchunked(connection)
        assert json.loads(events(body)[-1]["data"])["code"] == "internal"
        assert b"secret" not in body


def test_a_refusal_is_told_on_one_line() -> None:
    assert b"\n" not in problem(Refused("one\ntwo"), "id").body
