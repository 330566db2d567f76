"""Fresh databases of plugins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from acme_projects import plugin as projects_plugin

from acme.plugin import Plugin
from acme.testing.databases import FreshDatabase, fresh, migrated
from acme.testing.server import Server


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [projects_plugin]


async def test_a_fresh_database_has_the_plugins_tables_and_the_platforms(postgres: Server) -> None:
    async with migrated(postgres, projects_plugin) as name, postgres.connection(name) as connection:
        assert await connection.fetchval("SELECT count(*) FROM projects") == 0
        assert await connection.fetchval("SELECT count(*) FROM acme.outbox") == 0


async def test_two_fresh_databases_are_strangers(postgres: Server) -> None:
    async with fresh(postgres, projects_plugin) as one, fresh(postgres, projects_plugin) as other:
        await one.execute("CREATE TABLE mine ()")
        assert await other.fetchval("SELECT to_regclass('mine')") is None


async def test_every_statement_of_the_fixture_stands_alone(database: FreshDatabase) -> None:
    await database.execute("CREATE TABLE things (id integer)")
    await database.execute("INSERT INTO things VALUES ($1), ($2)", 1, 2)
    assert [row["id"] for row in await database.fetch("SELECT id FROM things ORDER BY id")] == [1, 2]
    row = await database.fetchrow("SELECT max(id) AS most FROM things")
    assert row is not None
    assert row["most"] == 2


async def test_a_transaction_of_ones_own_can_be_rolled_back(database: FreshDatabase) -> None:
    await database.execute("CREATE TABLE others (id integer)")
    async with database.connection() as connection:
        await connection.begin()
        await connection.execute("INSERT INTO others VALUES (1)")
        await connection.rollback()
    assert await database.fetchval("SELECT count(*) FROM others") == 0
