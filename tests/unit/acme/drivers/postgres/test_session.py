"""Statements that are ready take a shorter way, and what is wrong with them is found as on asyncpg's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.postgres.session import _KNOWN, Session
from acme.ports import SerializationFailure, UniqueViolation
from acme.tasks import Tasks
from acme.telemetry import Metrics


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server") / "data")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def database(server: EmbeddedPostgres) -> AsyncIterator[postgres.Pool]:
    async with Tasks("test", Metrics()) as tasks:
        opened = await postgres.open(server.url("postgres"), size=1, tasks=tasks)
        statements = opened.alone()
        await statements.execute("DROP TABLE IF EXISTS things, pairs; DROP TYPE IF EXISTS pair")
        await statements.execute("CREATE TABLE things (id int PRIMARY KEY, name text, labels jsonb)")
        await statements.execute("""INSERT INTO things VALUES (1, 'one', '{"a": 1}'), (2, 'two', NULL)""")
        yield opened
        await opened.close()


@pytest.fixture
def asyncpgs_way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that took it."""
    taken: list[str] = []
    inherited: Any = asyncpg.Connection

    async def execute(self: Any, sql: str, *rest: Any, **named: Any) -> Any:
        taken.append(sql)
        return await inherited._execute(self, sql, *rest, **named)

    monkeypatch.setattr(Session, "_execute", execute, raising=False)
    return taken


SQL = "SELECT id, name, labels FROM things WHERE id >= $1 ORDER BY id"


@pytest.mark.parametrize("borrowed", [True, False])
async def test_a_statement_is_prepared_once_and_says_the_same_ever_after(
    database: postgres.Pool, asyncpgs_way: list[str], borrowed: bool
) -> None:
    async def all_of(statements: Any) -> list[Any]:
        return [
            [dict(row) for row in await statements.fetch(SQL, 1)],
            await statements.fetch(SQL, 9),
            dict(await statements.fetchrow(SQL, 2)),
            await statements.fetchrow(SQL, 9),
            await statements.fetchval(SQL, 1),
            await statements.fetchval(SQL, 9),
        ]

    expected = [
        [{"id": 1, "name": "one", "labels": {"a": 1}}, {"id": 2, "name": "two", "labels": None}],
        *([], {"id": 2, "name": "two", "labels": None}, None, 1, None),
    ]
    for _ in range(2):
        if borrowed:
            async with database.connection() as connection:
                assert await all_of(connection) == expected
        else:
            statements = database.alone()
            assert await all_of(statements) == expected
    assert asyncpgs_way == [SQL]


async def test_errors_are_those_of_the_statement(database: postgres.Pool) -> None:
    insert = "INSERT INTO things (id) VALUES ($1) RETURNING id"
    assert await database.alone().fetchval(insert, 3) == 3
    for _ in range(2):
        with pytest.raises(UniqueViolation):
            await database.alone().fetchval(insert, 3)
        with pytest.raises(asyncpg.DataError):
            await database.alone().fetchval(insert, "three")
    assert await database.alone().fetchval(insert, 4) == 4


async def test_after_a_migration_a_statement_is_prepared_again(
    database: postgres.Pool, asyncpgs_way: list[str]
) -> None:
    sql = "SELECT * FROM things WHERE id = $1"
    for column in ("size", "weight"):
        assert column not in dict(await database.alone().fetchrow(sql, 1))
        await database.alone().execute(f"ALTER TABLE things ADD COLUMN {column} int")
        assert column in dict(await database.alone().fetchrow(sql, 1))
    assert asyncpgs_way == [sql] * 3


async def test_in_a_transaction_the_whole_of_it_is_worth_repeating(database: postgres.Pool) -> None:
    sql = "SELECT * FROM things WHERE id = $1"
    await database.alone().fetchrow(sql, 1)
    await database.alone().execute("ALTER TABLE things ADD COLUMN size int")
    async with database.connection() as connection:
        await connection.begin()
        with pytest.raises(SerializationFailure):
            await connection.fetchrow(sql, 1)
        await connection.rollback()
        await connection.begin()
        assert "size" in dict(await connection.fetchrow(sql, 1))
        await connection.rollback()


async def test_a_type_that_a_migration_has_changed_is_looked_up_again(database: postgres.Pool) -> None:
    sql = "SELECT pair FROM pairs"
    await database.alone().execute("CREATE TYPE pair AS (a int, b int); CREATE TABLE pairs (pair pair)")
    await database.alone().execute("INSERT INTO pairs VALUES (ROW(1, 2))")
    assert tuple(await database.alone().fetchval(sql)) == (1, 2)
    await database.alone().execute("ALTER TYPE pair DROP ATTRIBUTE b, ADD ATTRIBUTE b text, ADD ATTRIBUTE c text")
    with pytest.raises(SerializationFailure):
        await database.alone().fetchval(sql)
    assert tuple(await database.alone().fetchval(sql)) == (1, None, None)


async def test_a_statement_that_asyncpg_has_closed_is_prepared_again(
    database: postgres.Pool, asyncpgs_way: list[str]
) -> None:
    """It keeps a hundred, for five minutes each."""
    for _ in range(2):
        for number in range(_KNOWN + 20):
            assert await database.alone().fetchval(f"SELECT $1::int + {number}", 1) == number + 1
    (connection,) = database._all
    assert len(connection._ready) <= _KNOWN
    before = len(asyncpgs_way)
    assert await database.alone().fetchval(f"SELECT $1::int + {_KNOWN + 19}", 1) == _KNOWN + 20
    assert len(asyncpgs_way) == before


async def test_a_ready_statement_that_is_cancelled_ends_in_the_server(database: postgres.Pool) -> None:
    sql = "SELECT pg_sleep($1)"
    await database.alone().fetchval(sql, 0.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await database.alone().fetchval(sql, 60.0)
    async with asyncio.timeout(5):
        assert await database.alone().fetchval(SQL, 1) == 1


async def test_a_ready_statement_of_a_lost_connection_is_unavailable(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    try:
        async with Tasks("test", Metrics()) as tasks:
            pool = await postgres.open(server.url("postgres"), size=1, tasks=tasks)
            async with pool.connection() as connection:
                assert await connection.fetchval("SELECT $1::int", 1) == 1
                await server.stop()
                with pytest.raises(Exception, match="the connection to the database was lost"):
                    await connection.fetchval("SELECT $1::int", 1)
            await pool.close()
    finally:
        await server.stop()
