"""Alarms: timers for what is due soon, looks for the others, and never mistaken for somebody else's cancellation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from acme.gateway.deadlines import EXACT, NEVER, TICK, Alarm, Deadlines
from tests.waiting import BUSY


def mine() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


@dataclass(eq=False)
class One:
    """What is being served, by the task that makes it."""

    due: float = NEVER
    alarm: Alarm | None = None
    task: asyncio.Task[object] = field(default_factory=mine)


def serve(deadlines: Deadlines, seconds: float) -> One:
    """What the gateway does at the beginning of a request."""
    one = One()
    deadlines.active.add(one)
    if not deadlines.sweeping:
        deadlines.sweep()
    deadlines.limit(one, time.monotonic(), seconds)
    return one


async def wait_for(deadlines: Deadlines, one: One) -> bool:
    """Waits until cancelled; whether an alarm says it was the one."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return one.alarm is not None and one.alarm.caused()
    finally:
        deadlines.over(one)
        deadlines.active.discard(one)
    return False


async def test_an_exact_alarm_rings_in_time() -> None:
    started, deadlines = time.monotonic(), Deadlines()
    assert await wait_for(deadlines, serve(deadlines, 0.02))
    assert 0.01 < time.monotonic() - started < BUSY
    assert mine().cancelling() == 0


async def test_what_is_late_at_a_look_is_cancelled_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acme.gateway.deadlines.EXACT", 0.0)
    deadlines, started = Deadlines(), time.monotonic()
    assert await wait_for(deadlines, serve(deadlines, 0.02))
    assert time.monotonic() - started < BUSY + TICK


async def test_only_what_is_due_soon_has_a_timer() -> None:
    deadlines = Deadlines()
    one = serve(deadlines, 60)
    deadlines.sweep()
    assert one.alarm is None
    one.due = time.monotonic() + EXACT / 2
    deadlines.sweep()
    alarm = one.alarm
    assert alarm is not None
    assert not alarm.rang
    deadlines.sweep()
    assert one.alarm is alarm, "one is enough"
    assert await wait_for(deadlines, one)


async def test_what_is_over_is_cancelled_no_more() -> None:
    deadlines = Deadlines()
    slow, hurried = serve(deadlines, 60), serve(deadlines, EXACT / 2)
    for one in (slow, hurried):
        deadlines.over(one)
        assert one.due == NEVER
    deadlines.sweep()
    assert slow.alarm is None
    assert hurried.alarm is not None
    assert hurried.alarm._handle is not None
    assert hurried.alarm._handle.cancelled()


async def test_the_sweep_ends_with_the_last_request_and_begins_with_the_next() -> None:
    deadlines = Deadlines()
    one = serve(deadlines, 60)
    assert deadlines.sweeping
    deadlines.active.discard(one)
    async with asyncio.timeout(10):
        while deadlines.sweeping:  # noqa: ASYNC110  the sweep has no event for it
            await asyncio.sleep(TICK / 10)
    serve(deadlines, 60)
    assert deadlines.sweeping


@pytest.mark.parametrize("rings", [True, False])
async def test_somebody_else_s_cancellation_stays_theirs(rings: bool) -> None:
    deadlines = Deadlines()
    seen: list[bool] = []

    async def victim(started: Callable[[Alarm], None]) -> None:
        one = serve(deadlines, EXACT / 2)
        assert one.alarm is not None
        started(one.alarm)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(one.alarm.caused())
            raise
        finally:
            deadlines.over(one)

    alarms: list[Alarm] = []
    task = asyncio.get_running_loop().create_task(victim(alarms.append))
    while not (alarms or task.done()):  # noqa: ASYNC110  one step of the loop
        await asyncio.sleep(0)
    assert alarms, task
    if rings:
        alarms[0].ring()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [False]


async def test_an_alarm_that_nobody_asked_is_taken_back() -> None:
    alarm = Alarm(mine())
    alarm.ring()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    alarm.stop()
    assert mine().cancelling() == 0
