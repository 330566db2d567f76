"""Migrations are applied once, in order, whole or not at all; what does not fit is refused with advice."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from acme.drivers import postgres
from acme.drivers.clock import SystemClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.runtime import migrations
from acme.runtime.migrations import Applied, MigrationError, migrate, read
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.prepared import prepare

CLOCK = SystemClock()
NUMBERS = itertools.count(1)
FIRST, SECOND = "CREATE TABLE one (id int); CREATE INDEX one_id ON one (id);", "CREATE TABLE two (id int);"

Package = Callable[..., str]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("server") / "data"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def pools(server: EmbeddedPostgres) -> AsyncIterator[list[postgres.Pool]]:
    """Three pools on one fresh database, as three processes would have them."""
    name = f"fresh_{next(NUMBERS)}"
    await server.create_database(name)
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        opened = [await postgres.open(server.url(name), size=1, tasks=tasks) for _ in range(3)]
        for pool in opened:
            stack.push_async_callback(pool.close)
        yield opened


@pytest.fixture
def database(pools: list[postgres.Pool]) -> postgres.Pool:
    return pools[0]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes a package with these migrations, or replaces those it has, and returns its name."""
    name = f"migrated_{next(NUMBERS)}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**sources: str) -> str:
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
        for old in folder.iterdir():
            old.unlink()
        for file, sql in sources.items():
            (folder / f"{file.removeprefix('m')}.sql").write_text(sql)
        return name

    yield write
    sys.modules.pop(name, None)


async def value(database: postgres.Pool, sql: str) -> object:
    async with database.connection() as connection:
        return await connection.fetchval(sql)


async def test_a_fresh_database_gets_the_platforms_tables_and_then_the_plugins(
    database: postgres.Pool, package: Package
) -> None:
    name = package(m0001_first=FIRST, m0002_second=SECOND)
    platform = [migration.file for migration in read("acme")]
    done = await migrate(database, "test", name, CLOCK)
    assert done.current == 2
    assert list(done.applied) == [*platform, f"{name}/migrations/0001_first.sql", f"{name}/migrations/0002_second.sql"]
    assert str(done) == "2 (2 new)"
    assert await value(database, "SELECT to_regclass('public.one_id') IS NOT NULL")
    assert await value(database, "SELECT to_regclass('acme.outbox') IS NOT NULL")
    assert await value(database, "SELECT count(*) FROM acme.migrations WHERE plugin = 'acme'") == len(platform)


async def test_what_was_applied_is_not_applied_again_and_new_files_are(
    database: postgres.Pool, package: Package
) -> None:
    name = package(m0001_first=FIRST)
    await migrate(database, "test", name, CLOCK)
    again = await migrate(database, "test", name, CLOCK)
    assert again == Applied(1, (), 0)
    assert str(again) == "1"
    more = await migrate(database, "test", package(m0001_first=FIRST, m0002_second=SECOND), CLOCK)
    assert more == Applied(2, (f"{name}/migrations/0002_second.sql",), 1)


async def test_a_package_without_migrations_has_none(database: postgres.Pool) -> None:
    assert (await migrate(database, "test", "json", CLOCK)).current == 0


async def test_several_processes_that_start_at_once_apply_each_file_once(
    pools: list[postgres.Pool], package: Package
) -> None:
    name = package(m0001_first=FIRST, m0002_second=SECOND)
    done = await asyncio.gather(*(migrate(pool, "test", name, CLOCK) for pool in pools))
    assert sorted(len(each.applied) > 0 for each in done) == [False, False, True]
    assert {each.current for each in done} == {2}


async def test_a_file_that_fails_is_undone_whole_and_named_and_those_before_it_stay(
    database: postgres.Pool, package: Package
) -> None:
    name = package(m0001_first=FIRST, m0002_second=SECOND + " SELECT 1 / 0;")
    with pytest.raises(Exception, match="division by zero") as caught:
        await migrate(database, "test", name, CLOCK)
    assert f"{name}/migrations/0002_second.sql" in caught.value.__notes__[0]
    assert await value(database, "SELECT to_regclass('two') IS NULL")
    name = package(m0001_first=FIRST, m0002_second=SECOND)
    assert (await migrate(database, "test", name, CLOCK)).applied == (f"{name}/migrations/0002_second.sql",)


