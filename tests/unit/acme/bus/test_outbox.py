"""How the outbox stays small: partitions of ids that are made ahead of time and dropped when they are past."""

from __future__ import annotations

import asyncio

import pytest

from acme.bus import outbox
from acme.contract import Work
from acme.contracts.projects.v1 import ProjectCreated
from acme.ports import Connection
from acme.work.unit import Scope, Unit
from tests.services import Stage


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RANGE", 10)


async def announce(stage: Stage, number: int) -> None:
    unit: Unit = Scope(stage.units.service, Work.MANUAL).open()
    for each in range(number):
        unit.announce(ProjectCreated(project_id=f"prj_{each}"))
    await unit.finish()


async def partitions(stage: Stage) -> set[str]:
    rows = await stage.sql(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'acme.outbox'::regclass"
    )
    return {row[0] for row in rows}


async def last_range(stage: Stage) -> int:
    return int(await stage.value("SELECT last_value FROM acme.outbox_id_seq")) // outbox.RANGE


async def drain(stage: Stage) -> list[str]:
    keys: list[str] = []
    while rows := await outbox.oldest(stage.units.database, 7):
        keys += [row["key"] for row in rows]
        await outbox.sent(stage.units.database, [row["id"] for row in rows])
    return keys


async def test_the_next_ranges_are_made_ahead_of_time(stage: Stage) -> None:
    await announce(stage, 1)
    await outbox.roll(stage.pool)
    now = await last_range(stage)
    assert {f"outbox_p{now + 1}", f"outbox_p{now + 2}"} <= await partitions(stage)


async def test_events_keep_their_order_across_ranges(stage: Stage) -> None:
    for _ in range(3):
        await outbox.roll(stage.pool)
        await announce(stage, 13)
    assert await drain(stage) == [f":prj_{number}" for number in range(13)] * 3


async def test_a_range_goes_once_its_events_are_sent_and_not_before(stage: Stage) -> None:
    await announce(stage, 1)
    await outbox.roll(stage.pool)
    first = await last_range(stage) + 1
    await announce(stage, 30)
    await outbox.roll(stage.pool)
    assert f"outbox_p{first}" in await partitions(stage)
    sent = await drain(stage)
    assert len(sent) == 31
    await outbox.roll(stage.pool)
    names = await partitions(stage)
    now = await last_range(stage)
    assert names <= {"outbox_rest", *(f"outbox_p{number}" for number in (now, now + 1, now + 2))}


async def test_a_range_that_somebody_writes_to_stays_and_nobody_waits_for_long(stage: Stage) -> None:
    await announce(stage, 1)
    await outbox.roll(stage.pool)
    first = await last_range(stage) + 1
    await announce(stage, 10)
    async with stage.pool.connection() as late:
        await late.begin()
        await insert(late)
        await announce(stage, 20)
        await drain(stage)
        async with asyncio.timeout(10):
            await outbox.roll(stage.pool)
        assert f"outbox_p{first}" in await partitions(stage)
        await late.commit()
    assert await drain(stage) == [":late"]
    await outbox.roll(stage.pool)
    assert f"outbox_p{first}" not in await partitions(stage)


async def insert(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO acme.outbox (event_id, topic, key, type, payload, headers, created_at)"
        " VALUES ('evt_late', 't', ':late', 'x.Y', '', '{}', '2026-01-01T00:00:00Z')"
    )


async def test_what_no_range_was_made_for_is_kept_and_its_room_given_back(stage: Stage) -> None:
    await announce(stage, 100)  # far beyond what was made
    assert await stage.value("SELECT count(*) FROM acme.outbox_rest") > 50
    assert len(await drain(stage)) == 100
    await outbox.roll(stage.pool)
    assert await stage.value("SELECT pg_relation_size('acme.outbox_rest')") == 0


async def test_dead_rows_do_not_pile_up_while_an_old_snapshot_is_held(stage: Stage) -> None:
    async with stage.pool.connection() as old:
        await old.begin()
        await old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await old.fetchval("SELECT count(*) FROM things")  # the snapshot of somebody else's long report
        for _ in range(10):
            await announce(stage, 50)
            await drain(stage)
            await outbox.roll(stage.pool)
        assert len(await partitions(stage)) <= 4
        await old.rollback()


async def test_what_waits_is_counted_with_its_age(stage: Stage) -> None:
    assert tuple(await outbox.waiting(stage.units.database)) == (0, None)
    before = stage.clock.now()
    await announce(stage, 3)
    rows, oldest = await outbox.waiting(stage.units.database)
    assert rows == 3
    assert before <= oldest <= stage.clock.now()
