"""Both ends of one connection, in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from acme.dispatch.accepted import Accepted
from acme.dispatch.dialed import Dialed
from acme.dispatch.exchange import Exchange
from acme.dispatch.headers import Header
from acme.dispatch.serve import MESSAGE_LIMIT

ASK: Final[list[Header]] = [
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.A/B"), (b":authority", b"a"), (b"te", b"trailers"),
]  # fmt: skip
HEAD: Final[list[Header]] = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]
OK: Final[list[Header]] = [(b"grpc-status", b"0")]

Serve = Callable[[Accepted, Exchange], Coroutine[Any, Any, None]]


@dataclass
class Pair:
    """The asking and the answering end."""

    dialed: Dialed
    accepted: Accepted
    lost: list[str] = field(default_factory=list)
    """Why each end was lost."""
    sent_away: list[bool] = field(default_factory=list)
    large: list[Exchange] = field(default_factory=list)


async def echo(link: Accepted, exchange: Exchange) -> None:
    """Answers with the request."""
    await link.answer(exchange, HEAD, exchange.message() or b"", OK)


@asynccontextmanager
async def pair(serve: Serve = echo, *, window: int = MESSAGE_LIMIT + 65536, patience: float = 5) -> AsyncIterator[Pair]:
    """A connection on which every whole request is given to `serve`, in a task of its own."""
    loop = asyncio.get_running_loop()
    made: Pair

    def begin(link: Accepted, exchange: Exchange) -> None:
        exchange.task = loop.create_task(serve(link, exchange))
        exchange.task.add_done_callback(lambda _: link.end(exchange))

    def too_large(link: Accepted, exchange: Exchange) -> None:
        made.large.append(exchange)
        link.refuse(exchange, [*HEAD, (b"grpc-status", b"8")])

    accepted = Accepted(window, lambda link, why: made.lost.append(f"accepted: {why}"), begin, too_large, patience)
    dialed = Dialed(window, lambda link, why: made.lost.append(f"dialed: {why}"), lambda: made.sent_away.append(True))
    made = Pair(dialed, accepted)
    one, other = socket.socketpair()
    await loop.create_connection(lambda: accepted, sock=one)
    await loop.create_connection(lambda: dialed, sock=other)
    try:
        yield made
    finally:
        tasks = [exchange.task for exchange in accepted.exchanges.values() if exchange.task is not None]
        dialed.abort("the test is over")
        accepted.abort("the test is over")
        await asyncio.gather(*tasks, return_exceptions=True)
