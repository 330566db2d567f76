"""The bounds of the memory cache, and shares of a limiter. What both promise as ports is in tests/contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from acme.drivers.clock import MovableClock
from acme.drivers.memory import ENTRY, MemoryLimiter, MemoryStore
from acme.gcra import Limit
from acme.telemetry import Metrics
from tests.waiting import sample

LIMIT = 2 << 20
HOUR = 3_600_000


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[MovableClock]:
    made = MovableClock(tmp_path / "clock")
    yield made
    made.close()


async def test_what_was_used_longest_ago_goes_first(clock: MovableClock) -> None:
    metrics = Metrics()
    store = MemoryStore(clock, metrics, LIMIT)
    value = bytes(LIMIT // 4 - ENTRY - 1)
    for name in (b"a", b"b", b"c", b"d"):
        await store.set(name, value, HOUR)
    assert await store.get(b"a") == value
    await store.set(b"e", value, HOUR)
    assert [name for name in (b"a", b"b", b"c", b"d", b"e") if await store.get(name) is None] == [b"b"]
    assert sample(metrics, "acme_cache_evictions_total") == 1
    assert sample(metrics, "acme_cache_memory_bytes") == LIMIT


async def test_it_never_takes_more_than_its_limit_and_gives_back_what_it_drops(clock: MovableClock) -> None:
    metrics = Metrics()
    store = MemoryStore(clock, metrics, LIMIT)
    for n in range(20_000):
        await store.set(b"%d" % n, b"v" * (n % 500), HOUR)
        await store.increment(b"n", 1, HOUR)
        assert sample(metrics, "acme_cache_memory_bytes") <= LIMIT if n % 1000 == 0 else True
    assert await store.get(b"n") == b"20000", "it was used all the time"
    await store.set(b"n", b"", HOUR)
    for n in range(20_000):
        await store.delete(b"%d" % n)
    await store.delete(b"n")
    assert sample(metrics, "acme_cache_memory_bytes") == 0


async def test_expired_entries_give_way_without_being_counted_as_evicted(clock: MovableClock) -> None:
    metrics = Metrics()
    store = MemoryStore(clock, metrics, LIMIT)
    await store.set(b"old", bytes(1 << 20), 1000)
    clock.advance(timedelta(seconds=1))
    await store.set(b"new", bytes(1 << 20), HOUR)
    assert sample(metrics, "acme_cache_evictions_total") == 0
    assert await store.get(b"new") is not None


async def test_an_entry_expires_at_its_time_and_not_a_moment_earlier(clock: MovableClock) -> None:
    store = MemoryStore(clock, Metrics(), LIMIT)
    await store.set(b"a", b"1", HOUR)
    clock.advance(timedelta(hours=1) - timedelta(seconds=1))
    assert await store.get(b"a") == b"1"
    clock.advance(timedelta(seconds=1))
    assert await store.get(b"a") is None


def test_one_of_several_gateways_keeps_its_share_of_a_limit(clock: MovableClock) -> None:
    limit = Limit(rate=3, burst=9)
    meter = MemoryLimiter(clock, Metrics(), 3).meter("m", limit)
    left = [limit.left(spare) for _ in range(5) if (spare := meter.take("k")) >= 0]
    assert left == [2, 1, 0]
    spare = meter.take("k")
    assert 0.9 < limit.more(spare) / 1e9 <= 1
    clock.advance(timedelta(seconds=1))
    assert meter.take("k") >= 0


def test_limits_follow_the_platform_s_clock_and_say_that_they_are_kept(clock: MovableClock) -> None:
    metrics = Metrics()
    limiter = MemoryLimiter(clock, metrics, 1)
    meter = limiter.meter("m", Limit(rate=1, burst=1))
    assert [meter.take("k") >= 0, meter.take("k") >= 0] == [True, False]
    clock.advance(timedelta(seconds=2))
    assert meter.take("k") >= 0
    assert (limiter.state, sample(metrics, "acme_limiter_up")) == ("ok", 1)


def test_whoever_has_read_the_clock_need_not_have_it_read_again(clock: MovableClock) -> None:
    limit, now = Limit(rate=1, burst=2), clock.time()
    for gateways in (1, 2):
        meter = MemoryLimiter(clock, Metrics(), gateways).meter("m", limit)
        taken = [meter.take("k", now + seconds) >= 0 for seconds in (0, 0, 3, 3)]
        assert taken == [True, gateways == 1, True, gateways == 1]
