"""aiohttp's low-level server, fitted: replies leave in one write, and its own errors become problems too.

aiohttp parses HTTP/1.1 (in C; see `require_c_parser`), keeps connections and runs one task a request. What it does not do
here: routing, middlewares, its requests and responses (a pre-built head and one write cost a third of them; MEASURED.md).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import msgspec
from aiohttp import http_parser, web
from aiohttp.helpers import set_exception
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from multidict import CIMultiDictProxy

from acme.errors import Refused, TooLarge
from acme.gateway.addresses import network
from acme.gateway.problems import TITLES, Rejected
from acme.gateway.settings import LONGEST_LINE, MOST_HEADERS, GatewaySettings

Headers = CIMultiDictProxy[str]
T = TypeVar("T")

LINGER: Final = 2.0
"""Seconds in which what a refused client still sends is read and thrown away, so that it gets to read the answer."""

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


class _Heads:
    """Status line, constant headers and Date, as far as the id of the request; built at first use and afresh each second."""

    __slots__ = ("_made", "_second")

    def __init__(self) -> None:
        self._second, self._made = 0, dict[tuple[int, str], bytes]()

    def of(self, status: int, kind: str, now: float) -> bytes:
        second = int(now)
        if second != self._second:
            self._second, self._made = second, {}
        try:
            return self._made[status, kind]
        except KeyError:
            date = formatdate(second, usegmt=True).encode()
            head = b"%bDate: %b\r\nX-Request-Id: " % (_head(status, kind), date)
            return self._made.setdefault((status, kind), head)


head_until_id: Final = _Heads().of
"""An answer up to the id of its request: (status, kind, time in seconds since the Unix epoch). Its kind is its content type,
and, where it may be kept, what `kept` makes of that: one string, which names the head that was built for it."""


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
        """Whether nothing of the body is left to be read: whatever is cannot be told from the next request."""
        return not self.has_body or self.payload.is_eof()

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
        await connection.drained(self.write_timeout)

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
    data = b"".join((head_until_id(status, kind, now), request_id.encode(), b"\r\n", lines, b"\r\n", body))
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


async def read_body(request: Request, most: int, settings: GatewaySettings) -> bytes:
    """The whole request body.

    Raises:
        TooLarge: more than `most` bytes, announced or sent (413).
        Rejected: it came too slowly (408), is compressed (415), or is not what the headers promised (400).
    """
    payload = request.payload
    if payload.is_eof():  # it came along with the head, as most do
        body = payload.read_nowait(-1)
        if len(body) > most:
            raise too_large(most)
        return body
    welcome(request)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(settings.body_timeout):
            while chunk := await payload.readany():
                chunks.append(chunk)
                size += len(chunk)
                if size > most:
                    raise too_large(most)
    except TimeoutError:
        raise Rejected(408, "slow_body", f"The body has to arrive within {settings.body_timeout:g} seconds.") from None
    except (RequestPayloadError, HttpProcessingError):
        raise Rejected(400, "malformed_body", "The body does not end where the headers say.") from None
    return b"".join(chunks)


def welcome(request: Request) -> None:
    """Tells a client that asks first to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        request.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def check_size(headers: Headers, limit: int) -> None:
    """Refuses by Content-Length alone, before anything of the body is read (413)."""
    length = headers.get("Content-Length")
    if length is not None and int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The body has more than `limit` bytes."""
    return TooLarge(f"The body may have at most {limit} bytes.")


class _InOneTask:
    """The event loop as a connection sees it, except that a task is the coroutine itself.

    aiohttp runs each request in a task of its own, within the connection's, and awaits it at once. Python 3.12 starts
    such a task eagerly; on 3.11 it takes another turn of the loop, and 8 of 223 thousand instructions a request (perf
    stat, a no-op through the whole pipeline). There requests are served in the connection's task: a cancellation of
    either was passed on to the other anyway.
    """

    __slots__ = ("_loop", "call_at", "create_future", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.call_at, self.create_future, self.time = loop.call_at, loop.create_future, loop.time

    @staticmethod
    def create_task(request: T) -> T:
        return request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Connection(RequestHandler):
    """One client connection."""

    __slots__ = ("_answer", "address", "network")

    def __init__(self, manager: Server, answer: Callable[[Any, Refused], Reply], **options: Any) -> None:
        super().__init__(manager, **options)
        self._answer = answer
        self.address = self.network = ""
        """IP address of the peer, and what counts as one address for limits. Forwarded headers are not looked at."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0].removeprefix("::ffff:") if peer else ""
        self.network = network(self.address)
        if sys.version_info < (3, 12):
            # The connection's own task has been made, and has not begun.
            self._loop = cast(asyncio.AbstractEventLoop, _InOneTask(self._loop))

    @property
    def idle(self) -> bool:
        """Whether no request is being served or waits."""
        return self._current_request is None and not self._messages

    def write(self, data: bytes) -> None:
        """Sends bytes; to a client that has gone, nothing."""
        transport = self.transport
        if transport is not None:
            transport.write(data)

    async def drained(self, timeout: float) -> None:
        """Returns when the client has read most of what was written, so that nobody fills the memory by not reading. One
        that takes longer than `timeout` seconds is cut off."""
        if not self.writing_paused:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._drain_helper()  # aiohttp offers it to its own writers only
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends an answer; aiohttp's way, by two more coroutines, where a client wanted another protocol (Upgrade) and
        what it sent after that is still to be read."""
        if self._upgraded:
            return await super().finish_response(request, resp, start_time)
        answer: Any = resp  # a Reply, or a Download, of which all has been sent
        transport = self.transport
        if transport is not None and answer.data:
            transport.write(answer.data)
            if self._paused:
                await self.drained(answer.write_timeout)
        return resp, False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp refuses itself, such as a broken request line. Its message quotes the client's bytes, and an
        unexpected error's is for nobody: neither is sent."""
        if isinstance(exc, LineTooLong):
            line = exc.args[0]
            if bytes(line).startswith((b"/", b"http:")):
                refusal = Rejected(414, "uri_too_long", f"The request line may have at most {LONGEST_LINE} bytes.")
            else:
                refusal = Rejected(431, "header_too_large", f"A header may have at most {LONGEST_LINE} bytes.")
        elif isinstance(exc, HttpProcessingError):
            refusal = Rejected(400, "malformed_request", "This is not a well-formed HTTP/1.1 request.")
        else:
            self.logger.error("unexpected error in the HTTP server", exc_info=exc)
            refusal = Rejected(500, "internal", "Something went wrong on our side.")
        return cast(web.StreamResponse, self._answer(request, refusal))


class Server(web.Server):
    """Makes connections. `serve` answers requests, `answer` refusals that happen before there is a request."""

    def __init__(
        self,
        serve: Callable[[Any], Awaitable[Any]],
        answer: Callable[[Any, Refused], Reply],
        settings: GatewaySettings,
        made: type[Request] = Request,
    ) -> None:
        """`made` is the class of requests that `serve` and `answer` take."""
        super().__init__(serve, request_factory=cast(Any, made), handler_cancellation=True)
        self._answer = answer
        self._options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": settings.keepalive,
            "lingering_time": LINGER,
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_LINE,
            "max_headers": MOST_HEADERS,
        }

    def __call__(self) -> RequestHandler:
        return Connection(self, self._answer, loop=self._loop, **self._options)

    def close_idle(self) -> None:
        """Ends the connections that wait for a next request. Those in use end with their answer."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()  # what was written still leaves; close() alone would keep the socket open
