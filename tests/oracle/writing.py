"""Writers: each raises the versions of some aggregates in units of work that take their time, as if many served requests.

What makes order hard is on purpose: a transaction has its number long before the locks of its aggregates, a commit comes
late after the events were given their ids, units hold several aggregates, and some roll back after they have announced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TextIO

from acme import events, work
from acme.context import Call
from acme.contracts.projects.v1 import ProjectSettingsUpdated
from acme.errors import Unavailable
from acme.ports import Connection, Database, Row, SerializationFailure, Statements
from acme.work import UnitFactory

WRITERS: Final = 8
AGGREGATES: Final = 40
ORGANIZATIONS: Final = 3
DELAY: Final = 0.15
"""Seconds at most between two steps of a unit of work."""
_NUMBER: Final = "SELECT pg_current_xact_id()"
_RAISE: Final = "UPDATE aggregates SET version = version + 1 WHERE id = $1 RETURNING organization_id, version"
_INSERT: Final = "INSERT INTO aggregates (id, organization_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"


class _Changed(Exception):
    """A writer changes its mind."""


class _Late:
    """A connection whose commits come late."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        return await self._connection.execute(sql, *args)

    async def begin(self) -> None:
        await self._connection.begin()

    async def commit(self) -> None:
        await _a_while()
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()


class LateCommits:
    """A database whose commits come late."""

    def __init__(self, pool: Database) -> None:
        self._pool = pool

    def connection(self, call: Call | None = None) -> AbstractAsyncContextManager[Connection]:
        return self._lent(call)

    @asynccontextmanager
    async def _lent(self, call: Call | None) -> AsyncIterator[Connection]:
        async with self._pool.connection(call) as connection:
            yield _Late(connection)

    def alone(self, call: Call | None = None) -> Statements:
        return self._pool.alone(call)

    def queue(self) -> tuple[int, int]:
        return self._pool.queue()

    async def close(self) -> None:
        await self._pool.close()


async def prepare(database: Database) -> None:
    """Makes the aggregates."""
    async with database.connection() as connection:
        for number in range(AGGREGATES):
            await connection.execute(_INSERT, f"prj_{number}", f"org_{number % ORGANIZATIONS}")


async def write(units: UnitFactory, stop: asyncio.Event, journal: TextIO) -> None:
    """One writer. In `journal`: a line "ok AGGREGATE VERSION" for each version whose commit was acknowledged; "unknown",
    "failed" or "changed" for each unit that was not."""
    while not stop.is_set():
        with units.outside():
            try:
                raised = await _unit(units)
            except Unavailable as error:
                said = "unknown" if error.reason == "outcome_unknown" else "failed"
                await _a_while()
            except SerializationFailure:
                said = "failed"
            except _Changed:
                said = "changed"
            else:
                said = "\n".join(f"ok {aggregate} {version}" for aggregate, version in raised)
        journal.write(f"{said}\n")
        journal.flush()
        await _a_while()


async def _unit(units: UnitFactory) -> list[tuple[str, int]]:
    """Returns what it raised to which version."""
    raised = []
    chosen = sorted(random.sample(range(AGGREGATES), random.choice((1, 1, 2, 3))))
    async with work():
        if random.random() < 0.5:
            await units.database.fetchval(_NUMBER)
            await _a_while()
        for number in chosen:
            for _ in range(random.choice((1, 1, 2))):
                aggregate = f"prj_{number}"
                row = await units.database.fetchrow(_RAISE, aggregate)
                assert row is not None
                organization, version = row
                events.add(ProjectSettingsUpdated(project_id=aggregate, organization_id=organization, version=version))
                raised.append((aggregate, version))
            if random.random() < 0.3:
                await _a_while()
        if random.random() < 0.05:
            raise _Changed
    return raised


async def _a_while() -> None:
    await asyncio.sleep(random.uniform(0.0, DELAY) * random.random())  # a unit that takes its time