async def test_after_a_failure_the_lock_is_free_for_the_next(pools: list[postgres.Pool], package: Package) -> None:
    name = package(m0001_first="SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(pools[0], "test", name, CLOCK)
    name = package(m0001_first=FIRST)
    assert (await migrate(pools[1], "test", name, CLOCK, limit=5)).current == 1


async def test_after_a_cancellation_the_lock_is_free_and_nothing_half_done(
    pools: list[postgres.Pool], package: Package
) -> None:
    name = package(m0001_first=FIRST + " SELECT pg_sleep(1001);")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(migrate(pools[0], "test", name, CLOCK), 0.2)
    name = package(m0001_first=FIRST)
    assert (await migrate(pools[1], "test", name, CLOCK, limit=5)).current == 1


async def test_a_process_that_migrates_for_ever_is_not_waited_for_without_end(
    pools: list[postgres.Pool], package: Package
) -> None:
    async with pools[0].connection() as connection:
        await connection.fetchval("SELECT pg_advisory_lock($1)", migrations._LOCK)
        with pytest.raises(MigrationError, match="another process has been migrating"):
            await migrate(pools[1], "test", package(m0001_first=FIRST), CLOCK, limit=0.05)
        await connection.fetchval("SELECT pg_advisory_unlock($1)", migrations._LOCK)


async def test_a_file_that_changed_after_it_was_applied_is_refused(database: postgres.Pool, package: Package) -> None:
    await migrate(database, "test", package(m0001_first=FIRST), CLOCK)
    with pytest.raises(MigrationError, match=r"0001_first.sql changed .* put the change into 0002_name.sql"):
        await migrate(database, "test", package(m0001_first=FIRST + " --"), CLOCK)


async def test_line_ends_of_another_system_are_no_change(database: postgres.Pool, package: Package) -> None:
    await migrate(database, "test", package(m0001_first=FIRST + "\n"), CLOCK)
    assert (await migrate(database, "test", package(m0001_first=FIRST + "\r\n"), CLOCK)).applied == ()


async def test_a_database_newer_than_the_code_is_refused(database: postgres.Pool, package: Package) -> None:
    await migrate(database, "test", package(m0001_first=FIRST, m0002_second=SECOND), CLOCK)
    with pytest.raises(MigrationError, match="newer than this version: it has 0002_second, the code ends at 0001"):
        await migrate(database, "test", package(m0001_first=FIRST), CLOCK)


def test_a_gap_in_the_numbers_is_refused(package: Package) -> None:
    with pytest.raises(MigrationError, match=r"0003_third.sql: there is no 0002"):
        read(package(m0001_first=FIRST, m0003_third=SECOND))


def test_a_number_given_twice_is_refused_with_both_names(package: Package) -> None:
    with pytest.raises(MigrationError, match=r"0001_other.sql: there is .*0001_first.sql too"):
        read(package(m0001_first=FIRST, m0001_other=SECOND))


@pytest.mark.parametrize("file", ["first", "1_first", "0001-first", "0001_First"])
def test_a_file_that_is_not_named_like_a_migration_is_refused(package: Package, file: str) -> None:
    with pytest.raises(MigrationError, match=f"{file}.sql: rename it"):
        read(package(**{file: FIRST}))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE one (id int); COMMIT; SELECT 1 / 0",
        "begin; CREATE TABLE one (id int); end",
        "-- first\nROLLBACK;",
        "SELECT ';'; /* ; */ Start  Transaction",
    ],
)
def test_a_statement_that_would_leave_half_of_a_file_done_is_refused(package: Package, sql: str) -> None:
    with pytest.raises(MigrationError, match=r"0001_first.sql: remove (COMMIT|BEGIN|ROLLBACK|START  TRANSACTION): "):
        read(package(m0001_first=sql))


@pytest.mark.parametrize(
    "sql",
    [
        "-- COMMIT;\n/* ; ROLLBACK; */ SELECT '; COMMIT;', 'it''s; ABORT'",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN; COMMIT; END $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
        "SAVEPOINT a; ROLLBACK TO a; CREATE TABLE committed (id int); COMMENT ON TABLE committed IS 'x'",
    ],
)
def test_what_ends_no_transaction_is_allowed(package: Package, sql: str) -> None:
    assert [migration.sql for migration in read(package(m0001_first=sql))] == [sql]
