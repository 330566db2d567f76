"""A flood of addresses: the memory it takes, and what is left of the limits of those who are known.

A million of them with `make test-engines`; a few otherwise, with as little room.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.redis_server import RedisServer

MILLION: Final = 1_000_000
OWN: Final = 16
"""Megabytes that the processes take beside, where the flood is a small one."""
FLOODS: Final = (50_000, pytest.param(MILLION, marks=pytest.mark.engines))


def flood(url: str, addresses: int) -> Any:
    command = [sys.executable, "-m", "tests.flood", url, str(addresses)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return json.loads(done.stdout)


def bound(addresses: int) -> float:
    """Megabytes."""
    return 128 if addresses == MILLION else 128 * addresses / MILLION + OWN


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("addresses", FLOODS)
def test_in_memory_addresses_are_bounded_and_a_principal_is_limited_exactly(addresses: int) -> None:
    found = flood("memory:", addresses)
    assert found["megabytes"] < bound(addresses)
    assert found["asked"] > found["allowed"]
    assert found["through"] == found["allowed"], "the time stands still: not one more and not one less"
    assert found["honest"], "who comes from a network that the flood did not come from shares with few"


@pytest.mark.parametrize("addresses", FLOODS)
def test_over_redis_addresses_are_bounded_there_and_here(redis: RedisServer, addresses: int) -> None:
    found = flood(redis.url(), addresses)
    memory = redis.ask("INFO", "memory").decode().partition("used_memory_peak:")[2].split()[0]
    print("redis", int(memory) / 2**20)
    assert found["state"], "Redis was there all the time"
    assert found["megabytes"] < bound(addresses)
    assert int(memory) / 2**20 < bound(addresses)
    assert found["asked"] > found["allowed"]
    held = 2 * (found["allowed"] // 2)
    assert found["through"] <= found["allowed"] + found["rate"] * found["seconds"] + held
    assert found["through"] >= found["allowed"] // 2, "nobody took it away"
