"""A head that is known is read as the parser would, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from hypothesis import example, given
from hypothesis import strategies as st

from acme.gateway import connection as connections
from acme.gateway.repeated import LARGEST, Known, known
from acme.gateway.server import Request
from acme.gateway.strict import Strict
from tests.unit.acme.gateway.rig import ID, Rig, running

LINES = b"\r\nHost: localhost\r\nAuthorization: Bearer abc\r\nUser-Agent: t\xc3\xa9st\r\n\r\n"
HEAD = b"GET /v1/projects HTTP/1.1" + LINES
ONE = f"/v1/projects/{ID}"


class Parser:
    """aiohttp's, as the gateway has it."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self._made = HttpRequestParser(
            BaseProtocol(self.loop), self.loop, 2**16, max_line_size=8190, max_field_size=8190, max_headers=128
        )

    def all(self, data: bytes) -> list[tuple[Any, Any]]:
        return list(self._made.feed_data(data)[0])

    def one(self, data: bytes) -> tuple[Any, Any]:
        (made,) = self.all(data)
        return made


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    Parser.loop = asyncio.new_event_loop()
    yield
    Parser.loop.close()


@pytest.fixture
def parser() -> Parser:
    return Parser()


def learnt(parser: Parser, data: bytes = HEAD) -> Known:
    found = known(data, *parser.one(data))
    assert found is not None
    return found


def parts(message: RawRequestMessage) -> tuple[object, ...]:
    """All that the gateway looks at."""
    names = ("method", "path", "version", "should_close", "compression", "upgrade", "chunked")
    return (*(getattr(message, name) for name in names), [*message.headers.items()])


PATHS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30).map(lambda path: path.encode("latin-1"))


@pytest.mark.soak
@given(path=PATHS | PATHS.map(lambda path: b"/" + path))
@example(b"//example.com/x").via("discovered by thinking of an authority")
@example(b"/%2e%2e/%zz?a=b&a=%00").via("what is escaped is left as it is")
@example(b"/a HTTP/1.1\r\nX: b").via("a line that is two")
@example(b"/a#b").via("a fragment")
@example(b"http://a/b").via("what proxies get")
def test_what_it_reads_is_what_the_parser_reads(path: bytes) -> None:
    data = b"GET %b HTTP/1.1%b" % (path, LINES)
    message = learnt(Parser()).read(data)
    if message is not None:
        assert parts(message) == parts(Parser().one(data)[0])


@pytest.mark.parametrize("path", ["/", ONE, "/v1/projects?page_size=50&page_token=a%2Bb", "/v1/users:verify,@x~y*"])
def test_other_paths_and_the_same_again_are_read(parser: Parser, path: str) -> None:
    found, data = learnt(parser), b"GET %b HTTP/1.1%b" % (path.encode(), LINES)
    for _ in range(2):
        message = found.read(data)
        assert message is not None
        assert (message.method, message.path) == ("GET", path)
    again = found.read(HEAD)
    assert again is not None
    assert again.path == "/v1/projects"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LINES,
        HEAD[:-1],
        HEAD[1:],
        HEAD + HEAD,
        HEAD + b"G",
        b"\r\n" + HEAD,
        b" " + HEAD,
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"GET", b"HEAD"),
        HEAD.replace(b"GET", b"get"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b" HTTP", b"  HTTP"),
        HEAD.replace(b"abc", b"abd"),
        HEAD.replace(b"Host", b"X: y\r\nHost"),
        HEAD.replace(b"/v1", b"\xc3\xa9"),
        HEAD.replace(b"/v1", b"/ /v1"),
        b"GET /" + b"a" * LARGEST + b" HTTP/1.1" + LINES,
    ],
)
def test_anything_else_is_for_the_parser(parser: Parser, data: bytes) -> None:
    assert learnt(parser).read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        HEAD.replace(b"GET", b"DELETE"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"Host", b"Connection: close\r\nHost"),
        HEAD.replace(b"Host", b"Connection: upgrade\r\nUpgrade: x\r\nHost"),
        HEAD.replace(b"Host", b"Content-Length: 0\r\nHost"),
        HEAD.replace(b"Host: l", b"Host:l"),
        HEAD.replace(b"Host: l", b"Host:  l"),
        HEAD.replace(b"localhost", b"localhost "),
        HEAD.replace(b"localhost", b"http://a/"),
        HEAD.replace(b"/v1/projects", b"http://a/"),
        b"\r\n" + HEAD,
        HEAD.replace(b"abc", b"a" * LARGEST),
    ],
)
def test_of_other_heads_nothing_is_known(parser: Parser, data: bytes) -> None:
    message, payload = parser.one(data)
    host = b"Host: http://a/" in data  # is a line like any other to the parser
    assert (known(data, message, payload) is None) is not host


