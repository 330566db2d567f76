"""Reading dead letters; what is done about them is in `test_replay.py`."""

from __future__ import annotations

from acme.bus import dead_letters, inbox
from acme.bus.inbox import Letter
from tests.hearing import at, event
from tests.services import Stage


async def bury(stage: Stage, number: int, project: str, error: str = "Broken", fingerprint: str = "f1") -> None:
    record, now, database = at(event(stage, number, project), number), stage.clock.now(), stage.units.database
    await inbox.park(database, "things.ear", record.topic, record.key or b"", now)
    letter = Letter(f"evt_{number}", record, "acme.projects.v1.ProjectCreated", True, error, fingerprint, 3)
    await inbox.bury(database, "things.ear", letter, now)


async def found(stage: Stage, **which: object) -> list[str]:
    rows = await dead_letters.letters(stage.units.database, **which)  # type: ignore[arg-type]  # as the tests give it
    return [row["event_id"] for row in rows]


async def test_letters_are_found_by_all_that_is_asked_for(stage: Stage) -> None:
    await bury(stage, 1, "prj_1")
    await bury(stage, 2, "prj_1", "", "")
    await bury(stage, 3, "prj_2", fingerprint="f2")
    assert await found(stage) == ["evt_1", "evt_2", "evt_3"]
    assert await found(stage, fingerprint="f2") == ["evt_3"]
    assert await found(stage, key=b"org_1:prj_1") == ["evt_1", "evt_2"]
    assert await found(stage, key=b"org_1:prj_1", fingerprint="f1") == ["evt_1"]
    assert await found(stage, consumer="things.eye") == []


async def test_letters_come_in_pages(stage: Stage) -> None:
    for number in range(5):
        await bury(stage, number, "prj_1")
    first = await dead_letters.letters(stage.units.database, limit=3)
    rest = await dead_letters.letters(stage.units.database, after=first[-1]["id"], limit=3)
    assert [row["event_id"] for row in (*first, *rest)] == [f"evt_{number}" for number in range(5)]


async def test_a_letter_gives_its_record_back_as_it_came(stage: Stage) -> None:
    await bury(stage, 1, "prj_1")
    (row,) = await dead_letters.letters(stage.units.database)
    letter = await dead_letters.letter(stage.units.database, row["id"])
    assert letter is not None
    came, kept = at(event(stage, 1, "prj_1"), 1), inbox.received(letter)
    assert (kept.topic, kept.partition, kept.offset, kept.key, kept.value) == (
        came.topic,
        came.partition,
        came.offset,
        came.key,
        came.value,
    )
    assert [name for name, _ in kept.headers] == [name for name, _ in came.headers]
    assert await dead_letters.letter(stage.units.database, 0) is None
