"""What the limiter over Redis does when Redis is killed, hangs or refuses; and how far several gateways go over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from acme import drivers
from acme.drivers.allowances import RedisLimiter
from acme.gcra import Limit
from acme.ports import Meter
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer
from tests.waiting import sample, until

TIMEOUT = 1.0
"""Seconds Redis may take."""
SLOW = Limit(rate=0.001, burst=40)
"""So slow that nothing comes back while a test runs."""


class Town:
    """A Redis of the test's own, and gateways."""

    def __init__(self, server: RedisServer, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.server = server
        self._tasks, self._stack = tasks, stack
        self.metrics: list[Metrics] = []

    def gateway(self, **given: Any) -> RedisLimiter:
        metrics = Metrics()
        self.metrics.append(metrics)
        no_clock: Any = None
        limiter = drivers.open_limiter(
            self.server.url(), clock=no_clock, tasks=self._tasks, metrics=metrics, timeout=TIMEOUT, **given
        )
        assert isinstance(limiter, RedisLimiter)
        self._stack.push_async_callback(limiter.close)
        return limiter

    async def gateways(self, number: int) -> list[RedisLimiter]:
        """So many that know of each other."""
        all_of_them = [self.gateway() for _ in range(number)]
        await until(the(lambda: {one.gateways for one in all_of_them} == {number}))
        return all_of_them


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        yield Town(server, tasks, stack)
    server.kill()


def the(condition: Callable[[], bool]) -> Any:
    async def true() -> bool:
        return condition()

    return true


def at_once(meter: Meter, key: str = "k") -> int:
    """How many are let through before anybody has a turn."""
    taken = 0
    while meter.take(key) >= 0:
        taken += 1
    return taken


async def in_the_end(meter: Meter, key: str = "k") -> int:
    """How many are let through with all leases that there are."""
    taken = 0

    async def over() -> bool:
        nonlocal taken
        taken += at_once(meter, key)
        return -meter.take(key) > SLOW.interval // 2

    await until(over)
    return taken


async def test_gateways_count_each_other_and_notice_who_has_gone(town: Town) -> None:
    one, two, three = await town.gateways(3)
    await three.close()
    await until(the(lambda: (one.gateways, two.gateways) == (2, 2)))
    assert sample(town.metrics[0], "acme_limiter_gateways") == 2


async def test_a_configured_number_is_believed(town: Town) -> None:
    limiter = town.gateway(gateways=7)
    meter = limiter.meter("m", SLOW)
    assert await in_the_end(meter) == 40
    assert limiter.gateways == 7


async def test_one_gateway_may_have_the_whole_burst(town: Town) -> None:
    one, two = await town.gateways(2)
    assert await in_the_end(one.meter("m", SLOW)) == 40
    assert await in_the_end(one.meter("other", SLOW)) == 40
    assert two.gateways == 2


async def test_what_one_has_used_up_others_notice_but_for_their_advance(town: Town) -> None:
    """The worst there is: each gateway hears of the key for the first time when it is used up."""
    meters = [limiter.meter("m", SLOW) for limiter in await town.gateways(4)]
    assert await in_the_end(meters[0]) == 40
    more = [await in_the_end(meter) for meter in meters[1:]]
    slice_of_each = SLOW.burst // (2 * 4)
    assert more == [slice_of_each] * 3
    assert sum(more) <= 2 * slice_of_each * 4 <= SLOW.burst
    assert [await in_the_end(meter) for meter in meters] == [0] * 4, "and each of them goes over once only"


async def test_what_is_leased_and_not_used_is_missing_elsewhere_and_never_there_twice(town: Town) -> None:
    one, two = (limiter.meter("m", SLOW) for limiter in await town.gateways(2))
    assert one.take("k") >= 0
    leases: Any = one
    await until(the(lambda: not leases._by_key["k"].asked))
    assert await in_the_end(two) == 40 - 1 - 10, "but for the one, and the slice that the other holds"
    assert await in_the_end(one) == 10


async def test_nobody_waits_for_a_redis_that_hangs_and_each_keeps_its_share(town: Town) -> None:
    one, two = await town.gateways(2)
    meters = [limiter.meter("m", SLOW) for limiter in (one, two)]
    town.server.freeze()
    started = time.monotonic()
    before = at_once(meters[0])
    assert time.monotonic() - started < TIMEOUT
    assert before == SLOW.burst // 4, "a slice, and no more until Redis is known to be gone"
    await until(the(lambda: not one.together and not two.together), 4 * TIMEOUT + 2)
    assert [at_once(meter) for meter in meters] == [20, 20]
    assert one.state.startswith("Redis is gone for ")
    assert one.state.endswith("at 1/2 of each")
    town.server.thaw()
    await until(the(lambda: one.together and two.together))
    assert one.state == "ok"


async def test_a_killed_redis_is_told_by_metrics_and_found_again(town: Town) -> None:
    (one,) = await town.gateways(1)
    meter = one.meter("m", SLOW)
    assert meter.take("k") >= 0
    town.server.kill()
    await until(the(lambda: not one.together))
    assert sample(town.metrics[0], "acme_limiter_up") == 0
    assert at_once(meter) == 40
    await asyncio.to_thread(town.server.start)
    await until(the(lambda: one.together))
    assert sample(town.metrics[0], "acme_limiter_up") == 1
    assert await in_the_end(meter) == 40, "a Redis that comes back empty costs one burst"
    assert at_once(meter) == 0


async def test_a_redis_that_was_never_there_is_no_reason_to_refuse_or_to_let_everything_through(town: Town) -> None:
    town.server.kill()
    limiter = town.gateway(gateways=4)
    meter = limiter.meter("m", SLOW)
    assert meter.take("k") >= 0
    await until(the(lambda: not limiter.together))
    assert at_once(meter) == 10


async def test_a_redis_that_refuses_to_write_is_as_good_as_gone(town: Town) -> None:
    (one,) = await town.gateways(1)
    meter = one.meter("m", SLOW)
    town.server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    town.server.ask("CONFIG", "SET", "maxmemory", "1")
    meter.take("k")
    await until(the(lambda: not one.together))
    assert at_once(meter) == 40
    town.server.ask("CONFIG", "SET", "maxmemory", "0")
    await until(the(lambda: one.together))


async def test_a_share_answers_in_the_units_of_the_whole(town: Town) -> None:
    one, _ = await town.gateways(2)
    meter = one.meter("m", SLOW)
    town.server.kill()
    await until(the(lambda: not one.together))
    assert SLOW.left(meter.take("k")) == 19
