"""A request and its answer on their way: one stream of HTTP/2, and one message of gRPC in it each way, or several."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from acme.dispatch.headers import Header
from acme.dispatch.inbox import PREFIX, Inbox
from acme.dispatch.serve import MESSAGE_LIMIT


class Lost(Exception):
    """An exchange that ended without an answer that can be understood.

    `processed` is False when the request was certainly not processed; `why` is for operators.
    """

    def __init__(self, why: str, *, processed: bool) -> None:
        super().__init__(why)
        self.why, self.processed = why, processed


class Exchange:
    """A request and its answer; one stream of HTTP/2."""

    __slots__ = (
        "answered",
        "begun",
        "chunks",
        "credit",
        "done",
        "ended",
        "head",
        "id",
        "inbox",
        "sent",
        "size",
        "tail",
        "task",
        "timer",
        "trouble",
        "wide",
    )

    def __init__(self, stream: int, done: asyncio.Future[None] | None = None) -> None:
        self.id = stream
        self.head: Sequence[Header] = ()
        self.tail: Sequence[Header] = ()
        self.chunks: list[bytes] = []
        self.size = 0
        self.credit = 0
        self.ended = False
        self.answered = False
        self.begun = False
        """Whether the head of the answer was sent."""
        self.sent = False
        """Whether all of ours was sent, where it is asked."""
        self.wide = False
        """Whether it was given a window for the largest message."""
        self.inbox: Inbox | None = None
        """Where messages go when there may be several."""
        self.trouble: Lost | None = None
        self.done = done
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def message(self) -> bytes | None:
        """The one message that came; `None` when there is none.

        Raises:
            ValueError: what came is not one whole uncompressed message; the text says what.
        """
        if not self.chunks:
            return None
        data = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        if len(data) < PREFIX:
            raise ValueError("half a message")
        if data[0]:
            raise ValueError("a compressed message")
        length = int.from_bytes(data[1:PREFIX], "big")
        if length > len(data) - PREFIX:
            raise ValueError("half a message")
        if length < len(data) - PREFIX:
            raise ValueError("more than one message")
        return data[PREFIX:]

    def oversized(self) -> bool:
        """Whether what has come so far begins a message that is too large."""
        if self.size > MESSAGE_LIMIT + PREFIX:
            return True
        first = self.chunks[0]
        return len(first) >= PREFIX and int.from_bytes(first[1:PREFIX], "big") > MESSAGE_LIMIT


def framed(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message