def test_of_a_request_with_a_body_nothing_is_known(parser: Parser) -> None:
    data = HEAD.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost")
    assert known(data, *parser.one(data)) is None


@pytest.mark.parametrize(
    "before",
    [
        b"GET /a HTTP/1.1\r\nX: ",
        b"GET /v1/projects HTTP/1.1\r\nX: ",
        b"GET /v1/projects HTTP/1.1\r\nUser-Agent: x\r\nX: ",
        HEAD[:-2].replace(b"Host", b"X") + b"X: ",
    ],
)
def test_the_rest_of_a_head_is_no_head(parser: Parser, before: bytes) -> None:
    assert parser.all(before) == []
    rest = b"GET /v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer abc\r\n\r\n"
    assert known(rest, *parser.one(rest)) is None


def test_a_head_with_the_beginning_of_the_next_is_not_known(parser: Parser) -> None:
    data = HEAD + b"GET /a HTTP/1.1\r\nX: "
    assert known(data, *parser.one(data)) is None


# ---- in a connection -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with running() as made:
        yield made


class Parsed:
    """What was given to the parser."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[bytes] = []
        feed = connections._feed

        def count(connection: Any, data: bytes) -> None:
            self.all.append(data)
            feed(connection, data)

        monkeypatch.setattr(connections, "_feed", count)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Parsed:
    return Parsed(monkeypatch)


async def test_of_one_client_the_first_head_is_parsed_and_each_is_answered_for_itself(rig: Rig, parsed: Parsed) -> None:
    token = rig.authority.token()
    async with rig.connection() as connection:
        for path, status in (ONE, 200), (ONE, 200), ("/v1/projects", 200), ("/nowhere", 404), ("/v1/projects?x=1", 422):
            connection.send(rig.request("GET", path, bearer=token))
            assert (await connection.answer()).status == status
    assert parsed.all == [rig.request("GET", ONE, bearer=token)]


async def test_a_client_that_says_something_else_is_heard(rig: Rig, parsed: Parsed) -> None:
    token = rig.authority.token()
    async with rig.connection() as connection:
        for name in "aabbcc":
            connection.send(rig.request("GET", ONE, bearer=token, X_Request_Id=name))
            assert (await connection.answer()).headers["x-request-id"] == name
        connection.send(rig.request("GET", ONE, bearer=token + "x", X_Request_Id="c"))
        assert (await connection.answer()).status == 401
    assert len(parsed.all) == 4


async def test_what_a_client_repeats_is_looked_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    check = Strict.check

    def look(strict: Strict, request: Request) -> None:
        looked.append(request.message.path)
        check(strict, request)

    monkeypatch.setattr(Strict, "check", look)
    token = rig.authority.token()
    async with rig.connection() as connection:
        for path, agent in ("/a", "x"), ("/b", "x"), ("/c", "y"), ("/d", "y"), ("/e", "x"):
            connection.send(rig.request("GET", path, bearer=token, User_Agent=agent))
            assert (await connection.answer()).status == 404
    assert looked == ["/a", "/c", "/e"]


async def test_who_asks_is_whom_the_lines_name_each_time(rig: Rig) -> None:
    """Several people by one connection, as behind a proxy."""
    tokens = [rig.authority.token(sub=f"usr_{name}", sid=f"ses_{name}") for name in "ab"]
    async with rig.connection() as connection:
        for number in 0, 0, 1, 1, 0, 1, 0, 0:
            connection.send(rig.request("GET", ONE, bearer=tokens[number]))
            assert (await connection.answer()).status == 200
            assert rig.projects.calls[-1].principal.id == f"usr_{'ab'[number]}"


async def test_a_token_that_is_revoked_is_refused_though_its_lines_are_known(rig: Rig) -> None:
    token = rig.authority.token(sid="ses_gone")
    async with rig.connection() as connection:
        for _ in range(3):
            connection.send(rig.request("GET", ONE, bearer=token))
            assert (await connection.answer()).status == 200
        rig.authority.revoke_session("ses_gone")
        await rig.verifier.poll()
        for _ in range(2):
            connection.send(rig.request("GET", ONE, bearer=token))
            (await connection.answer()).problem(401, "token_revoked")


async def test_a_connection_on_which_heads_differ_forgets_and_goes_on(rig: Rig, parsed: Parsed) -> None:
    token = rig.authority.token()
    async with rig.connection() as connection:
        for number in range(2 * connections.STRANGE):
            connection.send(rig.request("GET", ONE, bearer=token, X_Request_Id=f"n{number}"))
            assert (await connection.answer()).headers["x-request-id"] == f"n{number}"
        for _ in range(3):
            connection.send(rig.request("GET", ONE, bearer=token))
            assert (await connection.answer()).status == 200
    assert len(parsed.all) == 2 * connections.STRANGE + 3


async def test_after_a_request_with_a_body_the_next_head_is_parsed(rig: Rig, parsed: Parsed) -> None:
    token = rig.authority.token()
    get = rig.request("GET", ONE, bearer=token)
    async with rig.connection() as connection:
        for data in get, get, rig.request("POST", "/v1/projects", {"name": "x"}, token), get, get:
            connection.send(data)
            assert (await connection.answer()).status in (200, 201)
    assert [data[:3] for data in parsed.all if data] == [b"GET", b"POS", b"GET"]


async def test_several_in_one_piece_are_answered_in_their_order(rig: Rig, parsed: Parsed) -> None:
    token = rig.authority.token()
    get = rig.request("GET", ONE, bearer=token)
    async with rig.connection() as connection:
        for times in 1, 1, 3, 1, 1:
            connection.send(get * times)
            for _ in range(times):
                assert (await connection.answer()).status == 200
    assert parsed.all == [get, get * 3, get]


async def test_what_began_during_a_request_is_the_end_of_what_it_began_as(rig: Rig) -> None:
    """Of a client, or a proxy, that has sent the beginning of a head while a request was served: what follows is the rest of
    it, also if it looks like a known head."""
    gate, token = asyncio.Event(), rig.authority.token()

    async def wait(_message: object) -> None:
        await gate.wait()

    get = rig.request("GET", ONE, bearer=token)
    async with rig.connection() as connection:
        for _ in range(2):
            connection.send(get)
            assert (await connection.answer()).status == 200
        rig.projects.before = wait
        connection.send(get)
        await rig.served()
        connection.send(b"GET /healthz HTTP/1.1\r\nX-Smuggled: ")
        await asyncio.sleep(0.05)  # nothing tells when it has been read
        rig.projects.before = None
        gate.set()
        assert (await connection.answer()).status == 200
        connection.send(get)
        answer = await connection.answer()
        assert answer.status == 200
        assert b"Apollo" not in answer.body, "it is /healthz that was asked for"
        connection.send(get)
        assert b"Apollo" in (await connection.answer()).body


@pytest.mark.parametrize("cut", [1, 30, -1])
async def test_a_known_head_in_pieces_is_one_request(rig: Rig, cut: int) -> None:
    get = rig.request("GET", ONE, bearer=rig.authority.token())
    async with rig.connection() as connection:
        for piece in get, get, get[:cut], get[cut:], get:
            before = len(rig.projects.requests)
            connection.send(piece)
            if piece == get[:cut]:
                await asyncio.sleep(0.02)  # so that it is read by itself
                continue
            assert (await connection.answer()).status == 200
            assert len(rig.projects.requests) == before + 1
