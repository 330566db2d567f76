"""A process that hears events, and ends with one: `python -m tests.unit.acme.bus.killed DATABASE LOG CLOCK`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from acme import drivers
from acme.bus.consumers import Consumers
from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.ports import Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.hearing import Ear
from tests.services import CONTRACTS, Stage


async def kills(each: Any) -> None:
    """The handler's script."""
    if each.aggregate == "prj_bad":
        os.kill(os.getpid(), signal.SIGKILL)


async def main(database: str, log: str, clock: str) -> None:
    """Hears until it is killed, or its standard input ends."""
    metrics = Metrics()
    async with Tasks("killed", metrics) as tasks:
        pool = await postgres.open(database, tasks=tasks)
        stage = Stage(pool, database, MovableClock(Path(clock)), metrics, tasks)
        bus = drivers.open_bus("log:", database=log, clock=stage.clock, tasks=tasks, metrics=Metrics(), lease=2.0)
        ear = Ear(stage, kills, attempts=2)
        consumers = Consumers(
            ear.plugin, stage.units, ear.resources, bus, CONTRACTS, stage.avro, Topic, tasks, ear.measures, member="one"
        )
        consumers.start()
        await asyncio.to_thread(sys.stdin.read)
        await consumers.stop()
        await bus.close()
        await pool.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
