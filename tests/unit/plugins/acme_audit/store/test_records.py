"""Reading records."""

from __future__ import annotations

from acme_audit.store import RecordStore, Wanted

from tests.audits import LOG, OTHER, REGION, Rig


async def test_records_are_read_by_place_and_by_id(rig: Rig) -> None:
    made = [rig.record() for _ in range(6)]
    await rig.ingest(*made, rig.record(organization_id=OTHER))
    store, head = RecordStore(rig.database), await rig.head()
    assert [row["id"] for row in await store.scan(head.id, 1, 5, limit=3)] == [record.id for record in made[1:4]]
    assert [each.sequence for each in await store.newest(head.id, Wanted(before=4), limit=2)] == [3, 2]
    assert set(await store.leaves(head.id, [0, 5, 6])) == {0, 5}
    found = await store.by_id([made[3].id, "aud_x"])
    assert {name: (each.log_id, each.sequence) for name, each in found.items()} == {made[3].id: (head.id, 3)}
    assert await store.last(head.id) == 5
    assert await store.last(99) == -1


async def test_records_of_no_log_are_found_without_a_look_at_all(rig: Rig) -> None:
    store = RecordStore(rig.database)
    assert await store.orphans() == []
    await rig.grow(3)
    await rig.grow(3, organization_id=OTHER)
    assert await store.orphans() == []
    lost = (await rig.head(f"{REGION}/{OTHER}")).id
    await rig.delete("logs", log=f"{REGION}/{OTHER}")
    assert await store.orphans() == [lost]
    assert (await rig.head(LOG)).size == 3
