"""The access log: one JSON line a request.

Lines are put together by hand, since a request is worth about 2 µs of logging and not 20, and written in batches: at most
100 ms after the request, and at the drain. The query string is left out, and so is the path of a route that carries
personal data in it: the template stands for it.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final, TextIO

import msgspec

EVERY: Final = 0.1
"""Seconds a line waits at most."""
_LONGEST: Final = 500
_SAFE: Final = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")


class AccessLog:
    """Buffers lines for `stream`; `None` logs nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""

    def add(
        self,
        method: str,
        route: str,
        path: str,
        status: int,
        seconds: float,
        size: int,
        request_id: str,
        principal: str,
        address: str,
    ) -> None:
        """One request. `request_id` and `principal` are of our own making or checked; `path` may be anything."""
        if self._stream is None:
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        if len(path) > _LONGEST or _SAFE.fullmatch(path) is None:
            path = _escape(path[:_LONGEST])
        lines = self._lines
        lines.append(
            f'{{"time":"{self._stamp}.{int(now * 1000) % 1000:03d}Z","method":"{method}","route":"{route}",'
            f'"path":"{path}","status":{status},"duration_ms":{seconds * 1000:.3f},"bytes":{size},'
            f'"request_id":"{request_id}","principal":"{principal}","address":"{address}"}}\n'
        )
        if len(lines) == 1:
            asyncio.get_running_loop().call_later(EVERY, self.flush)

    def flush(self) -> None:
        """Writes what is buffered."""
        if self._lines and self._stream is not None:
            text = "".join(self._lines)
            self._lines.clear()
            self._stream.write(text)
            self._stream.flush()


def _escape(path: str) -> str:
    plain = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return msgspec.json.encode(plain).decode()[1:-1]
