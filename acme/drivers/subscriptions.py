"""What every broadcast does alike: limits, bounded subscriptions, and `LOST` in place of what was missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from acme.ports import LOST, Heard
from acme.telemetry import Metrics

ROOM: Final = 256
"""Messages that a subscription keeps for a slow listener."""
LONGEST_TOPIC: Final = 200
"""Bytes of a topic in UTF-8."""
LARGEST_MESSAGE: Final = 8192
"""Bytes of a message, so that a subscription that nobody listens to holds 2 MiB at most."""


class Subscription:
    """One listener: an iterator that ends when it is closed."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._lost = False
        self._closed = False
        self._news = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Heard]:
        return self

    async def __anext__(self) -> Heard:
        while not (self._lost or self._waiting or self._closed):
            self._news.clear()
            await self._news.wait()
        if self._closed:
            raise StopAsyncIteration
        if self._lost:
            self._lost = False
            return LOST
        return self._waiting.popleft()

    def offer(self, message: bytes) -> bool:
        """Adds a message; False when there was no room, and all of them gave way to `LOST`."""
        if len(self._waiting) >= ROOM:
            self.lose()
            return False
        self._waiting.append(message)
        self._news.set()
        return True

    def lose(self) -> None:
        """`LOST` comes next; what still waited is older than it, and dropped."""
        self._waiting.clear()
        self._lost = True
        self._news.set()

    def close(self) -> None:
        """Ends the iteration, also one that waits."""
        self._closed = True
        self._news.set()


class Topics:
    """Who listens to what in this process, and the metrics of it."""

    def __init__(self, metrics: Metrics) -> None:
        self._of: dict[str, set[Subscription]] = {}
        messages = metrics.counter(
            "acme_broadcast_messages_total", "Messages said, and heard by listeners in this process.", ("direction",)
        )
        self.said, self._heard = messages.bind("published"), messages.bind("heard")
        self.unsaid = metrics.counter(
            "acme_broadcast_failures_total", "Messages that could not be published, and were dropped."
        ).bind()
        gaps = metrics.counter("acme_broadcast_gaps_total", "Gaps that listeners were told of, by cause.", ("cause",))
        self._broken, self._slow = gaps.bind("connection"), gaps.bind("slow_listener")
        metrics.gauge(
            "acme_broadcast_listeners",
            "Subscriptions in this process.",
            (),
            lambda: {(): float(sum(map(len, self._of.values())))},
        )

    def __iter__(self) -> Iterator[str]:
        """Topics that somebody listens to."""
        return iter(tuple(self._of))

    def __contains__(self, topic: str) -> bool:
        return topic in self._of

    @contextmanager
    def listener(self, topic: str) -> Iterator[Subscription]:
        """A subscription for as long as the block lasts."""
        subscription = Subscription()
        self._of.setdefault(topic, set()).add(subscription)
        try:
            yield subscription
        finally:
            listeners = self._of[topic]
            listeners.discard(subscription)
            if not listeners:
                del self._of[topic]
            subscription.close()

    def hear(self, topic: str, message: bytes) -> None:
        """Hands a message to those who listen."""
        for subscription in self._of.get(topic, ()):
            self._heard.add()
            if not subscription.offer(message):
                self._slow.add()

    def alone(self, topic: str) -> bool:
        """Whether only one listener is left."""
        return len(self._of.get(topic, ())) == 1

    def count_gap(self) -> None:
        """The connection broke: everybody will hear `LOST` when the next one stands."""
        self._broken.add(sum(map(len, self._of.values())))

    def stands(self, topic: str) -> None:
        """Tells listeners, with `LOST`, that from now on they hear what is said."""
        for subscription in self._of.get(topic, ()):
            subscription.lose()

    def close(self) -> None:
        """Ends all subscriptions."""
        for listeners in self._of.values():
            for subscription in listeners:
                subscription.close()


def checked_topic(topic: str) -> str:
    """The topic itself.

    Raises:
        ValueError: it is too long, or empty.
    """
    if not 0 < len(topic.encode()) <= LONGEST_TOPIC:
        raise ValueError(f"a topic has 1 to {LONGEST_TOPIC} bytes")
    return topic


def checked_message(message: bytes) -> bytes:
    """The message itself.

    Raises:
        ValueError: it is too long.
    """
    if len(message) > LARGEST_MESSAGE:
        raise ValueError(f"a broadcast message has up to {LARGEST_MESSAGE} bytes, this one {len(message)}")
    return message
