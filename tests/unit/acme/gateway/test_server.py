"""HTTP/1.1 over raw sockets: what is refused before there is a request, bodies, connections, and answers in one piece."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import http_parser

from acme.gateway.connection import Connection
from acme.gateway.server import header_lines, require_c_parser
from tests.unit.acme.gateway.rig import ID, Rig, running

ONE = f"/v1/projects/{ID}"


def test_the_c_parser_is_in_use() -> None:
    require_c_parser()


def test_without_the_c_parser_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(RuntimeError, match="C parser"):
        require_c_parser()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\n", "\x00", "\x7f"])
def test_a_header_never_ends_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="control"):
        header_lines({"X": value})


GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"

UNREADABLE: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "odd version": b"GET /healthz HTTP/1.9x\r\nHost: localhost\r\n\r\n",
    "unknown method": b"FETCH /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "lower-case method": b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two Hosts": GOOD + b"Host: localhost\r\n\r\n",
    "two different Hosts": GOOD + b"Host: elsewhere\r\n\r\n",
    "no host in Host": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    "empty Host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "space before the colon": GOOD + b"X-A : b\r\n\r\n",
    "folded header": GOOD + b"X-A: b\r\n c\r\n\r\n",
    "header without colon": GOOD + b"X-A\r\n\r\n",
    "NUL in a header": GOOD + b"X-A: b\x00c\r\n\r\n",
    "bare CR in a header": GOOD + b"X-A: b\rc\r\n\r\n",
    "header name with a space": GOOD + b"X A: b\r\n\r\n",
    "two Content-Lengths": GOOD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "list of Content-Lengths": GOOD + b"Content-Length: 1, 1\r\n\r\na",
    "negative Content-Length": GOOD + b"Content-Length: -1\r\n\r\n",
    "signed Content-Length": GOOD + b"Content-Length: +1\r\n\r\na",
    "hexadecimal Content-Length": GOOD + b"Content-Length: 0x1\r\n\r\na",
    "endless Content-Length": GOOD + b"Content-Length: 99999999999999999999999\r\n\r\na",
    "both lengths": GOOD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": GOOD + b"Transfer-Encoding: chonked\r\n\r\n0\r\n\r\n",
    "chunked not last": GOOD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "space in the path": b"GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "control character in the path": b"GET /health\x01z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "too many headers": GOOD + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_not_well_formed_is_a_problem_and_the_connection_ends(rig: Rig, data: bytes) -> None:
    async with rig.connection() as connection:
        connection.send(data)
        answer = await connection.answer()
        answer.problem(400, answer.json["code"])
        if answer.json["code"] == "malformed_request":
            assert answer.headers["connection"] == "close"
            assert await connection.closed()


async def test_a_request_line_that_is_too_long_is_414(rig: Rig) -> None:
    answer = await rig.raw(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer.problem(414, "uri_too_long")


async def test_a_header_that_is_too_long_is_431(rig: Rig) -> None:
    (await rig.raw(GOOD + b"X-A: " + b"x" * 9000 + b"\r\n\r\n")).problem(431, "header_too_large")


@pytest.mark.parametrize("version", [b"", b" HTTP/0.9", b" HTTP/2.0"])
async def test_other_versions_of_http_are_505(rig: Rig, version: bytes) -> None:
    answer = await rig.raw(b"GET /healthz" + version + b"\r\nHost: localhost\r\n\r\n")
    answer.problem(505, "http_version_not_supported")


async def test_absolute_form_is_taken_and_its_host_ignored(rig: Rig) -> None:
    answer = await rig.raw(b"GET http://elsewhere.example/healthz?x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize("line", [b"OPTIONS * HTTP/1.1", b"CONNECT localhost:80 HTTP/1.1", b"TRACE / HTTP/1.1"])
async def test_methods_of_proxies_are_refused(rig: Rig, line: bytes) -> None:
    answer = await rig.raw(line + b"\r\nHost: localhost\r\n\r\n")
    assert answer.status in (404, 405, 501)
    answer.problem(answer.status, answer.json["code"])


async def test_an_upgrade_is_declined(rig: Rig) -> None:
    answer = await rig.raw(GOOD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert answer.status == 200


async def test_http_1_0_is_answered_and_closed(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = await connection.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert await connection.closed()


async def test_http_1_0_may_keep_its_connection(rig: Rig) -> None:
    async with rig.connection() as connection:
        for _ in range(2):
            connection.send(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await connection.answer()).headers["connection"] == "keep-alive"


async def test_a_connection_serves_one_request_after_the_other(rig: Rig) -> None:
    async with rig.connection() as connection:
        for _ in range(3):
            connection.send(rig.request("POST", "/v1/projects", {"name": "x"}))
            answer = await connection.answer()
            assert answer.status == 201
            assert "connection" not in answer.headers


async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(b"".join(rig.request("GET", ONE, X_Request_Id=f"r{n}") for n in range(10)))
        assert [(await connection.answer()).headers["x-request-id"] for _ in range(10)] == [f"r{n}" for n in range(10)]


async def test_a_client_that_wants_it_closed_gets_it_closed(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(GOOD + b"Connection: close\r\n\r\n")
        assert (await connection.answer()).headers["connection"] == "close"
        assert await connection.closed()


async def test_head_is_get_without_the_body(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("HEAD", ONE))
        head = await connection.answer(head=True)
        connection.send(rig.request("GET", ONE))
        full = await connection.answer()
    assert head.status == full.status == 200
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))
    assert head.headers["etag"] == full.headers["etag"]


async def test_every_answer_forbids_caches_and_guessing(rig: Rig) -> None:
    for path in (ONE, "/healthz", "/nowhere", "/v1/projects?x=1"):
        answer = await rig.ask("GET", path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["date"].endswith("GMT")
        assert "server" not in answer.headers


async def test_an_answer_that_nobody_reads_is_cut_off() -> None:
    async with running(write_timeout=0.05) as rig:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", rig.port))
        rig.projects.project.description = "x" * 100_000
        for _ in range(5):
            await loop.sock_sendall(raw, rig.request("GET", "/v1/projects?page_size=30"))
        async with asyncio.timeout(10):
            while rig.gateway.doors.connections:  # noqa: ASYNC110  aiohttp has no event for it
                await asyncio.sleep(0.01)
        raw.close()


@pytest.mark.parametrize("body", [None, {"name": "x"}], ids=["plain", "with a body"])
async def test_where_an_answer_cannot_be_sent_nothing_is(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, body: object
) -> None:
    def broken(*_given: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Connection, "send", broken)
    async with rig.connection() as connection:
        connection.send(rig.request("POST" if body else "GET", "/v1/projects", body))
        assert await connection.closed()
    (told,) = (record for record in caplog.records if record.exc_info)
    assert isinstance(told.exc_info and told.exc_info[1], RuntimeError), "whoever reads the log knows"


async def test_no_answer_shows_the_inside(rig: Rig) -> None:
    async def failing(message: object) -> None:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    rig.projects.before = failing
    answer = await rig.ask("GET", ONE)
    problem = answer.problem(500, "internal")
    assert json.dumps(problem).isascii()
    for word in (b"secret", b"SELECT", b"/etc", b"Traceback", b".py"):
        assert word not in answer.body
