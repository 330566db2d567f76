"""The fixtures of the suite: once for every driver in `DRIVERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.ports import Bus, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.contract.bus import kafka
from tests.contract.bus.rigs import Rig, Starter, fresh
from tests.prepared import prepare


@asynccontextmanager
async def log(folder: Path) -> AsyncIterator[Rig]:
    """The embedded log, on a PostgreSQL of its own."""
    server = EmbeddedPostgres(prepare(folder / "data"))
    await server.start()

    def opened(tasks: Tasks, metrics: Metrics) -> Bus:
        return drivers.open_bus(
            "log:",
            database=server.url("bus"),
            clock=SystemClock(),
            tasks=tasks,
            metrics=metrics,
            lease=2.0,
        )

    yield Rig(opened, deduplicates=True, turn=5.0, crash=10.0)
    await server.stop()


DRIVERS: Final[Mapping[str, Starter]] = {"log": log, "kafka-mock": kafka.mock, "kafka": kafka.apache}
ENGINES: Final = {"kafka"}
"""Drivers that `make test-engines` runs."""

Declare = Callable[..., Awaitable[str]]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.engines if name in ENGINES else ()) for name in DRIVERS],
)
async def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One technology a driver and module."""
    async with DRIVERS[request.param](tmp_path_factory.mktemp(request.param)) as rig:
        yield rig


@pytest.fixture(autouse=True)
def possible(request: pytest.FixtureRequest, rig: Rig) -> None:
    """Skips what the technology cannot."""
    if reason := rig.cannot.get(request.function.__name__):
        pytest.skip(reason)


@pytest.fixture
async def another(rig: Rig) -> AsyncIterator[Callable[[], Bus]]:
    """Opens clients, as other processes would, and closes them after the test."""
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:

        def open_one() -> Bus:
            bus = rig.open(tasks, Metrics())
            stack.push_async_callback(bus.close)
            return bus

        yield open_one


@pytest.fixture
def bus(another: Callable[[], Bus]) -> Bus:
    """A client."""
    return another()


@pytest.fixture
def declared(bus: Bus) -> Declare:
    """Makes a topic that nobody else has, and says its name."""

    async def declare(partitions: int = 3, retention: float = 7 * 86_400.0) -> str:
        name = fresh("topic")
        await bus.declare([Topic(name, partitions=partitions, retention=retention, replication=1)])
        return name

    return declare
