"""What every driver behind `ports.Limiter` promises; test_limiter_without_redis.py has what happens when Redis is gone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme import drivers
from acme.drivers.clock import MovableClock
from acme.gcra import SECOND, Limit
from acme.ports import Limiter, Meter
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer
from tests.waiting import until

PATIENT = 5.0
"""Seconds that Redis may take: a busy machine is not what these tests are about."""
NAMES = (f"m{number}" for number in itertools.count())


class Rig:
    """A technology, and how time passes in it."""

    def __init__(self, url: str, clock: MovableClock, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.url, self.clock = url, clock
        self._tasks, self._stack = tasks, stack

    @property
    def moves(self) -> bool:
        """Whether its time is the platform's clock."""
        return self.url.startswith("memory:")

    def limiter(self, **given: Any) -> Limiter:
        """One gateway's."""
        limiter = drivers.open_limiter(
            self.url, clock=self.clock, tasks=self._tasks, metrics=Metrics(), timeout=PATIENT, **given
        )
        self._stack.push_async_callback(limiter.close)
        return limiter

    def meter(self, limit: Limit, **given: Any) -> Meter:
        return self.limiter().meter(next(NAMES), limit, **given)

    async def used_up(self, meter: Meter, key: str = "k") -> int:
        """Takes until there is nothing left, in no time to speak of; how many that were."""
        taken, wait = 0, 0
        while wait < SECOND:
            spare = meter.take(key)
            taken += spare >= 0
            wait = -spare
            await asyncio.sleep(0)
        return taken

    async def passes(self, nanoseconds: int) -> None:
        """Lets time pass."""
        if self.moves:
            self.clock.advance(timedelta(microseconds=-(-nanoseconds // 1000)))
        else:
            over = time.monotonic_ns() + nanoseconds

            async def passed() -> bool:
                return time.monotonic_ns() >= over

            await until(passed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(params=["memory", "redis"])
async def rig(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> AsyncIterator[Rig]:
    clock = MovableClock(tmp_path / "clock")
    if request.param == "redis":
        server.ask("FLUSHALL")
    url = "memory:" if request.param == "memory" else server.url()
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        stack.callback(clock.close)
        yield Rig(url, clock, tasks, stack)


async def test_a_key_gets_its_burst_and_no_more(rig: Rig) -> None:
    assert await rig.used_up(rig.meter(Limit(rate=0.01, burst=20))) == 20


async def test_keys_and_meters_do_not_share(rig: Rig) -> None:
    limiter, limit = rig.limiter(), Limit(rate=0.01, burst=4)
    one, two = limiter.meter(next(NAMES), limit), limiter.meter(next(NAMES), limit)
    assert [await rig.used_up(meter, key) for meter in (one, two) for key in ("a", "b", "\udc80é 😀")] == [4] * 6


async def test_who_waits_as_long_as_it_is_told_is_let_through(rig: Rig) -> None:
    limit = Limit(rate=0.5, burst=2)
    meter = rig.meter(limit)
    assert await rig.used_up(meter) == 2
    spare = meter.take("k")
    assert 0 < limit.more(spare) <= limit.interval
    await rig.passes(limit.more(spare))

    async def through() -> bool:
        return meter.take("k") >= 0

    assert await until(through) < 1.0


async def test_it_tells_what_is_left(rig: Rig) -> None:
    limit = Limit(rate=0.01, burst=20)
    meter = rig.meter(limit)
    left: list[int] = []

    async def ten() -> bool:
        spare = meter.take("k")
        if spare >= 0:
            left.append(limit.left(spare))
        return len(left) == 10

    await until(ten)
    assert left == [19, 18, 17, 16, 15, 14, 13, 12, 11, 10]


async def test_after_a_while_the_bucket_is_full_again(rig: Rig) -> None:
    limit = Limit(rate=20, burst=10)
    meter = rig.meter(limit)
    for _ in range(10):
        meter.take("k")
        await asyncio.sleep(0)
    await rig.passes(limit.tolerance + SECOND // 10)
    taken = 0
    while meter.take("k") >= 0:
        taken += 1
    assert taken >= (10 if rig.moves else 5), "the whole burst, or the slice that a gateway starts with"


async def test_a_flood_of_keys_pushes_nobody_out_and_fills_nothing(rig: Rig) -> None:
    limit = Limit(rate=0.01, burst=2)
    meter = rig.meter(limit, keys=100)
    assert await rig.used_up(meter, "victim") == 2
    through = 0
    for number in range(5000):
        through += meter.take(f"flood {number}") >= 0
    assert meter.take("victim") < 0
    assert through <= (100 + 64) * limit.burst
    buckets: Any = meter
    assert len((buckets._buckets if rig.moves else buckets._leases).by_key) <= 100 + 64


def parent(key: str) -> str:
    return key.rpartition(".")[0]


async def test_in_a_flood_keys_share_with_their_group_and_others_go_on(rig: Rig) -> None:
    limit = Limit(rate=0.01, burst=4)
    meter = rig.meter(limit, keys=100, wider=parent)
    for number in range(200):
        meter.take(f"flood.here.{number}")
    await rig.used_up(meter, "flood.here.199")
    assert await rig.used_up(meter, "flood.here.more") == 0, "its group has used up everything"
    assert meter.shares("flood.here.more")
    assert await rig.used_up(meter, "else.where.1") == 4
    assert not meter.shares("flood.here.1")


async def test_what_a_key_took_with_its_group_it_cannot_take_again_alone(rig: Rig) -> None:
    limit = Limit(rate=0.8, burst=4)
    meter = rig.meter(limit, keys=1, wider=parent)
    meter.take("x.x.1")
    assert await rig.used_up(meter, "a.a.1") == 4
    assert meter.shares("a.a.1")
    await rig.passes(3 * limit.interval)  # x.x.1 is full again, and gives its place up
    assert 1 <= await rig.used_up(meter, "a.a.1") <= 3, "what has come back meanwhile"
    assert not meter.shares("a.a.1")


async def test_a_request_that_costs_more_takes_more(rig: Rig) -> None:
    limit = Limit(rate=0.01, burst=20)
    meter = rig.meter(limit)
    taken, left = 0, []

    async def over() -> bool:
        nonlocal taken
        spare = meter.take("k", None, 6)
        if spare >= 0:
            taken += 6
            left.append(limit.left(spare))
        return -spare >= SECOND

    await until(over)
    assert (taken, left) == (18, [14, 8, 2])
    assert await rig.used_up(meter) == 2, "and what is left is there for who wants less"


async def test_what_costs_more_than_a_bucket_holds_takes_all_of_it(rig: Rig) -> None:
    limit = Limit(rate=0.01, burst=5)
    meter = rig.meter(limit)
    assert meter.take("k", None, 100) >= 0
    assert meter.take("k") < 0


async def test_a_meter_of_one_name_is_one_whatever_becomes_of_its_limit(rig: Rig) -> None:
    limiter, name = rig.limiter(), next(NAMES)
    limit = Limit(rate=0.01, burst=4)
    meter = limiter.meter(name, limit)
    assert await rig.used_up(meter) == 4
    assert await rig.used_up(limiter.meter(name, limit, keys=7)) == 0
    more = limiter.meter(name, Limit(rate=0.01, burst=6))
    assert await rig.used_up(more) == (2 if rig.moves else 6), "Redis has other buckets for another limit"


async def test_a_name_with_a_colon_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match="no colon"):
        rig.limiter().meter("a:b", Limit(1, 1))


async def test_asking_does_not_wait(rig: Rig) -> None:
    meter = rig.meter(Limit(rate=1000, burst=100))
    meter.take("k")
    longest = 0.0
    for _ in range(1000):
        started = time.perf_counter()
        meter.take("k")
        longest = max(longest, time.perf_counter() - started)
    assert longest < PATIENT / 5, "that would be a wait for something, and not only the machine's own"


# Never more than it says


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.floats(min_value=0.01, max_value=1000),
    st.integers(min_value=1, max_value=30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2_000_000), st.integers(1, 4)), max_size=120),
    st.integers(min_value=1, max_value=4),
)
def test_in_memory_no_key_gets_more_than_burst_and_rate(
    tmp_path: Path, rate: float, burst: int, steps: list[tuple[int, int, int]], keys: int
) -> None:
    """For any two moments, with room for all keys and without. `steps`: whose turn it is, microseconds that pass before,
    and units that are asked for."""
    clock = MovableClock(tmp_path / "clock")
    limiter = drivers.open_limiter("memory:", clock=clock, tasks=Tasks("test", Metrics()), metrics=Metrics())
    limit = Limit(rate, burst)
    now = [clock.time()]
    clock.time = lambda: now[0]  # type: ignore[method-assign]  # the time stands still between two steps
    meter = limiter.meter("m", limit, keys=keys, wider=parent)
    through: dict[int, list[int]] = {}
    for key, gap, units in steps:
        now[0] += gap / 1e6
        if meter.take(f"{key // 3}.{key // 2}.{key}", None, units) >= 0:
            through.setdefault(key, []).extend([int(now[0] * SECOND)] * min(units, burst))
    for times in through.values():
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                assert (last - first + 1 - burst) * limit.interval <= times[last] - begin
    clock.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(min_value=1, max_value=4),
    st.sampled_from([(20.0, 1), (1.0, 20), (100.0, 6), (400.0, 20)]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(5, 20), st.integers(1, 4)), min_size=30, max_size=60),
)
def test_over_redis_all_gateways_together_admit_no_more_than_that_and_what_they_held(
    server: RedisServer, gateways: int, numbers: tuple[float, int], steps: list[tuple[int, int, int]]
) -> None:
    """For any two moments. `steps`: which gateway is asked, how often, and milliseconds in which leases travel."""
    limit = Limit(*numbers)
    name = next(NAMES)

    async def play() -> list[tuple[float, float]]:
        through: list[tuple[float, float]] = []
        clock: Any = None  # Redis has its own
        async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
            meters = []
            for _ in range(gateways):
                limiter = drivers.open_limiter(
                    server.url(), clock=clock, tasks=tasks, metrics=Metrics(), timeout=PATIENT, gateways=gateways
                )
                stack.push_async_callback(limiter.close)
                meters.append(limiter.meter(name, limit))
            for who, times, pause in steps:
                for _ in range(times):
                    before = time.monotonic()
                    if meters[who % gateways].take("k") >= 0:
                        through.append((before, time.monotonic()))
                await asyncio.sleep(pause / 1000)
            for limiter_state in meters:
                assert limiter_state._limiter.together  # type: ignore[attr-defined]  # else this shows something else
        return through

    through = asyncio.run(play())
    slice_of_each = max(1, limit.burst // (2 * gateways))
    held = 2 * slice_of_each * gateways
    assert held <= max(limit.burst, 2 * gateways)
    for first, (begin, _) in enumerate(through):
        for last in range(first, len(through)):
            seconds = through[last][1] - begin
            assert last - first + 1 <= limit.burst + limit.rate * seconds + held + 0.001
