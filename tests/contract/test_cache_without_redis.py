"""What the cache over Redis does when Redis is killed, hangs, refuses or closes connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme import drivers
from acme.drivers.clock import MovableClock
from acme.errors import Unavailable
from acme.ports import CacheStore
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer
from tests.waiting import BUSY, sample, until

LONG = 60.0
TIMEOUT = 1.0
"""Seconds an operation may take."""


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, CacheStore, Metrics]]:
    """A Redis of the test's own, and a client of it."""
    server, metrics = RedisServer(tmp_path / "redis"), Metrics()
    server.start()
    clock = MovableClock(tmp_path / "clock")
    async with Tasks("test", Metrics()) as tasks:
        store = drivers.open_cache(server.url(), clock=clock, tasks=tasks, metrics=metrics, timeout=TIMEOUT)
        yield server, store, metrics
        await store.close()
    clock.close()
    server.kill()


async def test_a_killed_redis_is_a_miss_and_a_metric_and_comes_back_by_itself(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, metrics = mortal
    cache = store.space("things")
    await cache.set("a", b"1", ttl=LONG)
    server.kill()
    assert [await cache.get("a") for _ in range(3)] == [None, None, None]
    await cache.set("a", b"2", ttl=LONG)
    await cache.delete("a")
    for refused in (cache.add("a", b"3", ttl=LONG), cache.increment("n", ttl=LONG)):
        with pytest.raises(Unavailable) as caught:
            await refused
        assert caught.value.retry_after
    assert store.state.startswith("it does not answer for ")
    assert sample(metrics, "acme_cache_up") == 0
    assert sample(metrics, 'acme_cache_operations_total{operation="get",plugin="things",result="failed"}') == 3

    await asyncio.to_thread(server.start)

    async def back() -> bool:
        await cache.set("a", b"4", ttl=LONG)
        return await cache.get("a") == b"4"

    await until(back, 2.0 + BUSY)
    assert (store.state, sample(metrics, "acme_cache_up")) == ("ok", 1)
    assert await cache.increment("n", ttl=LONG) == 1


async def test_commands_under_way_when_redis_is_killed_end_without_errors(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    await cache.set("a", b"1", ttl=LONG)
    found: list[bytes | None] = []

    async def reader() -> None:
        while None not in found:
            found.append(await cache.get("a"))

    reading = asyncio.gather(*(reader() for _ in range(20)))

    async def busy() -> bool:
        return len(found) >= 200

    await until(busy)
    server.kill()
    await asyncio.wait_for(reading, 2.0 + BUSY)
    assert set(found) == {b"1", None}


async def test_a_count_is_unknown_when_the_connection_breaks_and_known_undone_when_there_was_none(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    assert await cache.increment("n", ttl=LONG) == 1
    server.freeze()
    with pytest.raises(Unavailable) as unknown:
        await cache.increment("n", ttl=LONG)
    assert unknown.value.reason == "outcome_unknown"
    with pytest.raises(Unavailable) as undone:
        await cache.increment("n", ttl=LONG)
    assert undone.value.reason == "cache_unavailable"
    server.thaw()


async def test_a_redis_that_hangs_costs_one_timeout_and_not_one_for_every_caller(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    await cache.set("a", b"1", ttl=LONG)
    server.freeze()
    started = time.monotonic()
    assert await asyncio.gather(*(cache.get("a") for _ in range(100))) == [None] * 100
    assert [await cache.get("a") for _ in range(100)] == [None] * 100
    assert time.monotonic() - started < TIMEOUT + BUSY, "two hundred would be minutes"
    server.thaw()

    async def back() -> bool:
        return await cache.get("a") == b"1"

    await until(back, 2.0 + BUSY)


async def test_a_failure_is_found_without_anybody_asking(mortal: tuple[RedisServer, CacheStore, Metrics]) -> None:
    server, store, metrics = mortal
    server.kill()

    async def known() -> bool:
        return store.state != "ok" and sample(metrics, "acme_cache_up") == 0

    await until(known, 2.5 + BUSY)


async def test_more_callers_than_connections_wait_and_do_not_open_more(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    await asyncio.gather(*(cache.set(f"k{n}", b"v", ttl=LONG) for n in range(500)))
    clients = server.ask("INFO", "clients").decode()
    connected = int(clients.partition("connected_clients:")[2].split()[0])
    assert connected <= 16 + 2, "the pool, its own look-out is one of it, and who asks"
    assert await asyncio.gather(*(cache.get(f"k{n}") for n in range(500))) == [b"v"] * 500


async def test_a_redis_without_memory_refuses_writes_and_still_reads(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, metrics = mortal
    cache = store.space("things")
    await cache.set("a", b"1", ttl=LONG)
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    await cache.set("b", b"2", ttl=LONG)
    with pytest.raises(Unavailable) as caught:
        await cache.add("c", b"3", ttl=LONG)
    assert caught.value.reason == "cache_unavailable"
    with pytest.raises(Unavailable):
        await cache.increment("n", ttl=LONG)
    assert await cache.get("a") == b"1"
    assert store.state == "ok"
    assert sample(metrics, 'acme_cache_operations_total{operation="set",plugin="things",result="failed"}') == 1


async def test_connections_that_redis_closed_while_idle_are_not_used(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    assert await cache.increment("n", ttl=LONG) == 1
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def closed() -> bool:
        return b"connected_clients:1\r" in await asyncio.to_thread(server.ask, "INFO", "clients")

    await until(closed)
    assert [await cache.increment("n", ttl=LONG) for _ in range(3)] == [2, 3, 4]


async def test_the_reply_to_a_cancelled_caller_is_read_by_nobody_else(
    mortal: tuple[RedisServer, CacheStore, Metrics],
) -> None:
    server, store, _ = mortal
    cache = store.space("things")
    for name in ("mine", "theirs"):
        await cache.set(name, name.encode(), ttl=LONG)
    for _ in range(5):
        server.freeze()
        asking = asyncio.get_running_loop().create_task(cache.get("mine"))
        for _ in range(5):
            await asyncio.sleep(0)  # it is sent, and the answer cannot come
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.thaw()
        assert await cache.get("theirs") == b"theirs"
