"""aiohttp's low-level server, fitted: replies leave in one write, and its own errors become problems too.

aiohttp parses HTTP/1.1 (in C; see `require_c_parser`), keeps connections, and runs the loop of those on which bodies come
(`one_task.py` has that of the others). What it does not do here: routing, middlewares, its requests and responses
(a pre-built head and one write cost a third of them; MEASURED.md).
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from aiohttp import http_parser, web
from aiohttp.helpers import set_exception
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDictProxy

from acme.errors import Refused, Unavailable
from acme.gateway.clients import Clients
from acme.gateway.connection import Connection
from acme.gateway.peers import Peers
from acme.gateway.problems import TITLES, problem
from acme.gateway.settings import LONGEST_LINE, MOST_HEADERS, GatewaySettings

Headers = CIMultiDictProxy[str]

LINGER: Final = 2.0
"""Seconds in which what a refused client still sends is read and thrown away, so that it gets to read the answer."""
UNREAD: Final = 65_536
"""Bytes of a body after which a connection is not read further, until some of them have been taken: up to twice as many, and
what came in one read with them, are what a connection can hold of a request that nobody reads yet."""
FILES: Final = 256
"""Files that a process may need beside its connections."""

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"


def require_c_parser() -> None:
    """Raises RuntimeError when aiohttp would parse in Python: that parser is slower, and has had faults the C one has not
    (GHSA-9548-qrrj-x5pj)."""
    if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise RuntimeError(
            "aiohttp's C parser is not in use: install a wheel of aiohttp for this platform, "
            "and unset AIOHTTP_NO_EXTENSIONS"
        )


def kept(content_type: str, control: str, vary: str) -> str:
    """A kind of answer that may be kept: `control` is its Cache-Control, `vary` names the request headers it depends on."""
    return f"{content_type}\n{control}\n{vary}"


def _head(status: int, kind: str) -> bytes:
    phrase = TITLES[status] if status >= 400 else HTTPStatus(status).phrase
    content_type, *keeping = kind.split("\n")
    control, vary = keeping or ("no-store", "")
    lines = (
        f"HTTP/1.1 {status} {phrase}",
        *([f"Content-Type: {content_type}"] if content_type else []),
        f"Cache-Control: {control}",
        *([f"Vary: {vary}"] if vary else []),
        "X-Content-Type-Options: nosniff",
        "",
    )
    return "\r\n".join(lines).encode()


class Heads:
    """Status line, constant headers and Date, as far as the id of the request; built at first use and afresh each second."""

    __slots__ = ("_lines", "_made", "_second")

    def __init__(self, lines: bytes = b"") -> None:
        """`lines` are constant headers of every answer, beside the usual ones."""
        self._second, self._made, self._lines = 0, dict[tuple[int, str], bytes](), lines

    def of(self, status: int, kind: str, now: float) -> bytes:
        """An answer up to the id of its request; `now` is in seconds since the Unix epoch. A kind is a content type, and,
        where it may be kept, what `kept` makes of that: one string, which names the head that was built for it."""
        second = int(now)
        if second != self._second:
            self._second, self._made = second, {}
        try:
            return self._made[status, kind]
        except KeyError:
            date = formatdate(second, usegmt=True).encode()
            head = b"%bDate: %b\r\n%bX-Request-Id: " % (_head(status, kind), date, self._lines)
            return self._made.setdefault((status, kind), head)


PLAIN: Final = Heads()
"""Of connections of which nothing more is to be said."""


class Request:
    """A request as a connection hands it over: what the parser made of its head, and its body as it comes.

    aiohttp's own takes 0.3 µs to make, for properties that nobody reads. Of it aiohttp's connections use `_cancel`,
    `_finish` and `_task` alone.
    """

    __slots__ = ("_task", "connection", "has_body", "headers", "message", "payload")

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: Connection,
        _writer: object,
        task: asyncio.Task[Any],
    ) -> None:
        """The arguments are aiohttp's."""
        self.message, self.payload, self.connection = message, payload, connection
        self.headers = message.headers
        self.has_body = payload is not EMPTY_PAYLOAD
        self._task = task

    @property
    def read(self) -> bool:
        """Whether nothing of the body is left to be read: whatever is cannot be told from the next request. A chunked one
        has to have ended without trailers: aiohttp's parser takes the last of them for the next request's header."""
        if not self.has_body:
            return True
        return self.payload.is_eof() and (not self.message.chunked or self.connection.ended_plainly)

    def _cancel(self, error: BaseException) -> None:
        """The client has gone: whoever reads the body gets to know."""
        set_exception(self.payload, error)

    def _finish(self) -> None:
        """Nothing is left to be closed."""


