"""Queues that calls wait in, in front of a database, and the line in front of a queue that stands.

How long calls wait, is how many do, by how many a second have had their turn. When even the least in a tenth of a second is
beyond what is wanted, the queue stands (Controlled Delay, RFC 8289): more comes than has its turn. It is then kept short,
and who comes waits in line before it, as the bytes that came and nothing more: a request that is under way among 900 takes
a third more of the CPU than among 32 (its objects leave the caches, and the collector of garbage looks at them). Who would
wait in line for too long is refused, and strangers do not wait in it.

Many leave the line at a time, and not one whenever one has had its turn: what is read, routed and checked one after the
other finds code and data in the processor's caches. One at a time, between others of which each was at another step, took
an eighth more cycles a request (perf stat, lists of 50 at three times what can be served).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from acme.gateway.lanes import Lane

CROWD: Final = 64
"""A queue stands where more than so many wait."""
SHORT: Final = 32
"""How many wait in a queue that stands, at most."""
FEW: Final = 16
"""How many wait in it when others leave the line: twice as many as have their turn at a time, with the pools there are."""

Queue = Callable[[], tuple[int, int]]
"""How many wait, and how many have waited and had their turn, ever."""


class Coming:
    """Requests that were let in while others are not, and are not under way yet."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Comer(Protocol):
    """Whose request waits in line: a connection."""

    put_off: bytes
    """What waits; empty once nobody asks for it any more."""

    def take_up(self, came: float) -> None:
        """It is served now; it came at `came` (`time.monotonic()`)."""

    def turn_down(self) -> None:
        """It is refused."""


class Place(NamedTuple):
    """In line."""

    comer: Comer
    data: bytes
    came: float
    until: float
    """`time.monotonic()` at which it has waited for too long."""


class Store:
    """A queue, its line, and the lanes of the services whose calls wait in it."""

    __slots__ = ("_coming", "_lanes", "_late", "_least", "_line", "_read", "_refused", "_served", "_speed", "standing")

    def __init__(self, read: Queue, lanes: Sequence[Lane], coming: Coming, late: Callable[[], None]) -> None:
        """`late` hears of each who has waited in line for too long."""
        self._read, self._lanes, self._coming, self._late = read, lanes, coming, late
        self._served = read()[1]
        self._speed = 0.0
        """How many have their turn in a second, as of the last window in which anybody waited."""
        self._least, self._refused = 0.0, False
        self._line: deque[Place] = deque()
        self.standing = False
        """Whether more come than have their turn, and not just for a moment."""

    @property
    def full(self) -> bool:
        """Whether nobody is let in for now, while it stands."""
        return bool(self._line) or self._read()[0] + self._coming.count >= SHORT

    def look(self) -> float:
        """Seconds that whoever is let in now will wait; the lanes know it from now on. Who has waited in line for too long
        hears so."""
        line = self._line
        if line:
            now = time.monotonic()
            while line and line[0].until <= now:
                place = line.popleft()
                if place.comer.put_off is place.data:
                    self._refused = True
                    self._late()
                    place.comer.turn_down()
            self.served()  # where calls end elsewhere, nobody else says so
        waiting = self._read()[0]
        delay = waiting / self._speed if waiting and self._speed else 0.0
        self._least = min(self._least, delay)
        for lane in self._lanes:
            lane.delay = delay
        return delay

    def pass_window(self, seconds: float, most: float) -> None:
        """Measures how fast it is. When nobody has had a turn, it is half as fast as it was. It stands when all have
        waited for more than `most` seconds, until a window in which nobody was refused or waits in line."""
        waiting, served = self._read()
        count, self._served = served - self._served, served
        if count:
            self._speed = (self._speed or count / seconds) / 2 + count / seconds / 2
        elif waiting:
            self._speed = max(self._speed / 2, 1.0)
        standing = (waiting > CROWD and self._least > most) or (self.standing and bool(self._refused or self._line))
        if standing is not self.standing:
            self.standing = standing
            for lane in self._lanes:
                lane.stand(self if standing else None)
        self._least, self._refused = 60.0, False

    def keep(self, comer: Comer, data: bytes, patience: float) -> bool:
        """Lets a request wait in line, if that takes `patience` seconds at most. Whether it does; who does not is
        refused."""
        waiting = self._read()[0] + len(self._line)
        if waiting > patience * self._speed:
            self._refused = True
            return False
        now = time.monotonic()
        self._line.append(Place(comer, data, now, now + 2 * patience))
        return True

    def served(self) -> None:
        """A call has ended: those whose turn it is leave the line, once few wait in the queue."""
        line = self._line
        if not line or self._read()[0] + self._coming.count > FEW:
            return
        while line and self._read()[0] + self._coming.count < SHORT:
            self._leave(line.popleft())

    def clear(self) -> None:
        """Lets all in that wait in line."""
        while self._line:
            self._leave(self._line.popleft())

    def _leave(self, place: Place) -> None:
        if place.comer.put_off is place.data:
            self._coming.count += 1
            place.comer.take_up(place.came)
