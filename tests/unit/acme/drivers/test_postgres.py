"""What is particular to this driver: its slots, its connections' ends, its addresses. The port's own promises are in
tests/contract/test_database.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from acme.context import ANONYMOUS, Call
from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.errors import Unavailable
from acme.ports import SerializationFailure, UniqueViolation
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import SQL, WAIT, Span, Trace, Tracer
from tests.prepared import prepare
from tests.waiting import BUSY


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("server") / "data"))
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def pool(server: EmbeddedPostgres, size: int = 1) -> AsyncIterator[postgres.Pool]:
    async with Tasks("test", Metrics()) as tasks:
        opened = await postgres.open(server.url("postgres"), size=size, tasks=tasks)
        yield opened
        await opened.close()


async def pid(database: postgres.Pool) -> int:
    async with database.connection() as connection:
        answer: int = await connection.fetchval("SELECT pg_backend_pid()")
        return answer


async def test_connections_are_opened_when_they_are_needed_and_not_before(server: EmbeddedPostgres) -> None:
    async with pool(server, 4) as database:
        assert database._all == set()
        await pid(database)
        await pid(database)
        assert len(database._all) == 1
        async with database.connection(), database.connection():
            assert len(database._all) == 2


async def test_a_process_that_stands_still_in_a_transaction_keeps_its_locks_for_a_minute(
    server: EmbeddedPostgres,
) -> None:
    """A server of the operators' has no such limit of its own."""
    async with pool(server) as database, database.connection() as connection:
        asked = (
            "SELECT reset_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout' AND source = 'client'"
        )
        assert await connection.fetchval(asked) == "60000"


async def test_a_waiter_cancelled_at_the_moment_of_handing_over_loses_no_connection(server: EmbeddedPostgres) -> None:
    async with pool(server) as database, asyncio.TaskGroup() as group:
        async with database.connection() as connection:
            first = await connection.fetchval("SELECT pg_backend_pid()")
            waiting = group.create_task(pid(database))
            await asyncio.sleep(0)
        waiting.cancel()  # it holds the connection by now and has not run yet
        assert await pid(database) == first
        assert waiting.cancelled()


async def test_a_connection_that_comes_back_just_after_the_waiter_was_cancelled_is_not_lost(
    server: EmbeddedPostgres,
) -> None:
    async with pool(server) as database, asyncio.TaskGroup() as group:
        async with database.connection() as connection:
            first = await connection.fetchval("SELECT pg_backend_pid()")
            waiting = group.create_task(pid(database))
            await asyncio.sleep(0)
            waiting.cancel()  # and has not run yet when the connection is given back
        assert await pid(database) == first
        await asyncio.wait([waiting])
        assert waiting.cancelled()


async def test_waiters_who_gave_up_are_forgotten(server: EmbeddedPostgres) -> None:
    async with pool(server) as database, database.connection():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pid(database), 0.001)
        assert not database._waiters


async def test_a_user_cancelled_while_the_connection_opens_gives_its_slot_on(server: EmbeddedPostgres) -> None:
    async with pool(server) as database, asyncio.TaskGroup() as group:
        opening, waiting = group.create_task(pid(database)), group.create_task(pid(database))
        await asyncio.sleep(0)
        opening.cancel()
        assert await waiting
        assert opening.cancelled()


async def test_a_waiter_gets_the_slot_of_a_connection_that_died(server: EmbeddedPostgres) -> None:
    async with pool(server) as database, asyncio.TaskGroup() as group:
        async with database.connection() as connection:
            waiting = group.create_task(pid(database))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert await waiting


async def test_all_who_wait_learn_that_the_server_cannot_be_reached(tmp_path: Path) -> None:
    async with Tasks("test", Metrics()) as tasks:
        database = await postgres.open(f"postgresql://acme@/users?host={tmp_path}", size=1, tasks=tasks)
        ends = await asyncio.gather(*(pid(database) for _ in range(5)), return_exceptions=True)
        assert [type(end) for end in ends] == [Unavailable] * 5
        assert database._taken == 0
        await database.close()


async def test_after_a_restart_of_the_server_the_pool_goes_on(tmp_path: Path) -> None:
    server = EmbeddedPostgres(prepare(tmp_path / "data"))
    await server.start()
    try:
        async with pool(server, 2) as database:
            before = await pid(database)
            await server.stop()
            with pytest.raises(Unavailable):
                await pid(database)
            await server.start()
            assert await pid(database) != before
    finally:
        await server.stop()


async def test_a_server_with_too_many_connections_is_unavailable(server: EmbeddedPostgres) -> None:
    async with pool(server, 200) as database, AsyncExitStack() as lent:
        most = await setting(database, "max_connections")
        while len(database._all) < most:
            await lent.enter_async_context(database.connection())
        with pytest.raises(Unavailable):
            await pid(database)