class Reply(msgspec.Struct):
    """An answer, complete: head and body in one piece. Stands in for aiohttp's response, of which it keeps what
    `RequestHandler` uses: `prepare`, `write_eof` and `keep_alive`. A Struct is made by C, in half of the time."""

    status: int
    data: bytes
    """All that is sent."""
    body_length: int
    """Bytes of the body that is sent."""
    keep_alive: bool
    write_timeout: float

    async def prepare(self, request: web.BaseRequest) -> None:
        """For aiohttp's own way: sends it."""
        connection = cast(Request, request).connection
        connection.write(self.data)
        await connection.drained(self.write_timeout, len(self.data))

    async def write_eof(self) -> None:
        """For aiohttp's own way: nothing is left to send."""


def reply(
    request: Request,
    request_id: str,
    status: int,
    kind: str,
    body: bytes,
    lines: bytes,
    now: float,
    may_keep: bool,
    write_timeout: float,
) -> Reply:
    """An answer to `request`. `lines` are headers beyond the constant ones; `may_keep` says whether the connection may go
    on; `now` is in seconds since the Unix epoch."""
    message = request.message
    keep = may_keep and not message.should_close and (not request.has_body or request.read)
    if not keep:
        lines += b"Connection: close\r\n"
    elif message.version is not HttpVersion11:
        lines += b"Connection: keep-alive\r\n"
    if status not in _BODILESS:  # of a 304, the length would be that of what is not sent
        lines += b"Content-Length: %d\r\n" % len(body)
    if message.method == "HEAD":
        body = b""
    # Joined in two thirds of the time that formatting takes.
    head = request.connection.head_until_id(status, kind, now)
    data = b"".join((head, request_id.encode(), b"\r\n", lines, b"\r\n", body))
    return Reply(status, data, len(body), keep, write_timeout)


_BODILESS: Final = frozenset({204, 304})


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Headers as lines. Names and values are ours, but a value may quote a contract or a reply.

    Raises:
        ValueError: a value that would end the line.
    """
    lines = []
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"header {name} holds control characters")
        lines.append(f"{name}: {value}\r\n".encode())
    return b"".join(lines)


class Server(web.Server):
    """Makes connections. `serve` answers requests, `answer` refusals that happen before there is a request."""

    def __init__(
        self,
        serve: Callable[[Any], Awaitable[Any]],
        answer: Callable[[Any, Refused], Reply],
        settings: GatewaySettings,
        peers: Peers,
        new_id: Callable[[], str],
        made: type[Request] = Request,
        heads: Heads = PLAIN,
        clients: Clients | None = None,
    ) -> None:
        """`made` is the class of requests that `serve` and `answer` take; `new_id` names what is answered without one;
        `heads` begin its answers; `clients` knows whom certificates stand for, where they are asked for."""
        super().__init__(serve, request_factory=cast(Any, made), handler_cancellation=True)
        self._answer, self._peers, self._new_id = answer, peers, new_id
        self.heads, self.clients = heads, clients
        self._options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "read_bufsize": UNREAD,
            "lingering_time": LINGER,
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_LINE,
            "max_headers": MOST_HEADERS,
        }
        self.configure(settings)

    def configure(self, settings: GatewaySettings) -> None:
        """What holds from now on; `keepalive` of connections that begin from now on."""
        self._options["keepalive_timeout"] = settings.keepalive
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._peers.limit(
            settings.connections,
            settings.head_timeout,
            settings.write_timeout,
            settings.proxies,
            max(files - FILES, MOST_HEADERS),
        )

    def __call__(self) -> Any:
        """A connection; for one that finds no room, what tells so."""
        if self._peers.full:
            return _Turned(self._turn_away("most", "There are too many connections: try again."))
        return Connection(self, self._answer, self._turn_away, self._peers, loop=self._loop, **self._options)

    def _turn_away(self, reason: str, told: str) -> bytes:
        """What a client is told that is not even listened to."""
        refusal = Unavailable(told, reason=reason)
        request_id = self._new_id()
        answer = problem(refusal, request_id)
        lines = header_lines({**answer.headers, "Connection": "close", "Content-Length": str(len(answer.body))})
        head = self.heads.of(answer.status, PROBLEM, time.time())
        return b"".join((head, request_id.encode(), b"\r\n", lines, b"\r\n", answer.body))

    def close_idle(self) -> None:
        """Ends the connections that wait for a next request. Those in use end with their answer."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()  # what was written still leaves; close() alone would keep the socket open


class _Turned(asyncio.Protocol):
    """A connection that is answered, and closed, before anything is read."""

    def __init__(self, answer: bytes) -> None:
        self._told = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast(asyncio.Transport, transport)
        wire.write(self._told)
        wire.close()
