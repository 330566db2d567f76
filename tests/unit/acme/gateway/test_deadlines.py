"""Alarms: exact for who is in a hurry, swept for the others, and never mistaken for somebody else's cancellation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from acme.gateway.deadlines import EXACT, TICK, Alarm, Deadlines
from tests.waiting import BUSY


def mine() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def wait_for(alarm: Alarm) -> bool:
    """Waits until cancelled; whether the alarm says it was the one."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return alarm.caused()
    finally:
        alarm.stop()
    return False


async def test_an_exact_alarm_rings_in_time() -> None:
    started = time.monotonic()
    assert await wait_for(Deadlines().start(mine(), 0.02))
    assert 0.01 < time.monotonic() - started < BUSY
    assert mine().cancelling() == 0


async def test_a_swept_alarm_rings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acme.gateway.deadlines.EXACT", 0.0)
    deadlines = Deadlines()
    started = time.monotonic()
    assert await wait_for(deadlines.start(mine(), 0.02))
    assert time.monotonic() - started < BUSY + TICK
    assert not deadlines.waiting


async def test_a_stopped_alarm_leaves_nothing_behind() -> None:
    deadlines = Deadlines()
    for seconds in (EXACT / 2, EXACT * 2):
        deadlines.start(mine(), seconds).stop()
    assert not deadlines.waiting


@pytest.mark.parametrize("rings", [True, False])
async def test_somebody_else_s_cancellation_stays_theirs(rings: bool) -> None:
    deadlines = Deadlines()
    seen: list[bool] = []

    async def victim(started: Callable[[Alarm], None]) -> None:
        alarm = deadlines.start(mine(), 60)
        started(alarm)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(alarm.caused())
            raise
        finally:
            alarm.stop()

    alarms: list[Alarm] = []
    task = asyncio.get_running_loop().create_task(victim(alarms.append))
    while not alarms:  # noqa: ASYNC110  one step of the loop
        await asyncio.sleep(0)
    if rings:
        alarms[0].ring()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [False]


async def test_an_alarm_that_nobody_asked_is_taken_back() -> None:
    alarm = Deadlines().start(mine(), 60)
    alarm.ring()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    alarm.stop()
    assert mine().cancelling() == 0
