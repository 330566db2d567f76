"""Refuses requests in their connection, as soon as their heads have come, or lets them wait there, while there is too much
to do.

There is no task then, no route that is served, no log line but one for all of a second, and the connection goes on. So it
is with plain requests: without a body, an Origin, or any header that needs a second look. The pipeline refuses others.

Most of these are not even parsed: a regular expression says that what came is one whole head and nothing else, and that its
lines are lines. With the names being among those that were seen and are plain, no body follows, and whatever the parser
would make of it, the next request begins after it. To refuse one takes 68,000 instructions, 11 µs with the kernel's part
(perf stat); a bare aiohttp server answers with 160,000.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr

from acme.errors import Unavailable
from acme.gateway.connection import Connection
from acme.gateway.headers import LONGEST_ID, RequestIds
from acme.gateway.peers import Peers
from acme.gateway.problems import problem
from acme.gateway.server import PROBLEM
from acme.gateway.settings import LARGEST_HEAD
from acme.gateway.strict import Strict

_ORIGIN: Final = istr("Origin")
_HEAD: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (/[!-~]*) HTTP/1\.1\r\n(?:[A-Za-z0-9-]++:[\t -~]*+\r\n)++\r\n")
"""One head, and nothing else."""
_NAMES: Final = re.compile(rb"\n([A-Za-z0-9-]++):")
"""Of its headers, in their order."""
_HOST: Final = b"host"
_REQUEST_ID: Final = b"x-request-id"
_ID: Final = "\0"
"""Stands for the id of a request."""
_RETRY: Final = b"\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"


Skimmed = Callable[[Connection, bytes, str, str, Callable[[bytes], str]], bool | None]
"""(connection, what came, method, path, headers by lower-case name) → whether it is refused; `None`: it waits in line."""


def refusal() -> Unavailable:
    """What a request is told for which there is no time or place."""
    return Unavailable("There is too much to do: try again in a moment.", reason="overloaded")


def _given(name: bytes, names: list[bytes], data: bytes) -> str:
    """The value of a header, by the names of all; "" where there is none."""
    if name not in names:
        return ""
    return data.split(b"\r\n")[names.index(name) + 1][len(name) + 1 :].strip().decode()


class Sieve:
    """In front of all connections of a gateway; `open` lets everything through."""

    def __init__(self, peers: Peers, strict: Strict, ids: RequestIds, refused: Callable[[str], None]) -> None:
        """`refused` hears of each that is, and why."""
        self._peers, self._strict, self._ids, self._refused = peers, strict, ids, refused
        self._skimmed: Skimmed = lambda connection, data, method, path, given: False
        self._sifted: Callable[[RawRequestMessage], bool] = lambda message: False
        self._names = strict.plain_names
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

    def skim(self, connection: Connection, data: bytes) -> bytes | None:
        """The refusal of what has just come, where no request had begun; `None` where it is to be parsed, and nothing where
        it waits in line."""
        if len(data) > LARGEST_HEAD or (head := _HEAD.fullmatch(data)) is None:
            return None
        names = [name.lower() for name in _NAMES.findall(data)]
        if not self._names.issuperset(names) or names.count(_HOST) != 1:
            return None
        refused = self._skimmed(
            connection, data, head[1].decode(), head[2].decode(), lambda name: _given(name, names, data)
        )
        if refused is False:
            return None
        return self._refusal(connection, self._ids.named(_given(_REQUEST_ID, names, data))) if refused else b""

    def refusal(self, connection: Connection, data: bytes) -> bytes:
        """Of a request that has waited in line."""
        names = [name.lower() for name in _NAMES.findall(data)]
        return self._refusal(connection, self._ids.named(_given(_REQUEST_ID, names, data)))

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
