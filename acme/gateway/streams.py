"""Requests and answers that come and go in pieces: uploads, downloads, and streams of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from acme.context import CALL, Call
from acme.errors import Exhausted
from acme.gateway.auth import authenticate
from acme.gateway.binding import Bound
from acme.gateway.endpoints import Readiness
from acme.gateway.events import Frames
from acme.gateway.exchange import Exchange
from acme.gateway.feed import Feed
from acme.gateway.parts import ACCEPTED
from acme.gateway.policy import Policy
from acme.gateway.settings import GatewaySettings
from acme.gateway.transfers import Download, pieces
from acme.telemetry import Metrics
from acme.tokens import Verifier

Lines = Callable[[Exchange, bytes], bytes]
"""Header lines of an answer: its own, and those that every answer has."""


@dataclass(slots=True)
class Opened:
    """An answer in pieces, of which the first is there."""

    status: int
    lines: bytes
    """Header lines of its own."""
    length: int | None
    """Bytes it will have, where that is known."""
    data: AsyncGenerator[bytes, None]


class Streams:
    """Those of one gateway."""

    def __init__(
        self, settings: GatewaySettings, readiness: Readiness, verifier: Verifier, lines: Lines, metrics: Metrics
    ) -> None:
        self._settings, self._readiness, self._verifier, self._lines = settings, readiness, verifier, lines
        self._feeds: set[Feed] = set()
        self._held: dict[str, int] = {}
        """Streams under way, by whose they are."""
        metrics.gauge(
            "http_server_event_streams",
            "Streams of events that clients are listening to.",
            (),
            lambda: {(): float(len(self._feeds))},
        )

    def configure(self, settings: GatewaySettings) -> None:
        """From now on; streams under way go on as they began."""
        self._settings = settings

    def drain(self) -> None:
        """Sends those away who listen to events: they would stay for good."""
        for feed in tuple(self._feeds):
            feed.interrupt()

    async def answer(self, exchange: Exchange, bound: Bound, own: Policy, call: Call, message: Any) -> Any:
        """What a method that streams answers: a reply where only its requests do, else what has been sent.

        Its clients look for the call that causes theirs.

        Raises:
            Exhausted: whoever asks has too many (429).
        """
        whose, held = exchange.principal.id or exchange.network, self._held
        count = held.get(whose, 0)
        if count >= self._settings.streams_each:
            raise Exhausted(f"At most {count} streams at a time.", reason="too_many_streams", retry_after=1.0)
        held[whose] = count + 1
        call.span = 0  # what is called next is its first step: it serves nothing itself
        outside = CALL.set(call)
        try:
            if bound.uploads:
                message = bound.uploaded(message, pieces(exchange, own.max_body, self._settings))
            if bound.frames is not None:
                return await self._feed(exchange, bound, bound.frames, call.credentials, message)
            return await (self._download(exchange, bound, own, message) if bound.downloads else bound.call(message))
        finally:
            CALL.reset(outside)  # the task may serve the connection's next request too
            if held[whose] > 1:
                held[whose] -= 1
            else:
                del held[whose]

    async def _download(self, exchange: Exchange, bound: Bound, own: Policy, message: Any) -> Download:
        """An answer in pieces: until the first is there, a refusal is answered as any other."""
        async with _opened(bound, message, exchange) as answer, aclosing(answer.data) as data:
            exchange.download = download = Download(
                exchange,
                exchange.request_id,
                answer.status,
                own.bare,
                self._lines(exchange, answer.lines),
                answer.length,
                not self._readiness.draining,
                self._settings.write_timeout,
            )
            await download.run(exchange.connection, data)
        return download

    async def _feed(self, exchange: Exchange, bound: Bound, frames: Frames, token: str, message: Any) -> Feed:
        """A stream of messages, as events. Whoever listens to it has to be somebody who may, before each of them."""
        settings, verifier = self._settings, self._verifier
        feed = Feed(
            exchange,
            self._lines(exchange, b""),
            not self._readiness.draining,
            settings.write_timeout,
            settings.heartbeat,
            lambda: not token or verifier.cached(token) is not None,
        )
        self._feeds.add(feed)
        try:
            async with aclosing(bound.stream(message)) as replies:
                still = (lambda: authenticate(token, verifier, bound.permission)) if token else None
                await feed.send(replies, frames, still)
        finally:
            self._feeds.discard(feed)
        return feed


@asynccontextmanager
async def _opened(bound: Bound, message: Any, exchange: Exchange) -> AsyncIterator[Opened]:
    """Calls a method whose replies are bytes. Whoever leaves before they are at their end ends the callee.

    Raises:
        Rejected: nothing of the part that is asked for is there (416).
        Refused: the callee's.
    """
    ways, headers = bound.parts, exchange.headers
    wanted = ways.asked(headers) if ways is not None and exchange.message.method == "GET" else None
    while True:
        if ways is not None:
            setattr(message, ways.attr, 0 if wanted is None else wanted.first)
        async with aclosing(bound.stream(message)) as replies:
            first = await anext(replies, None)
            length, lines = (0, b"") if first is None else (bound.length(first), bound.reply(first)[1])
            data = _pieces(bound, first, replies)
            if ways is not None and length:
                lines += ACCEPTED
            if ways is None or wanted is None:
                yield Opened(bound.status, lines, length, data)
                return
            if length and ways.meant(headers, first):
                start, end = wanted.within(length)
                lines += b"Content-Range: bytes %d-%d/%d\r\n" % (start, end - 1, length)
                yield Opened(206, lines, end - start, _so_many(end - start, data))
                return
        wanted = None  # it has changed since, or has no length: all of it, then


async def _pieces(bound: Bound, first: Any, replies: AsyncIterator[Any]) -> AsyncGenerator[bytes, None]:
    if first is not None:
        yield bound.data(first)
        async for reply in replies:
            yield bound.data(reply)


async def _so_many(count: int, data: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The first `count` bytes."""
    async with aclosing(data):
        async for piece in data:
            yield piece[:count]
            count -= len(piece)
            if count <= 0:
                return
