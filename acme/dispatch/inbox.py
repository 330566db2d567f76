"""The messages of a stream as they come over HTTP/2, and the window that is given back as they are read.

What is not read yet is bounded by the stream's window; a message that is larger than half of it gets a window of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from acme.dispatch.serve import MESSAGE_LIMIT

PREFIX: Final = 5
"""Bytes before a message: compressed or not, and its length."""


class TooLong(ValueError):
    """A message has more bytes than any may have."""


class Inbox:
    """One direction of an exchange. `credit` gives the peer more window: (bytes)."""

    __slots__ = (
        "_credit",
        "_due",
        "_ended",
        "_granted",
        "_messages",
        "_need",
        "_rest",
        "_trouble",
        "_waiting",
        "_window",
    )

    def __init__(self, window: int, credit: Callable[[int], None]) -> None:
        self._window, self._credit = window, credit
        self._messages: deque[bytes] = deque()
        self._rest = bytearray()
        self._need = PREFIX
        self._granted = 0
        """Window that was given for the message that is on its way, beforehand."""
        self._due = 0
        """Bytes that were read, and not given back yet."""
        self._ended = False
        self._trouble: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    def feed(self, data: bytes, size: int) -> None:
        """Takes what came in one frame, of which `size` bytes count for the window."""
        if self._trouble is not None:
            return
        self._due += size - len(data)  # padding
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        at, size = 0, len(data)
        self._need = PREFIX
        while size - at >= PREFIX:
            length = int.from_bytes(data[at + 1 : at + PREFIX], "big")
            if data[at]:
                self.fail(ValueError("a compressed message"))
                return
            if length > MESSAGE_LIMIT:
                self.fail(TooLong("a message that is too large"))
                return
            end = at + PREFIX + length
            if end > size:
                self._need = end - at
                break
            self._messages.append(data[at + PREFIX : end])
            self._due -= self._granted
            self._granted = 0
            at = end
        if at < size:
            self._rest += data[at:]
        if self._messages:
            self._wake()
        else:
            self._widen()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake()

    def fail(self, trouble: Exception) -> None:
        """Nothing more will come, and what came is not all of it. The first reason counts."""
        if not self._ended and self._trouble is None:
            self._trouble = trouble
            self._rest.clear()
            self._wake()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._ended or self._trouble is not None

    async def next(self) -> bytes | None:
        """The next message; `None` at the end.

        Raises:
            ValueError: what came is no whole message.
            Exception: what `fail` was given, after the messages before it.
        """
        while not self._messages:
            if self._trouble is not None:
                raise self._trouble
            if self._ended:
                if self._rest:
                    raise ValueError("half a message")
                return None
            self._widen()
            self._give()
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        message = self._messages.popleft()
        self._due += PREFIX + len(message)
        if self._due >= self._window // 4:
            self._give()
        return message

    def _widen(self) -> None:
        """Gives window for a message that is too large for what there is; never while one before it waits to be read, or a
        reader that stands still would be sent large ones without an end."""
        if self._need > self._window // 2 and not self._granted and not self.over:
            self._granted = self._need
            self._credit(self._need)

    def _give(self) -> None:
        if self._due > 0 and not self.over:
            self._credit(self._due)
            self._due = 0

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
