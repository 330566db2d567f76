"""Visits: to a platform that runs, to one that does not, and to what is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acme.drivers.embedded import EmbeddedPostgres
from acme.runtime.assembly import assemble
from acme.runtime.migrations import read
from acme.runtime.visiting import CannotVisit, visit
from tests.visited import settings


@pytest.fixture(scope="module")
async def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a platform that has run, and was visited meanwhile."""
    folder = tmp_path_factory.mktemp("visited") / "data"
    config = settings(folder)
    async with assemble(config), visit(config) as house:
        assert house.running
        users = await house.plugin("users")
        assert await users.database.fetchval("SELECT count(*) FROM acme.inbox") == 0
        assert house.bus() is not None
    return folder


async def test_a_visit_starts_postgresql_where_nobody_runs_it_and_stops_it_again(data: Path) -> None:
    async with visit(settings(data)) as house:
        assert not house.running
        projects = await house.plugin("projects")
        assert projects is await house.plugin("projects")
        assert projects.resources.name == "projects"
        assert await projects.resources.database.fetchval("SELECT 1") == 1
    server = EmbeddedPostgres(data)
    await server.start()  # the folder is nobody's
    await server.stop()


async def test_a_plugin_has_its_settings_and_its_archive(data: Path) -> None:
    config = settings(data, plugins={"users": {}})
    async with visit(config) as house:
        users = await house.plugin("users")
        assert isinstance(users.resources.settings, users.plugin.settings)
        await users.resources.archive.create("tests/one", b"1")
        assert await users.resources.archive.get("tests/one") == b"1"


async def test_a_plugin_that_is_not_there_is_told_with_those_that_are(data: Path) -> None:
    async with visit(settings(data)) as house:
        with pytest.raises(CannotVisit, match="there is no plugin userz; there are: audit, projects, users"):
            await house.plugin("userz")


async def test_a_database_of_another_version_is_refused(data: Path) -> None:
    changes = {
        "older": "DELETE FROM acme.migrations WHERE plugin = 'acme' AND number = $1",
        "newer": "INSERT INTO acme.migrations SELECT plugin, 999, name, checksum, applied_at FROM acme.migrations"
        " WHERE plugin = 'acme' AND number <> $1 ORDER BY number LIMIT 1",
    }
    for how, sql in changes.items():
        async with visit(settings(data)) as house:
            database = (await house.plugin("projects")).database
            before = await database.fetch("SELECT * FROM acme.migrations WHERE plugin = 'acme'")
            await database.execute(sql, len(read("acme")))
        async with visit(settings(data)) as house:
            with pytest.raises(CannotVisit, match=f"the database of projects is {how} than this version"):
                await house.plugin("projects")
            users = (await house.plugin("users")).units.service.pool
            assert users is not None
        await _restore(data, [tuple(row) for row in before])


async def _restore(data: Path, rows: list[tuple[object, ...]]) -> None:
    from acme.drivers import postgres
    from acme.tasks import Tasks
    from acme.telemetry import Metrics

    server = EmbeddedPostgres(data)
    await server.start()
    async with Tasks("test", Metrics()) as tasks:
        pool = await postgres.open(server.url("projects"), tasks=tasks)
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM acme.migrations WHERE plugin = 'acme'")
            for row in rows:
                await connection.execute("INSERT INTO acme.migrations VALUES ($1, $2, $3, $4, $5)", *row)
        await pool.close()
    await server.stop()


async def test_what_is_no_data_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(CannotVisit, match="is not a data folder of the platform"):
        async with visit(settings(tmp_path / "nothing")):
            pass
    assert os.listdir(tmp_path) == []


async def test_a_plugin_that_never_ran_has_no_database_and_gets_none(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    await server.stop()
    for _ in range(2):
        async with visit(settings(tmp_path / "data")) as house:
            with pytest.raises(CannotVisit, match="the plugin users has no database here yet: start the platform once"):
                await house.plugin("users")


async def test_a_platform_without_a_bus_has_none_to_visit(data: Path) -> None:
    async with visit(settings(data, bus={"url": "outbox:"})) as house:
        assert house.bus() is None
