"""What every driver behind `ports.Database` promises. Each case gets databases that nobody else uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acme import drivers
from acme.drivers.embedded import EmbeddedPostgres
from acme.errors import Unavailable
from acme.ports import Database, SerializationFailure, UniqueViolation
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.prepared import prepare

Opener = Callable[..., Awaitable[Database]]


@pytest.fixture(scope="module", params=["postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One empty database a driver."""
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("database") / "data"))
    await server.start()
    await server.create_database("port")
    yield server.url("port")
    await server.stop()


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opener]:
    """Opens pools on the same database and closes them after the test."""
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:

        async def open_one(size: int = 2) -> Database:
            database: Database = await drivers.open(url, size=size, tasks=tasks)
            stack.push_async_callback(database.close)
            return database

        yield open_one


async def run(database: Database, sql: str, *args: Any) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(sql, *args)


async def until(true: Callable[[], Awaitable[bool]], limit: float = 5.0) -> None:
    deadline = time.monotonic() + limit
    while not await true():
        assert time.monotonic() < deadline, "it did not come true in time"


async def test_rows_are_read_by_position_by_name_and_in_order(opened: Opener) -> None:
    async with (await opened()).connection() as connection:
        row = await connection.fetchrow("SELECT 1 AS one, $1::text AS two", "zwei")
        assert row is not None
        assert (row[0], row["two"], list(row), len(row)) == (1, "zwei", [1, "zwei"], 2)
        assert [r[0] for r in await connection.fetch("SELECT generate_series(1, 3)")] == [1, 2, 3]
        assert await connection.fetchrow("SELECT 1 WHERE false") is None
        assert await connection.fetchval("SELECT 1 WHERE false") is None
        assert await connection.execute("SELECT 1") == "SELECT 1"


async def test_a_statement_alone_takes_a_connection_for_as_long_as_it_runs(opened: Opener) -> None:
    database = await opened(size=1)
    row = await database.alone().fetchrow("SELECT 1 AS one, $1::text AS two", "zwei")
    assert row is not None
    assert list(row) == [1, "zwei"]
    assert [r[0] for r in await database.alone().fetch("SELECT generate_series(1, 3)")] == [1, 2, 3]
    assert await database.alone().fetchval("SELECT $1::int", 4) == 4
    assert await database.alone().execute("SELECT 1") == "SELECT 1"
    async with database.connection():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.alone().fetchval("SELECT 5")
    assert await database.alone().fetchval("SELECT 5") == 5


async def test_a_statement_alone_that_fails_gives_its_connection_back(opened: Opener) -> None:
    database = await opened(size=1)
    await database.alone().execute("CREATE TABLE only_once (id int CONSTRAINT only_one UNIQUE)")
    await database.alone().execute("INSERT INTO only_once VALUES (1)")
    with pytest.raises(UniqueViolation) as caught:
        await database.alone().execute("INSERT INTO only_once VALUES (1)")
    assert caught.value.constraint == "only_one"
    assert await database.alone().fetchval("SELECT count(*) FROM only_once") == 1


async def test_what_a_statement_alone_leaves_behind_is_cleaned_before_the_next(opened: Opener) -> None:
    database = await opened(size=1)
    await database.alone().execute("BEGIN")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await database.alone().fetchval("SELECT 1 FROM pg_sleep(60)")
    times = [await database.alone().fetchval("SELECT now()") for _ in range(2)]
    assert times[0] != times[1], "they are in one transaction"


async def test_a_name_without_a_schema_means_public_whoever_the_user_is(opened: Opener) -> None:
    async with (await opened()).connection() as connection:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS acme; CREATE TABLE nameless (id int)")
        assert await connection.fetchval("SELECT 'public.nameless'::regclass = 'nameless'::regclass")


async def test_times_are_aware_and_in_utc_and_keep_their_microseconds(opened: Opener) -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    answer = await run(await opened(), "SELECT $1::timestamptz", at)
    assert answer == at
    assert answer.utcoffset() == at.utcoffset()


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, {"ä": "\U0001f600"}]}, [], "text", 7, True, {}])
async def test_jsonb_is_pythons_own_both_ways(opened: Opener, value: object) -> None:
    database = await opened()
    assert await run(database, "SELECT $1::jsonb", value) == value


