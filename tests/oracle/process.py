"""A process of the drill: `python -m tests.oracle.process ROLE NAME ORDER`, ended in order by SIGTERM.

ROLE: "worker" hosts the plugin as `acme serve` would (a relay while it has the lease, a member of groups);
"relay" relays without any lease; "writer" is eight writers. ORDER is a file with an `Order` in JSON.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from acme.bus.relay import Backlog, Relay
from acme.codec.avro import Avro
from acme.contract import load as load_contracts
from acme.drivers import postgres
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.ports import Database
from acme.runtime.assembly import assemble
from acme.runtime.databases import Databases
from acme.runtime.eventing import open_bus
from acme.runtime.roles import Role
from acme.runtime.settings import Config, load
from acme.tasks import Tasks
from acme.telemetry import Metrics, configure_logs
from acme.work import UnitFactory
from tests.oracle.plugin import NAME, plugin
from tests.oracle.writing import WRITERS, LateCommits, write


class Order(msgspec.Struct, frozen=True):
    """What all processes of a drill share."""

    folder: str
    values: dict[str, Any]
    """The configuration: nested tables."""

    def config(self, name: str) -> Config:
        """The configuration of one process."""
        data = {"data": f"{self.folder}/{name}", "public_url": "https://acme.test"}
        return load(values={**self.values, "platform": data}, name="the drill")


async def worker(order: Order, name: str, stop: asyncio.Event) -> None:
    """One of several equal processes."""
    role = Role(gateway=False, host=frozenset({NAME}), alone=False, name=name)
    async with assemble(order.config(name), [plugin], role=role) as node:
        reason = node.roster.entries[NAME].reason
        assert not reason, reason
        await stop.wait()


async def relay(order: Order, name: str, stop: asyncio.Event) -> None:
    """Relays, whoever else does."""
    config, clock, metrics = order.config(name), SystemClock(), Metrics()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks(name, metrics))
        pool = await _database(config, tasks, stack)
        bus = open_bus(config.bus, Databases(config.database, None, tasks), clock, tasks, metrics, stack)
        assert bus is not None
        units = _units(pool, clock, metrics)
        one = Relay(NAME, "local", pool, units.database, bus, metrics, Backlog(metrics, clock))
        tasks.loop("relay", one.run, pause=0.05)
        await stop.wait()


async def writer(order: Order, name: str, stop: asyncio.Event) -> None:
    """Eight writers."""
    config, clock, metrics = order.config(name), SystemClock(), Metrics()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks(name, metrics))
        pool = await _database(config, tasks, stack, size=WRITERS)
        units = _units(LateCommits(pool), clock, metrics)
        journal = stack.enter_context((Path(order.folder) / f"{name}.journal").open("a"))
        await asyncio.gather(*(write(units, stop, journal) for _ in range(WRITERS)))


async def _database(config: Config, tasks: Tasks, stack: AsyncExitStack, size: int = 2) -> Database:
    pool = await postgres.open(config.database.urls[NAME], size=size, tasks=tasks)
    stack.push_async_callback(pool.close)
    return pool


def _units(pool: Database, clock: SystemClock, metrics: Metrics) -> UnitFactory:
    contracts = load_contracts("acme.contracts")
    cipher = Vault(b"a master secret for the drill, 32+")
    return UnitFactory(
        NAME, pool, contracts=contracts, avro=Avro(contracts), cipher=cipher, clock=clock, metrics=metrics, kinds=[]
    )


@asynccontextmanager
async def _told() -> AsyncIterator[asyncio.Event]:
    """What SIGTERM sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    yield stop
    loop.remove_signal_handler(signal.SIGTERM)


async def main(role: str, name: str, path: str) -> None:
    """Works until it is told to end."""
    order = msgspec.json.decode((await asyncio.to_thread(Path(path).read_bytes)), type=Order)
    async with _told() as stop:
        await {"worker": worker, "relay": relay, "writer": writer}[role](order, name, stop)


if __name__ == "__main__":
    configure_logs(json=True, level="info")
    uvloop.run(main(*sys.argv[1:]))
