"""The oracle of tests/oracle sees what it is there to see: each kind of fault, made by hand, is named."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.drivers import open as open_database
from acme.drivers.clock import SystemClock
from acme.ports import Connection
from acme.runtime.migrations import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Server
from tests.oracle import verdict
from tests.oracle.plugin import CONSUMERS, HEAR, NAME, plugin


@pytest.fixture
async def database(postgres: Server) -> AsyncIterator[Connection]:
    """One in which an aggregate has two versions, and each consumer has heard both."""
    async with postgres.database() as name, Tasks("test", Metrics()) as tasks:
        pool = await open_database(postgres.url(name), size=1, tasks=tasks)
        await migrate(pool, NAME, plugin.package, SystemClock())
        async with pool.connection() as connection:
            await connection.execute("INSERT INTO aggregates VALUES ('prj_1', 'org_1', 2)")
            for consumer in CONSUMERS:
                for version in (1, 2):
                    await connection.execute(HEAR, consumer, "prj_1", version, f"evt_{version}")
            yield connection
        await pool.close()


async def faults(database: Connection, acknowledged: int = 2) -> list[str]:
    """The kinds of fault that are found."""
    found = await verdict.faults(database, verdict.Journal({"prj_1": acknowledged}))
    return sorted({fault.partition(":")[0] for fault in found})


async def test_there_is_no_fault_where_each_version_was_heard_once_in_order(database: Connection) -> None:
    assert await verdict.drained(database)
    assert await faults(database) == []


async def test_an_event_that_is_heard_again_is_twice_and_not_the_next_one(database: Connection) -> None:
    await database.execute(HEAR, "one", "prj_1", 2, "evt_2")
    assert await faults(database) == ["not the next one", "twice"]


async def test_an_event_that_overtakes_another_is_not_the_next_one(database: Connection) -> None:
    await database.execute("UPDATE aggregates SET version = 4")
    for consumer, versions in (("one", (4, 3)), ("many", (3, 4))):
        for version in versions:
            await database.execute(HEAR, consumer, "prj_1", version, f"evt_{version}")
    assert "not the next one" in await faults(database, acknowledged=4)


async def test_an_event_that_is_not_heard_is_lost(database: Connection) -> None:
    await database.execute("UPDATE aggregates SET version = 3")
    assert not await verdict.drained(database)
    assert await faults(database) == ["lost for many", "lost for one", *STANDS]


STANDS = ["many stands at 2 of prj_1, not 3", "one stands at 2 of prj_1, not 3"]


async def test_a_hole_is_a_loss_although_what_comes_after_was_heard(database: Connection) -> None:
    await database.execute("DELETE FROM effects WHERE consumer = 'one' AND version = 1")
    assert await faults(database) == ["lost for one"]


async def test_an_event_of_what_was_rolled_back_was_never_committed(database: Connection) -> None:
    await database.execute("UPDATE aggregates SET version = 1")
    found = await faults(database, acknowledged=1)
    assert any(fault.startswith("never committed") for fault in found)


async def test_a_commit_that_was_acknowledged_and_is_gone_is_named(database: Connection) -> None:
    assert await faults(database, acknowledged=3) == ["acknowledged and not there"]
