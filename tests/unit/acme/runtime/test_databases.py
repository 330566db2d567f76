"""Every plugin gets a database: ours, on the operator's server, or where a URL says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from acme.drivers import postgres as postgres_driver
from acme.errors import Unavailable
from acme.ports import Database
from acme.runtime.databases import CannotStart, serve
from acme.runtime.settings import DatabaseSettings
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Server


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks("test", Metrics()) as tasks:
        yield tasks


async def test_a_database_is_created_on_the_operators_server(postgres: Server, tmp_path: Path, tasks: Tasks) -> None:
    name = "made_by_test_databases"
    async with serve(DatabaseSettings(url=postgres.url("postgres")), tmp_path, tasks) as databases:
        assert not databases.embedded
        for _ in range(2):  # the second time it is there
            pool = await databases.open(name)
            async with pool.connection() as connection:
                assert await connection.fetchval("SELECT current_database()") == name
            await pool.close()


async def test_a_plugins_own_url_is_used_as_it_stands(postgres: Server, tmp_path: Path, tasks: Tasks) -> None:
    async with postgres.database() as name:
        settings = DatabaseSettings(url=postgres.url("postgres"), urls={"users": postgres.url(name)})
        async with serve(settings, tmp_path, tasks) as databases:
            pool = await databases.open("users")
            async with pool.connection() as connection:
                assert await connection.fetchval("SELECT current_database()") == name
            await pool.close()


async def test_the_data_folder_is_held_without_an_embedded_database_too(
    postgres: Server, tmp_path: Path, tasks: Tasks
) -> None:
    settings = DatabaseSettings(url=postgres.url("postgres"))
    async with serve(settings, tmp_path, tasks):
        with pytest.raises(CannotStart, match="in use by process"):
            async with serve(settings, tmp_path, tasks):
                pass


async def test_processes_that_are_one_of_several_share_the_folder_and_the_server(
    postgres: Server, tmp_path: Path, tasks: Tasks
) -> None:
    settings = DatabaseSettings(url=postgres.url("postgres"))
    async with serve(settings, tmp_path, tasks) as whole, serve(settings, tmp_path, tasks, alone=False) as part:
        assert whole.mode == part.mode == "external"
        assert part.url == postgres.url("")


async def test_the_embedded_server_has_room_for_the_sessions_asked_for(tmp_path: Path, tasks: Tasks) -> None:
    async with serve(DatabaseSettings(), tmp_path / "data", tasks, sessions=123) as databases:
        assert databases.mode == "embedded"
        pool = await postgres_driver.open(f"{databases.url.replace('/?', '/postgres?')}", tasks=tasks)
        async with pool.connection() as connection:
            assert await connection.fetchval("SHOW max_connections") == "123"
        await pool.close()


async def test_binaries_that_are_not_there_are_told(tmp_path: Path, tasks: Tasks) -> None:
    with pytest.raises(CannotStart, match="postgres"):
        async with serve(DatabaseSettings(binaries=str(tmp_path)), tmp_path / "data", tasks):
            pass


async def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path, tasks: Tasks) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="data folder"):
        async with serve(DatabaseSettings(), tmp_path / "file/data", tasks):
            pass


async def test_a_database_server_that_was_killed_comes_back_with_what_was_committed(
    tmp_path: Path, tasks: Tasks
) -> None:
    async with serve(DatabaseSettings(), tmp_path / "data", tasks) as databases:
        pool = await databases.open("users")
        async with pool.connection() as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
            former = await connection.fetchval("SELECT pg_postmaster_start_time()")
        server = int((tmp_path / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        async with asyncio.timeout(20):
            while (found := await _start_and_number(pool)) is None or found[0] == former:  # noqa: ASYNC110 - polls SQL
                await asyncio.sleep(0.01)
        assert found[1] == 42
        await pool.close()


async def _start_and_number(pool: Database) -> tuple[datetime, int] | None:
    """When the server was started that answers, and the number it kept; None while there is none."""
    try:
        async with pool.connection() as connection:
            row = await connection.fetchrow("SELECT pg_postmaster_start_time(), number FROM kept")
    except Unavailable:
        return None
    return None if row is None else (row[0], row[1])
