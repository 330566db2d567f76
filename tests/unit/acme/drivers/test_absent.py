"""A cache that keeps nothing is to a plugin what one is that is gone."""

from __future__ import annotations

import pytest

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.errors import Unavailable
from acme.tasks import Tasks
from acme.telemetry import Metrics


async def test_nothing_is_found_and_what_has_to_be_kept_is_refused() -> None:
    metrics = Metrics()
    store = drivers.open_cache("none:", clock=SystemClock(), tasks=Tasks("test", metrics), metrics=metrics)
    cache = store.space("made")
    await cache.set("a", b"1", ttl=60)
    assert await cache.get("a") is None
    await cache.delete("a")
    with pytest.raises(Unavailable):
        await cache.add("a", b"1", ttl=60)
    with pytest.raises(Unavailable):
        await cache.increment("a", ttl=60)
    assert "[cache] url" in store.state
    assert "acme_cache_up 0.0" in metrics.render().decode()
    await store.close()
