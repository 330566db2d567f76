"""Every task has a name, an owner and an end; failures are counted, loops go on, and blockers are named."""

import asyncio
import inspect
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from structlog.testing import capture_logs

from acme.tasks import LoopWatch, Serving, Tasks
from acme.telemetry import Metrics


def failures(metrics: Metrics, task: str) -> float:
    return metrics.counter("acme_task_failures_total", "", ("task",)).bind(task).value


async def test_leaving_the_block_cancels_what_runs_and_waits_for_its_end() -> None:
    ended = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    started = asyncio.Event()

    async def announce() -> None:
        started.set()
        await forever()

    async with Tasks("test", Metrics()) as tasks:
        tasks.spawn("forever", announce())
        await started.wait()
    assert ended == [True]


async def test_a_failing_task_is_counted_and_breaks_nothing_else() -> None:
    metrics = Metrics()

    async def fail() -> None:
        raise RuntimeError("boom")

    async with Tasks("test", metrics) as tasks:
        await tasks.spawn("bad", fail())
        assert failures(metrics, "bad") == 1


async def test_a_task_cancelled_before_its_first_step_leaves_nothing_unawaited() -> None:
    async def never() -> None:
        raise AssertionError("it must not run")

    async with Tasks("test", Metrics()) as tasks:
        work = never()
        tasks.spawn("never", work)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_a_loop_goes_on_after_an_error() -> None:
    metrics, calls, done = Metrics(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("boom")
        done.set()

    async with Tasks("test", metrics) as tasks:
        tasks.loop("work", work, pause=0.001)
        await asyncio.wait_for(done.wait(), 5)
    assert failures(metrics, "work") == 1


async def test_settle_waits_without_cancelling() -> None:
    finished = []

    async def short() -> None:
        await asyncio.sleep(0)
        finished.append(True)

    async with Tasks("test", Metrics()) as tasks:
        tasks.spawn("short", short())
        await tasks.settle()
        assert finished == [True]


async def test_work_that_is_recorded_as_failed_hands_its_error_back() -> None:
    metrics = Metrics()

    async def breaks() -> None:
        raise KeyError("x")

    async def works() -> None: ...

    async with Tasks("test", metrics) as tasks:
        assert isinstance(await tasks.outcome("work", breaks()), KeyError)
        assert await tasks.outcome("work", works()) is None
    assert failures(metrics, "work") == 1


def block(seconds: float) -> None:
    time.sleep(seconds)  # code that blocks the loop is the thing under test


async def blocked(metrics: Metrics, serving: Callable[[FrameType], Serving | None]) -> list[Any]:
    """What is logged when this test blocks the loop."""
    with capture_logs() as lines:
        # A limit that a machine with much else to do does not reach by itself: what it adds would be told as another one.
        watch = LoopWatch(metrics, serving, limit=0.3, beat=0.05)
        watch.start()
        try:
            block(0.8)
            async with asyncio.timeout(5):
                while not [line for line in lines if line["event"] == "event loop goes on"]:  # noqa: ASYNC110 - a thread
                    await asyncio.sleep(0.005)
        finally:
            watch.stop()
    return lines


async def test_a_blocked_loop_is_counted_and_the_culprit_named() -> None:
    metrics = Metrics()
    first, last = await blocked(metrics, lambda frame: None)
    assert metrics.counter("acme_event_loop_stalls_total", "").bind("", "").value == 1
    assert (first["event"], first["plugin"], first["method"]) == ("event loop blocked", "", "")
    assert (first["file"], first["line"]) == (__file__, block.__code__.co_firstlineno + 1)
    assert first["seconds"] >= 0.3
    assert "await blocked(metrics" in first["stack"]
    task = asyncio.current_task()
    assert task is not None
    assert first["task"] == task.get_name()
    assert last["seconds"] >= 0.8


async def test_a_blocked_loop_is_put_down_to_the_call_that_is_served() -> None:
    metrics = Metrics()
    frames: list[str] = []

    def serving(frame: FrameType) -> Serving:
        frames.append(frame.f_code.co_name)
        return Serving("things", "things.v1.Things/Get", "req_1")

    line, _ = await blocked(metrics, serving)
    assert (line["plugin"], line["method"], line["request_id"]) == ("things", "things.v1.Things/Get", "req_1")
    assert metrics.counter("acme_event_loop_stalls_total", "").bind("things", "things.v1.Things/Get").value == 1
    assert frames == ["block"]


async def test_how_late_the_loop_comes_to_its_timers_is_measured() -> None:
    metrics = Metrics()
    watch = LoopWatch(metrics, beat=0.01)
    watch.start()
    late = metrics.histogram("acme_event_loop_lag_seconds", "", ()).bind()
    before = sum(late.counts)
    time.sleep(0.2)  # noqa: ASYNC251 - this is what holds the loop up
    for _ in range(1000):
        if sum(late.counts) > before:
            break
        await asyncio.sleep(0.01)
    watch.stop()
    assert late.total >= 0.15
