"""A client says the same of itself in every request: on one connection, most heads differ in their first line only.

The parser is asked once what such lines mean. While the very same bytes follow on another path, its answer is taken again,
with that path; 31 of 180 thousand instructions of a request are its work (perf stat; a head of 900 bytes).

What that must never do is to see a request where the parser would not: then this gateway and a proxy in front of it would
count requests differently (request smuggling). So `known` believes only what it can prove: that the parser made of these
bytes exactly one request, with exactly these lines, which has no body and ends nothing. Then it stands between two requests
before and after them, and `Connection` forgets what is known with the first byte that the parser gets from elsewhere.

What the gateway finds in such lines itself, it finds once as well: whether they are strict, the token that they bear (7 of
312 thousand instructions of one SQL read; callgrind). That is of these lines alone: whether the token is good, and what it
may do, is asked each time.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr
from yarl import URL

LARGEST: Final = 4096
"""Bytes of a head that is remembered: each connection keeps one."""
_FIRST: Final = re.compile(rb"GET (/[A-Za-z0-9/._~:?=&%,@+*-]*) HTTP/1\.1")
"""A line that the parser takes as it stands, whatever the path."""
_BODIES: Final = (istr("Content-Length"), istr("Transfer-Encoding"))
_REQUEST_ID: Final = istr("X-Request-Id")
_NO_URL: Final = URL()


class Known:
    """The head of a request without a body."""

    __slots__ = ("_cut", "_first", "_lines", "_message", "headers", "named", "strict", "token")

    def __init__(self, first: bytes, lines: bytes, message: RawRequestMessage) -> None:
        """`first` is the line of the request, `lines` all that follows it, and `message` what the parser made of both."""
        self._first, self._lines, self._cut, self._message = first, lines, -len(lines), message
        self.headers: Final = message.headers
        self.named: Final = _REQUEST_ID in message.headers
        """Whether the client names its requests."""
        self.strict = False
        """Whether nothing is wrong with these lines, once that was looked at."""
        self.token = ""
        """Their Bearer token, once it was looked for."""

    def read(self, data: bytes) -> RawRequestMessage | None:
        """What the parser would make of bytes that come next, where they differ in the path at most; else `None`."""
        if not data.endswith(self._lines):
            return None
        first = data[: self._cut]
        if first != self._first:
            found = _FIRST.fullmatch(first)
            if found is None or len(data) > LARGEST:
                return None
            self._first, self._message = first, _message(found[1].decode(), self._message.headers)
        return self._message


def _message(path: str, headers: Any) -> RawRequestMessage:
    """Of a target and of headers we read the text: nothing else of them is kept."""
    return RawRequestMessage("GET", path, HttpVersion11, headers, (), False, None, False, False, _NO_URL)


def known(data: bytes, message: Any, payload: object) -> Known | None:
    """What is known from now on: the parser has just made `message` and `payload`, and nothing else, of what came. `None`
    where that proves nothing of what comes next."""
    if (
        len(data) > LARGEST
        or payload is not EMPTY_PAYLOAD
        or type(message) is not RawRequestMessage
        or message.should_close
        or message.upgrade
        or message.chunked
        or message.compression is not None
        or message.version is not HttpVersion11
        or any(name in message.headers for name in _BODIES)
    ):
        return None
    first, _, _ = data.partition(b"\r\n")
    found = _FIRST.fullmatch(first)
    if found is None or found[1].decode() != message.path:
        return None
    lines = b"".join([b"\r\n%b: %b" % line for line in message.raw_headers]) + b"\r\n\r\n"
    return Known(first, lines, _message(message.path, message.headers)) if first + lines == data else None
