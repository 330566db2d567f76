"""Refuses requests in their connection, as soon as their heads have been read, while there is too much to do.

There is no task then, no route that is served, no log line but one for all of a second, and the connection goes on. So it
is with plain requests: without a body, an Origin, or any header that needs a second look. The pipeline refuses others.
"""

from __future__ import annotations

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
from acme.gateway.strict import Strict

_ORIGIN: Final = istr("Origin")
_ID: Final = "\0"
"""Stands for the id of a request."""
_RETRY: Final = b"\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"


def refusal() -> Unavailable:
    """What a request is told for which there is no time or place."""
    return Unavailable("There is too much to do: try again in a moment.", reason="overloaded")


class Sieve:
    """In front of all connections of a gateway; `open` lets everything through."""

    def __init__(self, peers: Peers, strict: Strict, ids: RequestIds, refused: Callable[[str], None]) -> None:
        """`refused` hears of each that is, and why."""
        self._peers, self._strict, self._ids, self._refused = peers, strict, ids, refused
        self._refuses: Callable[[RawRequestMessage], bool] = lambda message: False
        self._before, _, self._after = problem(refusal(), _ID).body.partition(b"\\u0000")
        length = len(self._before) + len(self._after)
        self._lines = [_RETRY % (length + more) for more in range(LONGEST_ID + 1)]
        """By the length of the request's id."""

    def close(self, refuses: Callable[[RawRequestMessage], bool]) -> None:
        """From now on `refuses` says of each plain request whether it is refused."""
        self._refuses = refuses
        self._peers.sift = self.sift

    def open(self) -> None:
        """From now on none is."""
        self._peers.sift = None

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
            or not self._refuses(message)
        ):
            return None
        self._refused("overloaded")
        request_id = self._ids.of(message.headers)
        head, told = connection.head_until_id(503, PROBLEM, time.time()), request_id.encode()
        return b"".join((head, told, self._lines[len(request_id)], self._before, told, self._after))
