"""How a database comes to have the log's tables."""

from __future__ import annotations

import asyncio

import pytest

from acme.drivers import postgres
from acme.drivers.log.schema import MIGRATIONS, migrate
from acme.ports import Topic
from acme.tasks import Tasks
from tests.contract.bus.rigs import record
from tests.unit.acme.drivers.log.conftest import Open, ask


async def test_several_processes_may_start_at_once_on_a_database_that_is_not_there(opened: Open) -> None:
    await asyncio.gather(*(opened(connections=1).committed("group") for _ in range(5)))


async def test_migrating_again_does_nothing(database: postgres.Pool) -> None:
    await migrate(database)
    assert await ask(database, "SELECT max(number) FROM migrations") == len(MIGRATIONS)


async def test_a_database_of_a_newer_release_is_refused(database: postgres.Pool) -> None:
    await ask(database, "INSERT INTO migrations VALUES ($1)", len(MIGRATIONS) + 1)
    with pytest.raises(RuntimeError, match="run the newer release"):
        await migrate(database)


async def test_a_migration_that_fails_leaves_nothing_and_no_lock(
    url: str, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await postgres.ensure_database(url)
    pool = await postgres.open(url, size=2, tasks=tasks)
    with monkeypatch.context() as patch:
        patch.setattr("acme.drivers.log.schema.MIGRATIONS", ("CREATE TABLE half (id int); SELECT 1 / 0",))
        with pytest.raises(Exception, match="division by zero"):
            await migrate(pool)
    assert await ask(pool, "SELECT to_regclass('half')") is None
    await migrate(pool)
    assert await ask(pool, "SELECT count(*) FROM migrations") == len(MIGRATIONS)
    await pool.close()


async def test_what_is_written_all_the_time_is_updated_in_place(opened: Open, database: postgres.Pool) -> None:
    """Positions of appends and groups are rows that never move: so neither tables nor indexes grow with the traffic."""
    bus = opened()
    await bus.declare([Topic("t", partitions=2)])
    for _ in range(300):
        await bus.append("users", [record("t", b"a"), record("t", b"b"), record("t", b"c")])
    pages = await ask(database, "SELECT pg_relation_size('partitions') / 8192")
    index = await ask(database, "SELECT pg_relation_size('partitions_pkey') / 8192")
    assert pages <= 4
    assert index <= 2