async def setting(database: postgres.Pool, name: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT current_setting($1)", name))


async def test_a_statement_whose_plan_a_migration_made_stale_is_worth_repeating(server: EmbeddedPostgres) -> None:
    async with pool(server, 2) as database, database.connection() as user:
        await user.execute("CREATE TABLE changing AS SELECT 1 AS id")
        assert await user.fetchrow("SELECT * FROM changing")
        async with database.connection() as migration:
            await migration.execute("ALTER TABLE changing ADD COLUMN name text")
        await user.begin()
        with pytest.raises(SerializationFailure):
            await user.fetchrow("SELECT * FROM changing")
        await user.rollback()
        assert await user.fetchrow("SELECT * FROM changing")


async def test_a_second_statement_at_the_same_time_makes_nobody_else_suffer(server: EmbeddedPostgres) -> None:
    async with pool(server) as database, asyncio.TaskGroup() as group:
        async with database.connection() as connection:
            slow = group.create_task(connection.fetchval("SELECT pg_sleep(1001)"))
            await asyncio.sleep(0)
            with pytest.raises(Exception, match="another operation is in progress"):
                await connection.fetchval("SELECT 1")
            slow.cancel()
        assert await pid(database)


async def test_closing_ends_what_does_not_end_by_itself(server: EmbeddedPostgres) -> None:
    async with pool(server) as database:
        began = time.monotonic()
        async with database.connection() as connection:
            await connection.fetchval("SELECT 1")
            await database.close(limit=0.05)
            with pytest.raises(Unavailable):
                await connection.fetchval("SELECT 1")
        assert time.monotonic() - began < BUSY


async def test_a_database_is_created_once_however_many_want_it(server: EmbeddedPostgres) -> None:
    await asyncio.gather(*(server.create_database("wanted") for _ in range(4)))


@pytest.mark.parametrize("name", ['x"; DROP DATABASE users; --', "Users", "", "1st", "x" * 64])
async def test_a_database_name_that_would_need_quoting_is_refused(server: EmbeddedPostgres, name: str) -> None:
    with pytest.raises(ValueError, match="database name"):
        await postgres.create_database(server.url("postgres"), name)


def traced() -> Call:
    """A call that records its steps."""
    return Call("a.B/C", ANONYMOUS, "r-1", 0.0, trace=Trace("r-1", Tracer()), span=1)


def steps(call: Call) -> list[tuple[int, str, str, str]]:
    """(parent, kind, statement, outcome) of what a call recorded."""
    assert call.trace is not None
    return [(span.parent, span.kind, span.name, span.outcome) for span in (Span(*each) for each in call.trace.spans)]


async def test_statements_are_steps_of_the_call_that_sent_them(server: EmbeddedPostgres) -> None:
    async with pool(server) as database:
        call = traced()
        async with database.connection(call) as connection:
            await connection.begin()
            await connection.fetchval("SELECT $1::int", 7)
            with pytest.raises(UniqueViolation):
                await connection.execute("DO $$ BEGIN RAISE unique_violation; END $$")
            await connection.rollback()
        assert steps(call) == [
            (1, WAIT, "", ""),  # the connection had to be opened
            (1, SQL, "BEGIN", ""),
            (1, SQL, "SELECT $1::int", ""),
            (1, SQL, "DO $$ BEGIN RAISE unique_violation; END $$", "23505"),
            (1, SQL, "ROLLBACK", ""),
        ]


async def test_a_statement_that_was_cancelled_is_a_step_too(server: EmbeddedPostgres) -> None:
    async with pool(server) as database:
        call = traced()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), database.connection(call) as connection:
                await connection.execute("SELECT pg_sleep(60)")
        assert steps(call)[-1] == (1, SQL, "SELECT pg_sleep(60)", "cancelled")


async def test_whoever_waits_for_a_connection_is_counted_and_sees_it_in_the_trace(server: EmbeddedPostgres) -> None:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks:
        database = await postgres.open(server.url("postgres"), size=1, tasks=tasks, metrics=metrics)
        call = traced()

        async def ask() -> None:
            async with database.connection(call) as connection:
                await connection.execute("SELECT 1")

        held = asyncio.Event()

        async def hold() -> str:
            async with database.connection():
                held.set()
                await asyncio.sleep(0)  # the other one's turn: it finds nothing free
                return metrics.render().decode()

        async def wait() -> None:
            await held.wait()
            await ask()

        seen, _ = await asyncio.gather(hold(), wait())
        assert 'pending_requests{db_client_connection_pool_name="postgres"} 1.0' in seen
        assert [step[1] for step in steps(call)] == [WAIT, SQL]
        shown = metrics.render().decode()
        assert 'db_client_connection_wait_time_seconds_count{db_client_connection_pool_name="postgres"} 1.0' in shown
        assert 'db_client_connection_create_time_seconds_count{db_client_connection_pool_name="postgres"} 1.0' in shown
        await database.close()
