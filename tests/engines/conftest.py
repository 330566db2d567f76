"""Servers that are fetched for the tests: `make test-engines`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from acme.drivers.kafka import open_bus
from acme.ports import Bus, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.apache import ApacheKafka, programs
from tests.contract.bus.rigs import fresh


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Apache Kafka, one a module; skipped where it cannot be had."""
    try:
        broker = ApacheKafka(tmp_path_factory.mktemp("kafka"), programs())
    except LookupError as error:
        pytest.skip(str(error))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def metrics() -> Metrics:
    """Those of the bus."""
    return Metrics()


@pytest.fixture
async def bus(kafka: ApacheKafka, metrics: Metrics) -> AsyncIterator[Bus]:
    """A client of it that loses patience soon."""
    async with Tasks("test", metrics) as tasks:
        bus = open_bus(kafka.url, tasks=tasks, metrics=metrics, timeout=3.0, session=6.0)
        yield bus
        await bus.close()


@pytest.fixture
async def declared(bus: Bus) -> str:
    """A topic of three partitions."""
    name = fresh("topic")
    await bus.declare([Topic(name, partitions=3, replication=1)])
    return name
