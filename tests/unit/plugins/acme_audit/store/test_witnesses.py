"""Events that were heard, and events that are named."""

from __future__ import annotations

from datetime import timedelta

from acme_audit.store import WitnessStore

from tests.audits import Rig


async def test_what_is_heard_and_named_is_settled_in_batches(rig: Rig) -> None:
    store, now = WitnessStore(rig.database), rig.clock.now()
    ids = [f"evt_{number}" for number in range(5)]
    await store.heard(ids, ["UserCreated"] * 5, at=now)
    await store.named([*ids[1:], "evt_other"], at=now)
    await store.named([], at=now)
    assert await store.lacking(until=now) == (1, "evt_0")
    assert await store.lacking(until=now - timedelta(seconds=1)) == (0, "")
    assert [await store.settle(limit=3) for _ in range(3)] == [3, 1, 0]
    assert await store.lacking(until=now) == (1, "evt_0")
    await store.prune(until=now)
    assert await rig.database.fetchval("SELECT count(*) FROM accounted") == 0
