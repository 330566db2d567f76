"""A bus of Kafka is opened by its URL and connects when it is used."""

from __future__ import annotations

import pytest

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.tasks import Tasks
from acme.telemetry import Metrics


async def test_a_url_opens_a_bus_that_is_not_connected_yet() -> None:
    async with Tasks("test", Metrics()) as tasks:
        bus = drivers.open_bus("kafka://127.0.0.1:1", clock=SystemClock(), tasks=tasks, metrics=Metrics())
        assert bus.state == "ok"
        await bus.close()


async def test_settings_that_do_not_go_together_are_refused() -> None:
    async with Tasks("test", Metrics()) as tasks:
        with pytest.raises(ValueError, match="region"):
            drivers.open_bus(
                "kafkas://one", clock=SystemClock(), tasks=tasks, metrics=Metrics(), mechanism="AWS_MSK_IAM"
            )
