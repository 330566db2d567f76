"""Refuses requests in their connection, as soon as their heads have come, or lets them wait there, while there is too much
to do.

There is no task then, no route that is served, no log line but one for all of a second, and the connection goes on. So it
is with plain requests: without a body, an Origin, or any header that needs a second look. The pipeline refuses others.

Most of these are not even parsed: what came is one whole head and nothing else, and its lines are lines. With the names
being among those that were seen and are plain, no body follows, and whatever the parser would make of it, the next request
begins after it. A client says the same of itself in every request: what header lines say is read once and kept for a while.
To refuse one takes 54,000 instructions with the kernel's 14,000 where its header lines are known, 100,000 where they are not
(perf stat; a head of 650 bytes); a bare aiohttp server answers with 160,000.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr

from acme.errors import Malformed, Unavailable
from acme.gateway.connection import Connection
from acme.gateway.headers import LONGEST_ID, RequestIds, asked_for
from acme.gateway.peers import Peers
from acme.gateway.problems import problem
from acme.gateway.server import PROBLEM
from acme.gateway.settings import LARGEST_HEAD
from acme.gateway.strict import Strict

T = TypeVar("T")

_ORIGIN: Final = istr("Origin")
_FIRST: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (/[!-~]*) HTTP/1\.1")
"""The line of a request."""
_TEXT: Final = bytes(byte if byte == 9 or 32 <= byte < 127 else 255 for byte in range(256))
"""What header lines are made of; anything else becomes what is no ASCII."""
_END: Final = b"\r\n"
_HOST: Final = b"host"
_REQUEST_ID: Final = b"x-request-id"
_AUTHORIZATION: Final = b"authorization"
_TIMEOUT: Final = b"x-request-timeout"
_ID: Final = "\0"
"""Stands for the id of a request."""
_RETRY: Final = b"\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"


_READ: Final = frozenset({_HOST, _AUTHORIZATION, _TIMEOUT, _REQUEST_ID})
KEPT: Final = 1000
_LONGEST: Final = 4096
"""So many first lines, and header lines of so many clients, are kept, where they have so many bytes at most."""


class Said(NamedTuple):
    """What the header lines of a plain request say."""

    token: str
    """Its Bearer token; "" without one."""
    seconds: float
    """How long its client waits (X-Request-Timeout), infinity where it does not say; NaN for what is no such time."""
    request_id: str
    """X-Request-Id, as far as it can be used; "" where there is none."""


Skimmed = Callable[[Connection, bytes, str, str, Said], bool | None]
"""(connection, what came, method, path, what its headers say) → whether it is refused; `None`: it waits in line."""


def refusal() -> Unavailable:
    """What a request is told for which there is no time or place."""
    return Unavailable("There is too much to do: try again in a moment.", reason="overloaded")


def _keep(among: dict[bytes, T], said: bytes, means: T) -> None:
    if len(said) <= _LONGEST:
        if len(among) >= KEPT:
            among.clear()
        among[said] = means


def _seconds(given: str) -> float:
    try:
        return asked_for(given, math.inf)
    except Malformed:
        return math.nan


class Sieve:
    """In front of all connections of a gateway; `open` lets everything through."""

    def __init__(self, peers: Peers, strict: Strict, ids: RequestIds, refused: Callable[[str], None]) -> None:
        """`refused` hears of each that is, and why."""
        self._peers, self._strict, self._ids, self._refused = peers, strict, ids, refused
        self._skimmed: Skimmed = lambda connection, data, method, path, said: False
        self._sifted: Callable[[RawRequestMessage], bool] = lambda message: False
        self._names = strict.plain_names
        self._asked: dict[bytes, tuple[str, str]] = {}
        """First line → method and path."""
        self._said: dict[bytes, Said] = {}
        self._before, _, self._after = problem(refusal(), _ID).body.partition(b"\\u0000")
        peers.refusal = self.refusal
        length = len(self._before) + len(self._after)
        self._lines = [_RETRY % (length + more) for more in range(LONGEST_ID + 1)]
        """By the length of the request's id."""

    def close(self, skimmed: Skimmed, sifted: Callable[[RawRequestMessage], bool]) -> None:
        """From now on `skimmed` says what becomes of plain requests before they are parsed, and `sifted` which of those that
        it lets through, and of others that are plain, are refused."""
        self._skimmed, self._sifted = skimmed, sifted
        self._peers.skim, self._peers.sift = self.skim, self.sift

    def open(self) -> None:
        """From now on none is."""
        self._peers.skim = self._peers.sift = None
        self._asked.clear()
        self._said.clear()

    def skim(self, connection: Connection, data: bytes) -> bytes | None:
        """The refusal of what has just come, where no request had begun; `None` where it is to be parsed, and nothing where
        it waits in line."""
        end = data.find(_END)
        if end < 0 or len(data) > LARGEST_HEAD:
            return None
        first, lines = data[:end], data[end:]
        asked = self._asked.get(first) or self._first(first)
        said = self._said.get(lines) or self._read(lines)
        if asked is None or said is None:
            return None
        refused = self._skimmed(connection, data, *asked, said)
        if refused is False:
            return None
        return self._refusal(connection, said.request_id or self._ids.new()) if refused else b""

    def refusal(self, connection: Connection, data: bytes) -> bytes:
        """Of a request that has waited in line."""
        lines = data[data.find(_END) :]
        said = self._said.get(lines) or self._read(lines)
        return self._refusal(connection, self._ids.new() if said is None else said.request_id or self._ids.new())

    def _first(self, line: bytes) -> tuple[str, str] | None:
        """Method and path of a request's first line; `None` where it is none of a plain request."""
        found = _FIRST.fullmatch(line)
        if found is None:
            return None
        asked = found[1].decode(), found[2].decode()
        _keep(self._asked, line, asked)
        return asked

    def _read(self, lines: bytes) -> Said | None:
        """What header lines say, from the end of the line before them to the end of the head; `None` where they are none of
        a plain request, or something comes after them."""
        _, *each = lines.split(_END)
        if each[-2:] != [b"", b""] or not b"".join(each).translate(_TEXT).isascii():
            return None
        found: dict[bytes, str] = {}
        for line in each[:-2]:
            name, colon, value = line.partition(b":")
            name = name.lower()
            if not colon or name not in self._names or (name == _HOST and name in found):
                return None
            if name in _READ and name not in found:
                found[name] = value.strip().decode()
        if _HOST not in found:
            return None
        scheme, _, token = found.get(_AUTHORIZATION, "").partition(" ")
        given = found.get(_REQUEST_ID, "")
        said = Said(
            token.strip(" ") if scheme.lower() == "bearer" else "",
            _seconds(found[_TIMEOUT]) if _TIMEOUT in found else math.inf,
            self._ids.named(given) if given else "",
        )
        if not given:  # with an id, they are no other request's
            _keep(self._said, lines, said)
        return said

    def sift(self, connection: Connection, message: Any, payload: object) -> bytes | None:
        """The refusal of a request that has just come; `None` where it goes its way."""
        if (
            type(message) is not RawRequestMessage
            or payload is not EMPTY_PAYLOAD
            or message.should_close
            or message.upgrade
            or message.method == "HEAD"
            or message.version is not HttpVersion11
            or not self._strict.plain(message.headers)
            or _ORIGIN in message.headers
            or not self._sifted(message)
        ):
            return None
        return self._refusal(connection, self._ids.of(message.headers))

    def _refusal(self, connection: Connection, request_id: str) -> bytes:
        self._refused("overloaded")
        head, told = connection.head_until_id(503, PROBLEM, time.time()), request_id.encode()
        return b"".join((head, told, self._lines[len(request_id)], self._before, told, self._after))
