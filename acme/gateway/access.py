"""The access log: one JSON line a request.

Lines are put together by hand, since a request is worth 2 µs of logging and not 20, and in batches: at most 100 ms after
the request, and at the drain. The query string is left out, and so is the path of a route that carries
personal data in it: the template stands for it.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Final, TextIO

import msgspec

EVERY: Final = 0.1
"""Seconds a line waits at most."""
_LONGEST: Final = 500


Entry = tuple[float, str, str, str, int, float, int, str, str, str]
"""A request: when it ended (seconds since the Unix epoch), method, route, path, status, how long it took (seconds), bytes
of the body sent, request id, id of the principal, address. All but the path are of our own making, or checked."""


class AccessLog:
    """Keeps entries, and writes them to `stream`; `None` logs nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """One request more."""
        if self._stream is None:
            return
        self._entries.append(entry)
        if len(self._entries) == 1:
            asyncio.get_running_loop().call_later(EVERY, self.flush)

    def flush(self) -> None:
        """Writes what is buffered."""
        if self._entries and self._stream is not None:
            entries, self._entries = self._entries, []
            self._stream.write("".join(map(_line, entries)))
            self._stream.flush()


def _line(entry: Entry) -> str:
    moment, method, route, path, status, seconds, size, request_id, principal, address = entry
    if len(path) > _LONGEST or '"' in path or "\\" in path or not (path.isascii() and path.isprintable()):
        path = _escape(path[:_LONGEST])
    second = int(moment)
    return (
        f'{{"time":"{_stamp(second)}.{int((moment - second) * 1000):03d}Z","method":"{method}","route":"{route}",'
        f'"path":"{path}","status":{status},"duration_ms":{seconds * 1000:.3f},"bytes":{size},'
        f'"request_id":"{request_id}","principal":"{principal}","address":"{address}"}}\n'
    )


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _escape(path: str) -> str:
    plain = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return msgspec.json.encode(plain).decode()[1:-1]