async def test_what_is_committed_is_seen_by_others_and_what_is_rolled_back_is_not(opened: Opener) -> None:
    database = await opened()
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE committed (id int)")
        for number, end in ((1, connection.commit), (2, connection.rollback)):
            await connection.begin()
            await connection.execute("INSERT INTO committed VALUES ($1)", number)
            assert await run(database, "SELECT count(*) FROM committed WHERE id = $1", number) == 0
            await end()
    assert await run(database, "SELECT array_agg(id) FROM committed") == [1]


async def test_a_broken_unique_constraint_is_named_and_spoils_nothing_outside_a_transaction(opened: Opener) -> None:
    async with (await opened()).connection() as connection:
        await connection.execute("CREATE TABLE people (email text CONSTRAINT people_email UNIQUE)")
        await connection.execute("INSERT INTO people VALUES ($1)", "ada@example.com")
        with pytest.raises(UniqueViolation) as caught:
            await connection.execute("INSERT INTO people VALUES ($1)", "ada@example.com")
        assert caught.value.constraint == "people_email"
        assert "ada" not in str(caught.value)
        assert await connection.fetchval("SELECT count(*) FROM people") == 1


async def test_transactions_that_cannot_be_put_in_an_order_are_a_serialization_failure(opened: Opener) -> None:
    database = await opened()
    await run(database, "CREATE TABLE counters AS SELECT 1 AS id, 0 AS n")
    async with database.connection() as one, database.connection() as two:
        for connection in (one, two):
            await connection.begin()
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await connection.fetchval("SELECT n FROM counters")
        await one.execute("UPDATE counters SET n = n + 1")
        await one.commit()
        with pytest.raises(SerializationFailure):
            await two.execute("UPDATE counters SET n = n + 1")


