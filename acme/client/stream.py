"""Server-Sent Events → messages: one connection (WHATWG HTML, "Server-sent events", as far as the platform sends them)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, Protocol

import msgspec

from acme.client.problems import Problem, Unreachable

LONGEST_LINE: Final = 8 * 1024 * 1024
"""Bytes: a message has 4 MiB at most, and text may be twice as long in JSON."""


class Source(Protocol):
    """An HTTP answer whose body is still coming."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; Unreachable where it breaks off."""
        ...

    def close(self) -> None: ...


class Events:
    """The messages of one connection, each with the last id so far. Use it as a context, and iterate once."""

    def __init__(self, source: Source, read: Callable[[bytes], Any]) -> None:
        self._source, self._read = source, read
        self.ended = False
        """Whether the stream is over, and not only the connection."""
        self.retry = 0.0
        """Seconds to wait before asking again, as the platform said; 0 when it did not."""

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._source.close()

    async def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        """Raises Problem when the stream ends in one, Unreachable when it breaks off."""
        last, event, data = "", "", b""
        async for line in self._lines():
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            match name:
                case b"id":
                    last = value.decode()
                case b"event":
                    event = value.decode()
                case b"data":
                    data = value
                case b"retry" if value.isdigit():
                    self.retry = int(value) / 1000
                case b"" if not line:
                    if event == "end":
                        self.ended = True
                        return
                    if event == "problem":
                        raise _problem(data)
                    if data and not event:  # others are of a later version
                        yield last, self._read(data)
                    event, data = "", b""
                case _:
                    pass  # a comment, or a field of a later version

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        rest = bytearray()
        async for piece in self._source.pieces():
            rest += piece
            *lines, last = rest.split(b"\n")
            for line in lines:
                yield bytes(line.removesuffix(b"\r"))
            rest = bytearray(last)
            if len(rest) > LONGEST_LINE:
                raise Unreachable(f"an event has more than {LONGEST_LINE} bytes")


def _problem(data: bytes) -> Problem:
    try:
        said = msgspec.json.decode(data)
    except ValueError:
        said = None
    body = said if isinstance(said, dict) else {}
    status = body.get("status")
    return Problem(status if isinstance(status, int) else 500, body)
