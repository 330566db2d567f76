"""Bodies that are taken whole, over raw sockets: how they come, how large they may be, and for how long."""

from __future__ import annotations

import asyncio

from acme.gateway.peers import ConnectionSettings
from tests.unit.acme.gateway.rig import Rig, running

HEAD = (
    b"POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %b\r\n"
)


def head(rig: Rig) -> bytes:
    return HEAD % rig.authority.token().encode()


async def test_a_chunked_body_is_taken(rig: Rig) -> None:
    body = b'{"name":"x"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert (await rig.raw(head(rig) + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")).status == 201


async def test_a_body_may_come_in_pieces(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(head(rig) + b"Content-Length: 12\r\n\r\n")
        for byte in b'{"name":"x"}':
            connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await connection.answer()).status == 201


async def test_expect_100_continue_is_answered_before_the_body(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(head(rig) + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n")
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b'{"name":"x"}')
        assert (await connection.answer()).status == 201


async def test_who_is_refused_is_not_asked_for_the_body(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(
            b"POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = await connection.answer()
        answer.problem(401, "token_missing")
        assert answer.headers["connection"] == "close"


async def test_a_body_announced_as_too_large_is_413_at_once(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(head(rig) + b"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n")
        answer = await connection.answer()
        answer.problem(413, "too_large")
        assert answer.headers["connection"] == "close"


async def test_a_body_that_turns_out_too_large_is_413() -> None:
    async with running(max_body=1024) as rig, rig.connection() as connection:
        connection.send(head(rig) + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.send(b"80\r\n" + b" " * 128 + b"\r\n")
        (await connection.answer()).problem(413, "too_large")


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with running(max_body=1024) as rig:
        body = b'{"name":"x"}'.ljust(1024)
        assert (await rig.ask("POST", "/v1/projects", body)).status == 201
        (await rig.ask("POST", "/v1/projects", body + b" ")).problem(413, "too_large")


async def test_a_slow_body_is_408_and_the_connection_ends() -> None:
    async with running(body_timeout=0.05) as rig, rig.connection() as connection:
        connection.send(head(rig) + b'Content-Length: 12\r\n\r\n{"na')
        answer = await connection.answer()
        answer.problem(408, "slow_body")
        assert answer.headers["connection"] == "close"
        connection.writer.write_eof()
        assert await connection.closed()
        assert rig.projects.requests == []


async def test_a_body_that_ends_early_does_nothing(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(head(rig) + b'Content-Length: 12\r\n\r\n{"name"')
        connection.writer.write_eof()
        assert await connection.closed()
    assert rig.projects.requests == []


async def test_chunks_that_are_none_do_nothing() -> None:
    async with running(body_timeout=0.05) as rig, rig.connection() as connection:
        connection.send(head(rig) + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n{"name":"x"}\r\n0\r\n\r\n')
        answer = await connection.answer()
        assert answer.status in (400, 408)
        assert rig.projects.requests == []


async def test_a_body_that_turns_out_to_be_none_is_told_at_once() -> None:
    async with running(body_timeout=60) as rig, rig.connection() as connection:
        connection.send(head(rig) + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{")
        await rig.served()
        connection.send(b'"nam')
        connection.send(b"no chunk\r\n")
        answer = await connection.answer()
        answer.problem(400, "malformed_body")
        assert answer.headers["connection"] == "close"
        assert rig.projects.requests == []


async def test_bodies_hold_no_more_than_they_may_together() -> None:
    settings = ConnectionSettings(bodies=8 * 1024 * 1024)
    async with running(connections=settings, max_body=4 * 1024 * 1024) as rig:
        async with rig.connection() as one, rig.connection() as two, rig.connection() as three:
            for connection in (one, two):
                connection.send(head(rig) + b"Content-Length: 4000001\r\n\r\n" + b" " * 4_000_000)
            await rig.until(lambda: rig.gateway.doors.peers.held == 8_000_000)
            three.send(head(rig) + b"Content-Length: 1000001\r\n\r\n" + b" " * 1_000_000)
            answer = await three.answer()
            answer.problem(503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            one.send(b"x")
            (await one.answer()).problem(400, "malformed_json")
            assert rig.gateway.doors.peers.held == 4_000_000
            two.writer.transport.abort()
            await rig.until(lambda: rig.gateway.doors.peers.held == 0)
        async with rig.connection() as after:
            after.send(head(rig) + b"Content-Length: 12\r\n\r\n")
            after.send(b'{"name":"x"}')
            assert (await after.answer()).status == 201
