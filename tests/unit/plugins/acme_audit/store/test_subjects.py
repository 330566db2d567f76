"""Sealed keys of subjects."""

from __future__ import annotations

from acme_audit.store import SubjectStore

from tests.audits import Rig


async def test_the_first_key_of_a_subject_stays_until_it_is_destroyed(rig: Rig) -> None:
    store, now = SubjectStore(rig.database), rig.clock.now()
    await store.add(["b", "a"], [b"1", b"2"], at=now)
    await store.add(["a", "c"], [b"3", b"4"], at=now)
    assert await store.read(["a", "b", "c", "d"]) == {"a": b"2", "b": b"1", "c": b"4"}
    assert [await store.destroy("a", at=now) for _ in range(2)] == [True, False]
    await store.add(["a"], [b"5"], at=now)
    assert await store.read(["a"]) == {"a": None}
