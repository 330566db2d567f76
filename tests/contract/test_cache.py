"""What every driver behind `ports.Cache` promises; test_cache_without_redis.py has what happens when its store is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme import drivers
from acme.drivers.clock import MovableClock
from acme.ports import Cache, CacheStore
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer
from tests.waiting import BUSY, until

Opener = Callable[..., CacheStore]
LONG = 60.0
PATIENT = 5.0
"""Seconds an operation may take: a busy machine is not what these tests are about."""


class Rig:
    """A technology, and how time passes in it."""

    def __init__(self, url: str, clock: MovableClock, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.url, self.clock = url, clock
        self._tasks, self._stack = tasks, stack
        self._only: CacheStore | None = None

    @property
    def moves(self) -> bool:
        """Whether entries expire by the platform's clock."""
        return self.url.startswith("memory:")

    def store(self, metrics: Metrics | None = None, **settings: Any) -> CacheStore:
        """A client of the same entries: a connection of its own, or the same store where it is this process' own."""
        if self.moves and self._only is not None:
            return self._only
        store = drivers.open_cache(
            self.url, clock=self.clock, tasks=self._tasks, metrics=metrics or Metrics(), timeout=PATIENT, **settings
        )
        self._stack.push_async_callback(store.close)
        self._only = store
        return store

    def cache(self, name: str = "things") -> Cache:
        return self.store().space(name)

    async def expire(self, seconds: float, gone: Callable[[], Awaitable[bool]]) -> None:
        """Lets `seconds` pass, in which `gone` comes true."""
        if self.moves:
            self.clock.advance(timedelta(seconds=seconds))
            assert await gone()
        else:
            await until(gone, seconds + BUSY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(params=["memory", "redis"])
async def rig(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """One empty cache a driver."""
    clock = MovableClock(tmp_path / "clock")
    if request.param == "redis":
        server.ask("FLUSHALL")
    url = "memory:" if request.param == "memory" else server.url()
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        stack.callback(clock.close)
        yield Rig(url, clock, tasks, stack)


async def test_what_was_set_is_read_by_others_until_it_is_deleted(rig: Rig) -> None:
    mine, theirs = rig.cache(), rig.cache()
    assert await theirs.get("a") is None
    await mine.set("a", b"\x00\xff one", ttl=LONG)
    assert await theirs.get("a") == b"\x00\xff one"
    await mine.set("a", b"", ttl=LONG)
    assert await theirs.get("a") == b""
    await theirs.delete("a")
    await theirs.delete("a")
    assert await mine.get("a") is None


async def test_an_entry_lives_its_time_and_no_longer(rig: Rig) -> None:
    cache = rig.cache()
    await cache.set("short", b"1", ttl=1.0)
    await cache.set("long", b"2", ttl=LONG)
    assert await cache.get("short") == b"1"

    async def gone() -> bool:
        return await cache.get("short") is None

    await rig.expire(1.0, gone)
    assert await cache.get("long") == b"2"


async def test_setting_anew_begins_a_new_life(rig: Rig) -> None:
    cache = rig.cache()
    await cache.set("a", b"1", ttl=LONG)
    await cache.set("a", b"2", ttl=0.2)

    async def gone() -> bool:
        return await cache.get("a") is None

    await rig.expire(0.2, gone)


async def test_caches_of_different_names_never_meet(rig: Rig) -> None:
    names = ("things", "thing", "things2", "things-a")
    caches = {name: rig.cache(name) for name in names}
    for name, cache in caches.items():
        await cache.set("x", name.encode(), ttl=LONG)
        await cache.increment("n", ttl=LONG)
    assert {name: await cache.get("x") for name, cache in caches.items()} == {name: name.encode() for name in names}
    assert [await cache.get("n") for cache in caches.values()] == [b"1"] * len(names)
    await caches["things"].delete("x")
    assert await caches["things2"].get("x") == b"things2"


@pytest.mark.parametrize("name", ["", "a:b", "A", "a b", "a" * 64])
async def test_a_name_that_could_be_read_as_another_is_refused(rig: Rig, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        rig.store().space(name)


async def test_of_many_who_add_at_once_over_two_connections_one_does(rig: Rig) -> None:
    one, two = rig.cache(), rig.cache()
    for turn in range(20):
        key = f"lock {turn}"
        adders = [cache.add(key, str(n).encode(), ttl=LONG) for n, cache in enumerate([one, two] * 8)]
        added = await asyncio.gather(*adders)
        assert added.count(True) == 1
        assert await one.get(key) == str(added.index(True)).encode()


async def test_what_has_expired_or_was_deleted_can_be_added_again(rig: Rig) -> None:
    cache = rig.cache()
    assert await cache.add("a", b"1", ttl=1.0)
    assert not await cache.add("a", b"2", ttl=LONG)

    async def added() -> bool:
        return await cache.add("a", b"3", ttl=LONG)

    await rig.expire(1.0, added)
    assert await cache.get("a") == b"3"
    await cache.delete("a")
    assert await cache.add("a", b"4", ttl=LONG)


async def test_increments_at_once_over_two_connections_are_each_counted_once(rig: Rig) -> None:
    one, two = rig.cache(), rig.cache()
    totals = await asyncio.gather(*(cache.increment("n", ttl=LONG) for cache in [one, two] * 250))
    assert sorted(totals) == list(range(1, 501))
    assert await one.get("n") == b"500"
    assert await two.increment("n", -501, ttl=LONG) == -1


async def test_a_counters_life_begins_with_its_first_increment_and_is_not_prolonged(rig: Rig) -> None:
    cache = rig.cache()
    started = time.monotonic()
    assert await cache.increment("n", ttl=1.0) == 1
    assert await cache.increment("n", ttl=LONG) == 2

    async def begun_anew() -> bool:
        return await cache.increment("n", ttl=LONG) == 1

    await rig.expire(1.0, begun_anew)
    assert rig.moves or time.monotonic() - started >= 1.0


async def test_a_counter_can_be_set_and_read_as_digits(rig: Rig) -> None:
    cache = rig.cache()
    await cache.set("n", b"41", ttl=LONG)
    assert await cache.increment("n", ttl=LONG) == 42
    assert await cache.get("n") == b"42"


@pytest.mark.parametrize("content", [b"many", b"", b"1.5", b" 1", b"9223372036854775807"])
async def test_what_is_no_counter_or_full_is_not_incremented(rig: Rig, content: bytes) -> None:
    cache = rig.cache()
    await cache.set("n", content, ttl=LONG)
    with pytest.raises(ValueError, match="counter"):
        await cache.increment("n", ttl=LONG)
    assert await cache.get("n") == content
    assert rig.store().state == "ok"


async def test_keys_values_and_lives_outside_of_their_limits_are_refused(rig: Rig) -> None:
    cache = rig.cache()
    await cache.set("k" * 512, bytes(1 << 20), ttl=30 * 86400)
    assert await cache.get("k" * 512) == bytes(1 << 20)
    for key in ("", "k" * 513, "ü" * 257):
        with pytest.raises(ValueError, match="key"):
            await cache.get(key)
    with pytest.raises(ValueError, match="bytes"):
        await cache.set("a", bytes((1 << 20) + 1), ttl=1)
    for ttl in (0, -1, 0.0009, 30 * 86400 + 1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="ttl"):
            await cache.add("a", b"", ttl=ttl)
    with pytest.raises(ValueError, match="64-bit"):
        await cache.increment("n", 2**63, ttl=1)


async def test_results_are_counted_by_plugin_and_operation(rig: Rig) -> None:
    metrics = Metrics()
    cache = rig.store(metrics).space("things")
    await cache.get("a")
    await cache.set("a", b"", ttl=LONG)
    await cache.get("a")
    await cache.add("a", b"", ttl=LONG)
    text = metrics.render().decode()
    for operation, result in (("get", "miss"), ("set", "done"), ("get", "hit"), ("add", "taken")):
        assert f'acme_cache_operations_total{{operation="{operation}",plugin="things",result="{result}"}} 1.0' in text
    assert "acme_cache_up 1.0" in text


async def test_a_closed_cache_misses_and_closing_it_again_is_harmless(rig: Rig) -> None:
    store = rig.store()
    cache = store.space("things")
    await cache.set("a", b"1", ttl=LONG)
    await store.close()
    assert await cache.get("a") is None
    await store.close()
