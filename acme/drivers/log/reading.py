"""What a subscription has read ahead of its partitions: bounded, and decoded only when it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from acme.drivers.log.batches import Stored, unpack
from acme.ports import Received, TopicPartition

AHEAD: Final = 4 << 20
"""Bytes that one question to the database brings at most; a single batch that is larger comes alone."""


class Reader:
    """One partition."""

    __slots__ = ("_batches", "_next", "_ready", "behind", "id", "paused", "place")

    def __init__(self, number: int, place: TopicPartition, position: int) -> None:
        self.id: Final = number
        self.place: Final = place
        self.paused = False
        self.seek(position)

    def seek(self, offset: int) -> None:
        """Forgets what was read ahead, and goes on at an offset."""
        self._next = offset
        self._batches: deque[Stored] = deque()
        self._ready: deque[Received] = deque()
        self.behind = True
        """There may be more in the database."""

    @property
    def next(self) -> int:
        """The offset that `take` goes on with."""
        return self._next

    @property
    def hungry(self) -> bool:
        """Whether it wants to be read further."""
        return self.behind and not (self.paused or self._batches or self._ready)

    def feed(self, batch: Stored) -> None:
        """Keeps what was read."""
        self._batches.append(batch)

    def take(self, limit: int) -> list[Received]:
        """Up to `limit` records, in order."""
        found: list[Received] = []
        while len(found) < limit:
            if self._ready:
                room = limit - len(found)
                if len(self._ready) <= room:
                    found.extend(self._ready)
                    self._ready.clear()
                else:
                    found.extend(self._ready.popleft() for _ in range(room))
            elif self._batches:
                self._ready.extend(unpack(*self.place, self._batches.popleft(), self._next))
            else:
                break
        if found:
            self._next = found[-1].offset + 1
        return found


def take(readers: Iterable[Reader], limit: int) -> list[Received]:
    """Up to `limit` records of partitions that are not paused."""
    found: list[Received] = []
    for reader in readers:
        if len(found) == limit:
            break
        if not reader.paused:
            found += reader.take(limit - len(found))
    return found


def feed(hungry: Sequence[Reader], batches: Sequence[Stored], *, cut: bool) -> None:
    """Hands out what was read for `hungry`. `cut`: there may be more, since what one question brings was used up."""
    by_id = {reader.id: reader for reader in hungry}
    for batch in batches:
        by_id[batch.partition_id].feed(batch)
    if cut:
        for reader in hungry:
            reader.behind = True
