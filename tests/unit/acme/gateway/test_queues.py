"""How long a queue takes, and when it stands."""

from __future__ import annotations

import pytest

from acme.gateway.lanes import Lane
from acme.gateway.queues import CROWD, FEW, SHORT, Coming, Store
from acme.telemetry import Metrics

MOST = 0.03


class Queue:
    """In front of a database."""

    def __init__(self) -> None:
        self.waiting = self.handed = 0
        self.coming = Coming()
        self.lane = Lane("s", "full", Metrics().counter("x_total", "", ("a", "b")))
        self.store = Store(lambda: (self.waiting, self.handed), [self.lane], self.coming, lambda: None)

    def window(self, handed: int, waiting: int) -> bool:
        """A tenth of a second passes, at whose end so many wait; whether it stands."""
        self.handed += handed
        self.waiting = waiting
        self.store.look()
        self.store.pass_window(0.1, MOST)
        return self.store.standing


class Comer:
    """A connection."""

    def __init__(self) -> None:
        self.put_off, self.came, self.refused = b"GET /", 0.0, False

    def take_up(self, came: float) -> None:
        self.came, self.put_off = came, b""

    def turn_down(self) -> None:
        self.refused, self.put_off = True, b""


def test_the_wait_is_how_many_wait_by_how_fast_they_have_their_turn() -> None:
    queue = Queue()
    store, lane = queue.store, queue.lane
    queue.waiting = 50
    assert store.look() == 0.0, "nobody knows yet"
    queue.handed = 20
    store.pass_window(0.1, MOST)
    assert store.look() == lane.delay == pytest.approx(50 / 200)
    queue.handed = 30
    store.pass_window(0.1, MOST)
    assert store.look() == pytest.approx(50 / 150), "half of what it was, and half of what it is"
    store.pass_window(0.1, MOST)
    assert store.look() == pytest.approx(50 / 75), "it stands still"
    queue.waiting = 0
    assert store.look() == lane.delay == 0.0


def test_a_queue_stands_once_all_have_waited_too_long_and_not_for_a_moment() -> None:
    queue = Queue()
    queue.window(100, 100)
    assert not queue.window(100, 29), "29 ms"
    queue.store.look()
    queue.waiting = 500
    queue.store.look()
    assert not queue.window(100, 500), "in that tenth of a second it was short for a moment"
    assert queue.window(100, 500)
    assert queue.lane.store is queue.store
    assert queue.lane.eventful


def test_a_short_queue_never_stands() -> None:
    queue = Queue()
    queue.window(1, CROWD)
    for _ in range(5):
        assert not queue.window(1, CROWD), "each waits for seconds, but so few are no crowd"


def test_it_stands_until_nobody_waits_in_line_or_was_refused() -> None:
    queue = Queue()
    for _ in range(3):
        queue.window(100, 500)
    assert queue.store.standing
    comer = Comer()
    assert queue.store.keep(comer, comer.put_off, 10.0)
    assert queue.window(100, SHORT), "somebody waits in line"
    queue.waiting = 0
    queue.store.served()
    assert comer.came > 0
    assert queue.coming.count == 1
    queue.waiting = 500
    assert not queue.store.keep(comer, comer.put_off, 0.001)
    assert queue.window(100, 0), "somebody was refused"
    assert not queue.window(100, 0)
    assert queue.lane.store is None


def test_once_few_wait_so_many_leave_the_line_as_there_is_room_for() -> None:
    queue = Queue()
    for _ in range(3):
        queue.window(100, 500)
    comers = [Comer() for _ in range(SHORT)]
    for comer in comers:
        assert queue.store.keep(comer, comer.put_off, 10.0)
    queue.waiting, queue.coming.count = FEW, 1
    queue.store.served()
    assert not any(comer.came > 0 for comer in comers)
    queue.waiting = FEW - 1
    queue.store.served()
    room = SHORT - FEW
    assert [comer.came > 0 for comer in comers] == [True] * room + [False] * (SHORT - room)
    queue.store.served()
    assert sum(comer.came > 0 for comer in comers) == room, "those are coming"
    assert queue.store.full
    queue.store.clear()
    assert all(comer.came > 0 for comer in comers)
    assert queue.coming.count == 1 + SHORT


def test_who_has_gone_takes_no_room() -> None:
    queue = Queue()
    for _ in range(3):
        queue.window(100, 500)
    gone, there = Comer(), Comer()
    for comer in (gone, there):
        assert queue.store.keep(comer, comer.put_off, 10.0)
    gone.put_off = b""
    queue.waiting = FEW
    queue.store.served()
    assert there.came > 0
    assert queue.coming.count == 1
    assert not gone.came
