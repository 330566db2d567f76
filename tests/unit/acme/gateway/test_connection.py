"""A connection's limits, over raw sockets: slow heads, large ones, too many connections, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acme.gateway import peers
from acme.gateway.peers import ConnectionSettings
from acme.gateway.sending import UNSENT
from acme.gateway.server import Reply
from tests.certificates import Authority
from tests.handshakes import believer
from tests.unit.acme.gateway.rig import ID, Rig, running

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
COUNTED = 'acme_gateway_cut_connections_total{{reason="{}"}} {:.1f}'


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "TICK", 0.02)


@pytest.fixture(scope="module")
async def hasty() -> AsyncIterator[Rig]:
    async with running(head_timeout=0.2, keepalive=60, write_timeout=0.2) as rig:
        yield rig


def cut(rig: Rig, reason: str) -> int:
    return int(rig.gateway.doors.peers.cut.bind(reason).value)


@pytest.mark.parametrize("sent", [GOOD, b"G", b"GET / HTTP/1.1\r\nX: ", b"\r\n"], ids=str)
async def test_a_head_that_does_not_end_is_408(hasty: Rig, sent: bytes) -> None:
    before = cut(hasty, "slow_head")
    async with hasty.connection() as connection:
        connection.send(sent)
        answer = await connection.answer()
        answer.problem(408, "slow_head")
        assert answer.headers["connection"] == "close"
        assert await connection.closed()
    assert cut(hasty, "slow_head") == before + 1


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"GET /secret HTTP/1.1\r\nX-Request-Id: secret\r\n", 408, "slow_head"),
        (b"secret nonsense\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nHost: secret\r\nse cret: 1\r\n\r\n", 400, "malformed_request"),
        (b"GET /secret" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (GOOD + b"X: secret" + b"a" * 20_000 + b"\r\n\r\n", 431, "header_too_large"),
        (GOOD + b"".join(b"X-%d: secret%s\r\n" % (n, b"a" * 4000) for n in range(20)), 431, "header_too_large"),
    ],
)
async def test_what_never_becomes_a_request_leaves_a_line_without_a_byte_of_the_client(
    hasty: Rig, sent: bytes, status: int, why: str
) -> None:
    async with hasty.connection() as connection:
        connection.send(sent)
        answer = await connection.answer()
    line = hasty.lines()[-1]
    assert (line["status"], line["refused"], line["request_id"]) == (status, why, answer.json["request_id"])
    assert (line["method"], line["path"], line["route"], line["bytes"]) == ("", "", "", len(answer.body))
    assert line["address"] == "127.0.0.1"
    assert "secret" not in json.dumps(line)


async def test_a_head_that_dribbles_has_no_more_time(hasty: Rig) -> None:
    async with hasty.connection() as connection:

        async def dribble() -> None:
            for byte in GOOD + b"X-A: " + b"a" * 200:
                connection.send(bytes([byte]))
                await asyncio.sleep(0.002)  # the pace is what is tested

        answer, _ = await asyncio.gather(connection.answer(), dribble())
        answer.problem(408, "slow_head")


async def test_who_says_nothing_at_all_is_closed_without_a_word(hasty: Rig) -> None:
    async with hasty.connection() as connection:
        assert await connection.closed()


async def test_a_next_request_has_as_long_as_it_likes_to_begin_and_not_to_end(hasty: Rig) -> None:
    async with hasty.connection() as connection:
        connection.send(GOOD + b"\r\n")
        assert (await connection.answer()).status == 200
        await asyncio.sleep(0.3)  # longer than a head may take
        connection.send(GOOD)
        await asyncio.sleep(0.02)  # so that it comes in two pieces
        connection.send(b"\r\n")
        assert (await connection.answer()).status == 200
        connection.send(GOOD)
        (await connection.answer()).problem(408, "slow_head")


async def test_a_request_that_takes_long_is_no_slow_head(hasty: Rig) -> None:
    async def slow(_message: object) -> None:
        await asyncio.sleep(0.4)  # longer than a head may take

    hasty.projects.before = slow
    async with hasty.connection() as connection:
        connection.send(hasty.request("GET", f"/v1/projects/{ID}"))
        assert (await connection.answer()).status == 200
    hasty.projects.before = None


async def test_a_body_that_takes_long_is_no_slow_head(hasty: Rig) -> None:
    request = hasty.request("POST", "/v1/projects", {"name": "x"})
    async with hasty.connection() as connection:
        connection.send(request[:-1])
        await asyncio.sleep(0.4)  # longer than a head may take
        connection.send(request[-1:])
        assert (await connection.answer()).status == 201


async def test_a_keepalive_that_ends_lets_a_request_come_that_has_begun() -> None:
    async with running(keepalive=0.1) as rig, rig.connection() as connection:
        connection.send(GOOD + b"\r\n")
        assert (await connection.answer()).status == 200
        connection.send(GOOD)
        await asyncio.sleep(0.3)  # longer than it is kept
        connection.send(b"\r\n")
        assert (await connection.answer()).status == 200
        assert await connection.closed()


LARGE = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 8000) for number in range(9))


@pytest.mark.parametrize("size", [1 << 20, 1000])
async def test_a_head_that_is_too_large_is_431_whole_or_in_pieces(hasty: Rig, size: int) -> None:
    async with hasty.connection() as connection:
        head = GOOD + LARGE + b"\r\n"
        if size < len(head):
            head = head[:66_000]  # what came after the answer would reset the connection, and the answer could be lost
        for at in range(0, len(head), size):
            connection.send(head[at : at + size])
            await asyncio.sleep(0)
        answer = await connection.answer()
        answer.problem(431, "header_too_large")
        assert answer.headers["connection"] == "close"


async def test_a_head_of_nearly_that_size_is_taken(hasty: Rig) -> None:
    async with hasty.connection() as connection:
        for _ in range(2):
            connection.send(GOOD + LARGE[: 8 * 8007] + b"\r\n")
            assert (await connection.answer()).status == 200


async def test_a_large_read_of_small_requests_is_not_a_large_head(hasty: Rig) -> None:
    async with hasty.connection() as connection:
        connection.send((GOOD + b"X: " + b"a" * 4000 + b"\r\n\r\n") * 30)
        for _ in range(30):
            assert (await connection.answer()).status == 200


async def test_an_address_has_so_many_connections() -> None:
    async with running(connections=ConnectionSettings(per_address=3)) as rig, AsyncExitStack() as stack:
        for _ in range(3):
            connection = await stack.enter_async_context(rig.connection())
            connection.send(GOOD + b"\r\n")
            assert (await connection.answer()).status == 200
        beyond = await stack.enter_async_context(rig.connection())
        answer = await beyond.answer()
        answer.problem(503, "per_address")
        rig.gateway._access.close()
        assert [(line["reason"], line["shed"]) for line in rig.lines() if "shed" in line] == [("per_address", 1)]
        assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")
        assert await beyond.closed()
        connection.writer.close()
        await rig.until(lambda: len(rig.gateway.doors.peers) == 2)
        assert (await rig.ask("GET", "/healthz")).status == 200


async def test_there_is_room_for_so_many_connections() -> None:
    async with running(connections=ConnectionSettings(most=10)) as rig, AsyncExitStack() as stack:
        for _ in range(10):
            connection = await stack.enter_async_context(rig.connection())
            connection.send(GOOD)  # so that none of them is idle
        await rig.until(lambda: len(rig.gateway.doors.peers) == 10)
        beyond = await stack.enter_async_context(rig.connection())
        (await beyond.answer()).problem(503, "most")
        assert await beyond.closed()
        connection.send(b"\r\n")
        assert (await connection.answer()).status == 200


async def test_idle_connections_make_room() -> None:
    async with running(connections=ConnectionSettings(most=10)) as rig, AsyncExitStack() as stack:
        first = await stack.enter_async_context(rig.connection())
        first.send(GOOD + b"\r\n")
        assert (await first.answer()).status == 200
        for _ in range(9):
            connection = await stack.enter_async_context(rig.connection())
            connection.send(GOOD + b"\r\n")
            assert (await connection.answer()).status == 200
        assert await first.closed()
        assert cut(rig, "crowded") == 1
        assert (await rig.ask("GET", "/healthz")).status == 200


async def test_an_answer_whose_end_nobody_reads_is_cut_off_when_its_connection_ends(hasty: Rig) -> None:
    hasty.projects.project.description = "x" * 2000
    try:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", hasty.port))
        request = hasty.request("GET", "/v1/projects?page_size=20", Connection="close")
        server = hasty.gateway.doors._servers[0]
        await hasty.until(lambda: server.connections)
        wire = server.connections[0].transport
        assert wire is not None
        wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        before = cut(hasty, "slow_read")
        await loop.sock_sendall(raw, request)
        await hasty.until(lambda: not server.connections)
        assert cut(hasty, "slow_read") == before + 1
        raw.close()
    finally:
        hasty.projects.project.description = ""


async def test_answers_that_nobody_reads_fill_the_memory_up_to_a_bound_only() -> None:
    settings = ConnectionSettings(answers=1_000_000)
    async with running(write_timeout=60, connections=settings) as rig, AsyncExitStack() as stack:
        rig.projects.project.description = "x" * 50_000
        request, loop = rig.request("GET", "/v1/projects?page_size=60") * 5, asyncio.get_running_loop()
        for _ in range(10):
            raw = stack.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", rig.port))
            await loop.sock_sendall(raw, request)
        await rig.until(lambda: cut(rig, "slow_read"))
        assert rig.gateway.doors.peers.unsent < 4_000_000  # one answer may be larger than all may be together
        assert (await rig.ask("GET", "/v1/projects?page_size=60")).status == 200


@asynccontextmanager
async def reading_over_tls(folder: Path, **settings: Any) -> AsyncIterator[tuple[Rig, asyncio.StreamReader]]:
    """A client that has asked for 3.6 MB over TLS, and takes little at a time; the gateway knows that it is behind."""
    own = Authority().issue(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["certificate"], own["key"])
    async with running(context=context, **settings) as rig:
        rig.projects.project.description = "x" * 60_000
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", rig.port))
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=believer(own["authority"]), server_hostname="localhost", limit=1000
        )
        await rig.until(lambda: len(rig.gateway.doors._servers[0].connections) == 1)
        (served,) = rig.gateway.doors._servers[0].connections
        assert served.transport is not None
        served.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        writer.write(rig.request("GET", "/v1/projects?page_size=60"))
        try:
            await rig.until(lambda: served.writing_paused or cut(rig, "slow_read"))
            yield rig, reader
        finally:
            writer.transport.abort()


async def test_a_large_answer_over_tls_is_copied_no_faster_than_it_is_read_and_arrives_whole(tmp_path: Path) -> None:
    async with reading_over_tls(tmp_path, write_timeout=60) as (rig, reader):
        served: Any
        (served,) = rig.gateway.doors._servers[0].connections
        secured = served.transport
        assert rig.gateway.doors.peers.unsent > 3_000_000, "all of it counts"
        assert not served.idle
        assert secured.get_write_buffer_size() <= 2 * UNSENT
        assert secured._ssl_protocol._transport.get_write_buffer_size() <= 2 * UNSENT
        async with asyncio.timeout(30):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await reader.readexactly(1)
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            body = await reader.readexactly(length)
    assert [len(each["description"]) for each in json.loads(body)["projects"]] == [60_000] * 60


async def test_who_does_not_read_an_answer_over_tls_is_cut_off_in_time(tmp_path: Path) -> None:
    async with reading_over_tls(tmp_path, write_timeout=0.2) as (rig, _):
        await rig.until(lambda: cut(rig, "slow_read") == 1)
        await rig.until(lambda: not rig.gateway.doors._servers[0].connections)
        assert rig.gateway.doors.peers.unsent == 0


async def test_an_idle_connection_keeps_nothing_of_its_last_answer(hasty: Rig) -> None:
    async with hasty.connection() as connection:
        connection.send(hasty.request("GET", "/v1/openapi.json"))
        assert len((await connection.answer()).body) > 10_000
        served = hasty.gateway.doors._servers[0].connections[0]
        await hasty.until(lambda: served._waiter)
        assert served._task_handler is not None
        own: Any = served._task_handler.get_coro()
        loop = own.cr_frame
        assert loop.f_code.co_filename.endswith("one_task.py")
        assert not {"message", "request", "answer"} & loop.f_locals.keys()
        connection.send(hasty.request("POST", "/v1/projects", {"name": "x"}))
        assert (await connection.answer()).status == 201
        await hasty.until(lambda: served._waiter)
        kept = own.cr_await.cr_frame.f_locals["resp"]  # of aiohttp's loop, once there was a body
        assert (type(kept), kept.data) == (Reply, b"")


async def test_what_is_turned_away_is_named_and_says_nothing_of_ours() -> None:
    async with running(connections=ConnectionSettings(per_address=1)) as rig, rig.connection() as one:
        one.send(GOOD)
        await rig.until(lambda: len(rig.gateway.doors.peers) == 1)
        async with rig.connection() as two, rig.connection() as three:
            answers = [await two.answer(), await three.answer()]
        assert len({answer.headers["x-request-id"] for answer in answers}) == 2
        assert set(json.loads(answers[0].body)) == {"type", "title", "status", "detail", "code", "request_id"}


async def test_more_requests_than_a_few_wait_unread(hasty: Rig) -> None:
    held = asyncio.Event()

    async def hold(_message: object) -> None:
        await held.wait()

    hasty.projects.before = hold
    request = hasty.request("GET", f"/v1/projects/{ID}")
    async with hasty.connection() as connection:
        connection.send(request * 5000)
        await hasty.served()
        server = hasty.gateway.doors._servers[0]
        waiting = server.connections[0]
        await hasty.until(lambda: len(waiting._messages) >= 31)
        assert len(waiting._messages) <= 32
        held.set()
        for _ in range(5000):
            assert (await connection.answer()).status == 200
    hasty.projects.before = None


async def test_nothing_runs_that_is_not_answered_for_itself(hasty: Rig) -> None:
    """A request with what is no HTTP behind it, in one read: the parser forgets it, and so nobody calls its method."""
    hasty.projects.requests.clear()
    request = hasty.request("POST", "/v1/projects", {"name": "x"})
    async with hasty.connection() as connection:
        connection.send(request + b"no http\r\n\r\n")
        (await connection.answer()).problem(400, "malformed_request")
        assert await connection.closed()
    assert hasty.projects.requests == []
    async with hasty.connection() as connection:
        connection.send(request)
        assert (await connection.answer()).status == 201
        connection.send(b"no http\r\n\r\n")
        (await connection.answer()).problem(400, "malformed_request")
        assert await connection.closed()


TRAILED = b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer somebody-else\r\n\r\n"


@pytest.mark.parametrize("at", [0, 1, 5, len(TRAILED) - 2])
async def test_a_trailer_never_becomes_the_next_requests_header(hasty: Rig, at: int) -> None:
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    hasty.projects.requests.clear()
    async with hasty.connection() as connection:
        connection.send(head + TRAILED[: len(TRAILED) - at])
        await asyncio.sleep(0.01)  # so that it comes in two pieces
        connection.send(TRAILED[len(TRAILED) - at :] + hasty.request("GET", "/v1/projects"))
        assert (await connection.answer()).headers["connection"] == "close"
        assert await connection.closed()
    assert hasty.projects.requests == []


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6, 7, 8, 20])
async def test_a_connection_goes_on_after_chunks_without_trailers(hasty: Rig, at: int) -> None:
    content = b'{"email":"a@b.cd","password":"right"}'
    body = b"9\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (content[:9], len(content) - 9, content[9:])
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with hasty.connection() as connection:
        for _ in range(2):
            connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + body[:-at])
            await hasty.served()
            connection.send(body[-at:])
            answer = await connection.answer()
            assert (answer.status, answer.headers.get("connection")) == (201, None)
