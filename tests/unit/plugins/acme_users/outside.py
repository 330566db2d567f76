"""The users plugin's units of work over an empty database, and nothing of it that serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from acme_users import plugin as users_plugin

from acme.codec.avro import Avro
from acme.contract import load
from acme.drivers import postgres as driver
from acme.drivers.clock import MovableClock
from acme.drivers.vault import Vault
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Server
from acme.testing.databases import migrated
from acme.work import UnitFactory

VAULT = Vault(bytes(32))


@asynccontextmanager
async def units_of_work(server: Server, clock: MovableClock) -> AsyncIterator[UnitFactory]:
    """As long as the block lasts."""
    contracts = load("acme.contracts")
    async with AsyncExitStack() as stack:
        name = await stack.enter_async_context(migrated(server, users_plugin))
        tasks = await stack.enter_async_context(Tasks("test", Metrics()))
        pool = await driver.open(server.url(name), tasks=tasks)
        stack.push_async_callback(pool.close)
        yield UnitFactory(
            "users",
            pool,
            contracts=contracts,
            avro=Avro(contracts),
            cipher=VAULT,
            clock=clock,
            metrics=Metrics(),
        )
