"""A listener that writes down what it hears, and a consumer that does what consumers do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from acme.ports import Received, Subscription, TopicPartition


class Hearing:
    """A listener. What it has is in `owned`, and all it heard in `heard`, in order."""

    def __init__(self, draining: Callable[[Collection[TopicPartition]], Awaitable[None]] | None = None) -> None:
        """`draining` is awaited by `revoked`."""
        self.owned: dict[TopicPartition, int] = {}
        self.heard: list[tuple[str, frozenset[TopicPartition], float]] = []
        self._draining = draining
        self._under_way = 0

    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        self._note("assigned", positions)
        assert not self.owned.keys() & positions.keys(), "assigned what it has"
        self.owned.update(positions)

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        self._note("revoked", places)
        assert self.owned.keys() >= set(places), "revoked what it does not have"
        self._under_way += 1
        try:
            if self._draining is not None:
                await self._draining(places)
        finally:
            self._under_way -= 1
        self._drop(places)
        self.heard.append(("drained", frozenset(places), time.monotonic()))

    async def lost(self, places: Collection[TopicPartition]) -> None:
        self._note("lost", places)
        self._drop(places)

    def kinds(self, kind: str) -> list[frozenset[TopicPartition]]:
        """The partitions of each call of one kind."""
        return [places for heard, places, _ in self.heard if heard == kind]

    def _note(self, kind: str, places: Collection[TopicPartition]) -> None:
        assert not self._under_way, "one call at a time"
        self.heard.append((kind, frozenset(places), time.monotonic()))

    def _drop(self, places: Collection[TopicPartition]) -> None:
        for place in places:
            self.owned.pop(place, None)


async def poll_until(
    true: Callable[[], bool], *subscriptions: Subscription, limit: float, into: list[Received] | None = None
) -> None:
    """Polls these members side by side until it came true."""
    found = into if into is not None else []

    async def go(one: Subscription, until: float) -> None:
        while not true():
            assert time.monotonic() < until, "it did not come true in time"
            found.extend(await one.poll(0.05))

    until = time.monotonic() + limit
    async with asyncio.TaskGroup() as group:
        for one in subscriptions:
            group.create_task(go(one, until))


async def receive(subscription: Subscription, count: int, *, limit: float, most: int = 500) -> list[Received]:
    """The next `count` records, up to `most` at a time; polls for `limit` seconds."""
    found: list[Received] = []
    until = time.monotonic() + limit
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} records came in time"
        found.extend(await subscription.poll(0.5, limit=most))
    return found


def ends(records: list[Received]) -> dict[TopicPartition, int]:
    """What to commit after these."""
    return {one.place: one.offset + 1 for one in records}
