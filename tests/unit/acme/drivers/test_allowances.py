"""The script that leases; what gateways do with it: tests/contract/test_limiter.py and test_limiter_without_redis.py."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from acme.drivers import allowances
from acme.drivers.allowances import open_limiter
from acme.drivers.redis import Address, Link
from acme.gcra import SECOND, Limit, admit
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer

PATIENT = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[Link]:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks:
        opened = Link("limiter", Address(server.url()), 1, PATIENT, tasks, metrics)
        yield opened
        await opened.close()


async def lease(link: Link, limit: Limit, **asked: tuple[int, int]) -> list[int]:
    """Asks for keys: (owed, wanted). Granted and microseconds ahead, of each."""
    arguments: list[bytes | int] = []
    for owed, want in asked.values():
        arguments += [b"%.3f" % (limit.interval / 1000), b"%.3f" % (limit.tolerance / 1000), owed, want]
    keys = [key.encode() for key in asked]
    (reply,) = await link.run((b"EVAL", allowances._LEASE, len(keys), *keys, *arguments))
    return list(reply)


@pytest.mark.parametrize("seed", range(10))
async def test_the_script_grants_what_the_core_admits(link: Link, seed: int) -> None:
    """With intervals so long that the time between two commands is nothing beside them."""
    dice = random.Random(seed)
    limit = Limit(rate=1 / dice.randrange(100, 10_000), burst=dice.randrange(1, 60))
    key, tat, now = f"k{seed}", 0, 10**18
    for _ in range(30):
        owed, want = dice.choice([0, 0, 0, dice.randrange(5)]), dice.randrange(10)
        granted, ahead = await lease(link, limit, **{key: (owed, want)})
        tat = max(tat, now) + owed * limit.interval
        model = 0
        while model < want and tat <= now + limit.tolerance:
            after, spare = admit(tat, now, limit)
            if spare < 0:
                break
            tat, model = after, model + 1
        assert granted == model
        assert abs(ahead * 1000 - (tat - now)) < 5 * SECOND


async def test_what_is_owed_is_charged_although_there_is_nothing_left(link: Link) -> None:
    limit = Limit(rate=0.001, burst=10)
    assert (await lease(link, limit, debtor=(0, 10)))[0] == 10
    granted, ahead = await lease(link, limit, debtor=(4, 3))
    assert granted == 0
    assert round(ahead / 1e6 * limit.rate) == 14


async def test_many_keys_are_leased_in_one_round_trip(link: Link) -> None:
    limit = Limit(rate=0.001, burst=10)
    replies = await lease(link, limit, **{f"many{number}": (0, number) for number in range(20)})
    assert replies[::2] == [min(number, 10) for number in range(20)]


async def test_a_full_bucket_leaves_nothing_in_redis(link: Link, server: RedisServer) -> None:
    limit = Limit(rate=1000, burst=10)
    assert await lease(link, limit, empty=(0, 0)) == [0, 0]
    assert (await lease(link, limit, short=(0, 10)))[0] == 10
    assert server.ask("EXISTS", "empty").startswith(b":0")
    assert 0 <= int(server.ask("PTTL", "short")[1:]) <= 11 or server.ask("EXISTS", "short").startswith(b":0")


async def test_an_option_nobody_knows_is_refused() -> None:
    nobody: Any = None
    with pytest.raises(ValueError, match="unknown in the URL of Redis"):
        open_limiter("redis://h:1/0?database=1", tasks=nobody, metrics=Metrics())
