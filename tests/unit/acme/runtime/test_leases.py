"""A job runs in one process at a time, and another takes it over in its stated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from acme.drivers.clock import MovableClock
from acme.errors import Unavailable
from acme.runtime import leases
from acme.runtime.leases import Lease, Singleton
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Server
from acme.testing.databases import FreshDatabase, fresh
from tests.unit.acme.runtime.plugins import made
from tests.waiting import BUSY

LIMIT = 10.0


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks("test", Metrics()) as tasks:
        yield tasks


@pytest.fixture
async def base(postgres: Server) -> AsyncIterator[FreshDatabase]:
    async with fresh(postgres, made("things")) as database:
        yield database


@pytest.fixture
async def clock(tmp_path: Path) -> AsyncIterator[MovableClock]:
    one = MovableClock(tmp_path / "clock")
    yield one
    one.close()


def quick(base: FreshDatabase, clock: MovableClock, life: float = 0.3) -> Lease:
    """A lease as a process of its own would have it, with times for tests."""
    return Lease(base, clock, "things.count", life=life, renew=life / 10)


class Counting:
    """A job that says when it ran, and how many ran at once."""

    def __init__(self) -> None:
        self.runs = 0
        self.at_once = 0
        self.most = 0
        self.changed = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.changed.set()
        try:
            await asyncio.sleep(0.002)  # long enough for another to be seen beside it
        finally:
            self.at_once -= 1

    async def more(self, by: int) -> None:
        """Returns when it ran so many more times."""
        target = self.runs + by
        async with asyncio.timeout(LIMIT):
            while self.runs < target:
                self.changed.clear()
                await self.changed.wait()


async def test_a_lease_is_one_holders_until_it_runs_out(base: FreshDatabase, clock: MovableClock) -> None:
    first, second = quick(base, clock, life=60.0), quick(base, clock, life=60.0)
    assert await first.take()
    assert not await second.take()
    assert await first.take()  # renewed
    clock.advance(timedelta(seconds=60.1))
    assert await second.take()
    assert not await first.take()


async def test_a_lease_that_is_given_back_is_free_at_once(base: FreshDatabase, clock: MovableClock) -> None:
    first, second = quick(base, clock, life=60.0), quick(base, clock, life=60.0)
    assert await first.take()
    await second.give_back()  # it is not the second's to give
    assert not await second.take()
    await first.give_back()
    assert await second.take()


async def test_of_two_processes_one_runs_the_job(base: FreshDatabase, clock: MovableClock, tasks: Tasks) -> None:
    job = Counting()
    for _ in range(2):
        Singleton(quick(base, clock, life=10.0), job.run, 0.001, tasks).start()
    await job.more(50)
    assert job.most == 1


async def test_a_job_whose_process_stops_goes_on_in_another(
    base: FreshDatabase, clock: MovableClock, tasks: Tasks
) -> None:
    first, second = Counting(), Counting()
    async with Tasks("first", Metrics()) as ending:
        Singleton(quick(base, clock, life=60.0), first.run, 0.001, ending).start()
        await first.more(3)
        waiting = Lease(base, clock, "things.count", life=60.0, renew=0.01)
        Singleton(waiting, second.run, 0.001, tasks).start()
        assert second.runs == 0
    await second.more(3)
    assert first.at_once == 0


async def test_a_job_whose_process_dies_is_taken_over_in_time(
    base: FreshDatabase, clock: MovableClock, tasks: Tasks
) -> None:
    dead, job = quick(base, clock), Counting()
    assert await dead.take()  # and never again
    started = time.monotonic()
    Singleton(quick(base, clock), job.run, 0.001, tasks).start()
    await job.more(1)
    assert time.monotonic() - started < 0.3 + 0.03 + BUSY
    assert leases.LIFE + leases.RENEW < leases.TAKEOVER  # the same with the times of production


async def test_a_holder_that_lost_its_lease_ends_its_run(
    base: FreshDatabase, clock: MovableClock, tasks: Tasks
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    Singleton(quick(base, clock), hang, 60.0, tasks).start()
    async with asyncio.timeout(LIMIT):
        await began.wait()
        await base.execute("UPDATE acme.leases SET holder = 'another', until = until + interval '1 day'")
        await ended.wait()


class Cut:
    """A database that cannot be reached any more."""

    def __init__(self, base: FreshDatabase) -> None:
        self.base, self.cut = base, False

    def __getattr__(self, name: str) -> object:
        if self.cut:
            raise Unavailable("the database cannot be reached")
        return getattr(self.base, name)


async def test_a_holder_that_is_cut_off_ends_its_run_before_another_may_begin(
    base: FreshDatabase, clock: MovableClock, tasks: Tasks
) -> None:
    reach = Cut(base)
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    lease = Lease(reach, clock, "things.count", life=2.0, renew=0.5)  # type: ignore[arg-type]  # it has what is used
    Singleton(lease, hang, 60.0, tasks).start()
    async with asyncio.timeout(LIMIT):
        await began.wait()
        reach.cut = True
        await ended.wait()
    assert not await quick(base, clock).take()  # the lease still holds: nobody has begun


async def test_a_run_that_fails_is_repeated_and_keeps_the_lease(
    base: FreshDatabase, clock: MovableClock, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LONGEST_PAUSE", 0.01)
    job = Counting()

    async def fail() -> None:
        await job.run()
        raise RuntimeError("no luck")

    Singleton(quick(base, clock), fail, 60.0, tasks).start()
    await job.more(3)
    assert not await quick(base, clock).take()
