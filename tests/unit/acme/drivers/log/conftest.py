"""A PostgreSQL for each module, with a database for each test, and logs that are opened on it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.log import open_bus
from acme.drivers.log.bus import Log
from acme.drivers.log.schema import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.prepared import prepare

Open = Callable[..., Log]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("server") / "data"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def url(server: EmbeddedPostgres) -> str:
    """Of a database that is not there yet."""
    return server.url(f"bus_{secrets.token_hex(6)}")


@pytest.fixture
def clock(tmp_path: Path) -> MovableClock:
    return MovableClock(tmp_path / "clock")


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks("test", Metrics()) as tasks:
        yield tasks


@pytest.fixture
async def opened(url: str, clock: MovableClock, tasks: Tasks) -> AsyncIterator[Open]:
    """Opens logs, as so many processes would."""
    async with AsyncExitStack() as stack:

        def open_one(metrics: Metrics | None = None, **settings: Any) -> Log:
            bus = open_bus(
                "log:",
                database=url,
                clock=clock,
                tasks=tasks,
                metrics=metrics or Metrics(),
                **{"lease": 2.0, **settings},
            )
            stack.push_async_callback(bus.close)
            return bus

        yield open_one


@pytest.fixture
async def database(url: str, tasks: Tasks) -> AsyncIterator[postgres.Pool]:
    """The database itself, migrated."""
    await postgres.ensure_database(url)
    pool = await postgres.open(url, size=10, tasks=tasks)
    await migrate(pool)
    yield pool
    await pool.close()


async def ask(database: postgres.Pool, sql: str, *args: Any) -> Any:
    """The value that a statement gives."""
    async with database.connection() as connection:
        return await connection.fetchval(sql, *args)


async def kill_others(database: postgres.Pool, *, but_listeners: bool = False) -> int:
    """Ends the sessions of everybody else, and says how many."""
    found: int = await ask(
        database,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND NOT ($1 AND query LIKE 'LISTEN%')",
        but_listeners,
    )
    return found


async def somebody_waits(database: postgres.Pool) -> bool:
    """Whether a statement waits for a lock of another's transaction."""
    return bool(
        await ask(
            database,
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
    )
