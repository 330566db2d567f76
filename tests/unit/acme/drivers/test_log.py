"""How the log is opened; what it does is in the folder `log` and in tests/contract/bus."""

from __future__ import annotations

import pytest

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.drivers.log import open_bus
from acme.tasks import Tasks
from acme.telemetry import Metrics


async def test_a_url_of_postgresql_is_one_of_the_log_and_log_alone_wants_a_database() -> None:
    async with Tasks("test", Metrics()) as tasks:
        for url, how in (
            ("postgresql://nobody@/bus?host=/nowhere", {}),
            ("postgres://nobody@/bus?host=/nowhere", {}),
            ("log:", {"database": "postgresql://nobody@/bus?host=/nowhere"}),
        ):
            bus = drivers.open_bus(url, clock=SystemClock(), tasks=tasks, metrics=Metrics(), **how)
            assert (bus.system, bus.state) == ("acme_log", "ok")
            await bus.close()
        with pytest.raises(ValueError, match="needs the URL of a database"):
            open_bus("log:", clock=SystemClock(), tasks=tasks, metrics=Metrics())
