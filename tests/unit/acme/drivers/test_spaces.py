"""What all caches do alike. The rest is promised by the port: tests/contract/test_cache.py."""

from __future__ import annotations

import pytest

from acme.drivers.spaces import Spaces
from acme.errors import Unavailable
from acme.telemetry import Metrics
from tests.waiting import sample


class Names:
    """A store that notes what it is asked for, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []
        self.state = "ok"

    async def get(self, name: bytes) -> bytes | None:
        self._note(name)
        return None

    async def set(self, name: bytes, value: bytes, life: int) -> None:
        self._note(name, life)

    async def delete(self, name: bytes) -> None:
        self._note(name)

    async def add(self, name: bytes, value: bytes, life: int) -> bool:
        self._note(name, life)
        return True

    async def increment(self, name: bytes, by: int, life: int) -> int:
        self._note(name, life)
        return by

    async def close(self) -> None:
        self.state = "closed"

    def _note(self, name: bytes, life: int = 0) -> None:
        if self.state != "ok":
            raise Unavailable("gone")
        self.asked.append((name, life))


async def test_names_are_prefixed_and_lives_are_milliseconds() -> None:
    store = Names()
    space = Spaces(store, Metrics()).space("things")
    await space.set("a:b ü", b"", ttl=1.5)
    await space.increment("n", ttl=0.001)
    assert store.asked == [("acme:things:a:b ü".encode(), 1500), (b"acme:things:n", 1)]


async def test_failures_are_misses_and_counted_and_only_facts_are_refused() -> None:
    store, metrics = Names(), Metrics()
    space = Spaces(store, metrics).space("things")
    store.state = "gone"
    assert await space.get("a") is None
    await space.set("a", b"", ttl=1)
    await space.delete("a")
    with pytest.raises(Unavailable):
        await space.add("a", b"", ttl=1)
    with pytest.raises(Unavailable):
        await space.increment("a", ttl=1)
    for operation in ("get", "set", "delete", "add", "increment"):
        line = f'acme_cache_operations_total{{operation="{operation}",plugin="things",result="failed"}}'
        assert sample(metrics, line) == 1
    assert sample(metrics, "acme_cache_up") == 0
