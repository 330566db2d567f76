"""Fresh databases of plugins: copies of a template that was migrated once in the test run."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from acme.drivers import postgres
from acme.drivers.clock import SystemClock
from acme.plugin import Plugin
from acme.ports import Connection, Database, Row
from acme.runtime.migrations import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server


class FreshDatabase:
    """A plugin's migrated, empty database: `ports.Statements`, every statement in a transaction of its own."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self._database = database

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection of one's own, for a transaction: `begin`, `commit`, `rollback`."""
        return self._database.connection()

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        async with self.connection() as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        async with self.connection() as connection:
            return await connection.execute(sql, *args)


@asynccontextmanager
async def migrated(server: Server, plugin: Plugin) -> AsyncIterator[str]:
    """The name of a fresh database with the plugin's migrations applied; dropped at the end."""
    # By name and package: two test modules may well call different plugins "things".
    template = "template_" + hashlib.sha256(f"{plugin.name} {plugin.package}".encode()).hexdigest()[:16]
    async with server.building(template) as draft:
        if draft is not None:
            async with _opened(server.url(draft)) as database:
                await migrate(database, plugin.name, plugin.package, SystemClock())
    async with server.database(template=template) as name:
        yield name


@asynccontextmanager
async def fresh(server: Server, plugin: Plugin) -> AsyncIterator[FreshDatabase]:
    """The same, opened."""
    async with migrated(server, plugin) as name, opened(server.url(name)) as database:
        yield database


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FreshDatabase]:
    """A database that is there, opened. Connects when it is used."""
    async with _opened(url) as database:
        yield FreshDatabase(url, database)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    async with Tasks("testing", Metrics()) as tasks:
        database = await postgres.open(url, tasks=tasks)
        try:
            yield database
        finally:
            await database.close()