async def test_a_deadlock_is_a_serialization_failure(opened: Opener) -> None:
    database = await opened()
    await run(database, "CREATE TABLE pair AS SELECT generate_series(1, 2) AS id, 0 AS n")
    async with database.connection() as one, database.connection() as two:
        for connection, row in ((one, 1), (two, 2)):
            await connection.begin()
            await connection.execute("SET LOCAL deadlock_timeout = '10ms'")
            await connection.execute("UPDATE pair SET n = 1 WHERE id = $1", row)
        both = (
            connection.execute("UPDATE pair SET n = 1 WHERE id = $1", row) for connection, row in ((one, 2), (two, 1))
        )
        ends = await asyncio.gather(*both, return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["SerializationFailure", "str"]


async def test_a_commit_that_could_not_be_is_never_reported_as_one(opened: Opener) -> None:
    async with (await opened()).connection() as connection:
        await connection.begin()
        with pytest.raises(Exception, match="division by zero"):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(RuntimeError, match="rolled it back"):
            await connection.commit()


async def test_an_error_of_the_callers_own_passes_as_it_is_and_the_connection_stays_good(opened: Opener) -> None:
    database = await opened(1)
    before = await run(database, "SELECT pg_backend_pid()")
    with pytest.raises(Exception, match="does not exist") as caught:
        await run(database, "SELECT * FROM no_such_table")
    assert not isinstance(caught.value, Unavailable)
    assert await run(database, "SELECT pg_backend_pid()") == before


async def test_cancelling_the_task_cancels_the_statement_in_the_server(opened: Opener) -> None:
    database, observer = await opened(1), await opened(1)
    sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(1001)%' AND state = 'active'"

    async def active() -> bool:
        return bool(await run(observer, sql))

    async def gone() -> bool:
        return not await active()

    async with asyncio.TaskGroup() as group:
        asleep = group.create_task(run(database, "SELECT pg_sleep(1001)"))
        await until(active)
        asleep.cancel()
        await until(gone)
    assert await run(database, "SELECT 1") == 1


async def test_a_connection_given_back_inside_a_transaction_is_clean_for_the_next_user(opened: Opener) -> None:
    database = await opened(1)
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE leftovers (id int)")
        await connection.begin()
        await connection.execute("INSERT INTO leftovers VALUES (1)")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM leftovers") == 0
        at = await connection.fetchval("SELECT now()")
        assert await connection.fetchval("SELECT now()") > at, "now() stands still inside a transaction"


async def test_giving_a_dirty_connection_back_does_not_wait_for_its_cleaning(opened: Opener) -> None:
    """Leaving the block is one step of the event loop: nothing that waits for the server fits into it."""
    database = await opened(1)
    lent = database.connection()
    connection = await lent.__aenter__()
    await connection.begin()
    leaving = lent.__aexit__(None, None, None)
    with pytest.raises(StopIteration):
        leaving.__await__().__next__()
    assert await run(database, "SELECT 1") == 1


async def test_locks_of_the_session_end_with_a_user_who_was_cancelled(opened: Opener) -> None:
    database, other = await opened(1), await opened(1)

    async def lock_and_wait() -> None:
        async with database.connection() as connection:
            await connection.fetchval("SELECT pg_advisory_lock(42)")
            await connection.fetchval("SELECT pg_sleep(1001)")

    async def locked() -> bool:
        return bool(await run(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42"))

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(lock_and_wait())
        await until(locked)
        waiting.cancel()

    async def free() -> bool:
        return not await locked()

    await until(free)


async def test_more_users_than_connections_wait_their_turn_in_order(opened: Opener) -> None:
    database = await opened(1)
    served: list[int] = []

    async def user(number: int) -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            served.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(user(number))
    assert served == list(range(20))


async def test_the_connection_used_last_is_lent_first(opened: Opener) -> None:
    database = await opened(2)
    async with database.connection(), database.connection() as last:
        pid = await last.fetchval("SELECT pg_backend_pid()")
    # `last` was given back first, so the other one is on top; using it keeps it there.
    top = await run(database, "SELECT pg_backend_pid()")
    assert top != pid
    assert [await run(database, "SELECT pg_backend_pid()") for _ in range(3)] == [top] * 3


async def test_a_connection_that_the_server_ended_is_replaced(opened: Opener) -> None:
    database, observer = await opened(1), await opened(1)
    pid = await run(database, "SELECT pg_backend_pid()")
    assert await run(observer, "SELECT pg_terminate_backend($1, 5000)", pid)
    with pytest.raises(Unavailable) as caught:  # in use at that moment, as far as it knows
        await run(observer, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert caught.value.retry_after
    assert await run(observer, "SELECT 1") == 1
    assert await run(database, "SELECT pg_backend_pid()") != pid


async def test_a_connection_is_of_no_use_once_it_was_given_back(opened: Opener) -> None:
    async with (await opened()).connection() as connection:
        pass
    for statement in (connection.fetch, connection.fetchrow, connection.fetchval, connection.execute):
        with pytest.raises(RuntimeError, match="given back"):
            await statement("SELECT 1")


async def test_a_closed_database_is_unavailable_and_closing_it_again_is_harmless(opened: Opener) -> None:
    database = await opened()
    assert await run(database, "SELECT 1") == 1
    await database.close()
    with pytest.raises(Unavailable):
        await run(database, "SELECT 1")
    await database.close()


async def test_closing_waits_for_those_who_are_at_it_and_sends_away_those_in_line(opened: Opener) -> None:
    database = await opened(1)
    async with asyncio.TaskGroup() as group:
        async with database.connection() as connection:
            in_line = group.create_task(until_unavailable(database))
            closing = group.create_task(database.close())
            await in_line
            assert not closing.done()
            assert await connection.fetchval("SELECT 1") == 1
        await closing


async def until_unavailable(database: Database) -> None:
    with pytest.raises(Unavailable):
        await run(database, "SELECT 1")


async def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with Tasks("test", Metrics()) as tasks:
        database: Database = await drivers.open(f"postgresql://acme@/users?host={tmp_path}", tasks=tasks)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await run(database, "SELECT 1")
        await database.close()
