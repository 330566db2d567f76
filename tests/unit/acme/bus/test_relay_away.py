"""A relay whose bus is away goes on: it tells what waits, and sends it when the bus is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from acme.bus.relay import Backlog, Relay
from acme.contract import Work
from acme.contracts.projects.v1 import ProjectCreated
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from acme.work.unit import Scope, Unit
from tests.hearing import TOPIC
from tests.services import Stage
from tests.unit.acme.bus.groups import Opener
from tests.waiting import sample, until

PENDING = 'acme_outbox_pending{plugin="things"}'


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def relay(stage: Stage, log: Opener, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Relay]:
    """One that runs, and counts what waits at every turn."""
    monkeypatch.setattr("acme.bus.relay.ROLL", 0.0)
    async with Tasks("relay", metrics) as tasks:
        backlog = Backlog(metrics, stage.clock)
        relay = Relay("things", "local", stage.pool, stage.units.database, log(tasks), metrics, backlog)
        tasks.spawn("run", relay.run())
        yield relay


async def announce(stage: Stage, number: int) -> None:
    unit: Unit = Scope(stage.units.service, Work.MANUAL).open()
    for each in range(number):
        unit.announce(ProjectCreated(project_id=f"prj_{each}"))
    await unit.finish()


async def sent(log: Opener) -> int:
    async with Tasks("look", Metrics()) as tasks:
        return sum(ends.end for ends in (await log(tasks).ends(TOPIC)).values())


async def tells(relay: Relay, metrics: Metrics, waiting: int) -> bool:
    return relay.running and sample(metrics, PENDING) == waiting


async def test_while_its_bus_is_away_it_tells_what_waits_and_sends_it_when_the_bus_is_back(
    stage: Stage, log: Opener, relay: Relay, metrics: Metrics, postgres: Server
) -> None:
    name = urlsplit(log.url).path.removeprefix("/")

    async def all_sent() -> bool:
        return not await stage.value("SELECT count(*) FROM acme.outbox")

    await announce(stage, 3)
    await until(all_sent)
    async with postgres.connection() as server:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            await server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
                name,
            )
            for more, waiting in ((5, 5), (4, 9)):
                await announce(stage, more)
                await until(partial(tells, relay, metrics, waiting), 10)
        finally:
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await until(all_sent, 10)
    assert await sent(log) == 12
    assert relay.running
