"""A mock cluster a module, and a topic a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.cluster import Cluster, Health
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.mock import MockCluster, let_leaders_come_last
from tests.contract.bus.rigs import fresh


@pytest.fixture(scope="module")
def mock() -> Iterator[MockCluster]:
    """librdkafka's mock cluster."""
    with pytest.MonkeyPatch.context() as patch:
        let_leaders_come_last(patch)
        cluster = MockCluster()
        yield cluster
        cluster.stop()


@pytest.fixture
def cluster(mock: MockCluster) -> Cluster:
    """Its address, for somebody in a hurry."""
    return Cluster.of(mock.url, timeout=2.0)


@pytest.fixture
def topic(mock: MockCluster) -> str:
    """A topic of three partitions."""
    name = fresh("topic")
    mock.make(name, 3)
    return name


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def admin(cluster: Cluster, health: Health) -> AsyncIterator[Admin]:
    admin = Admin(cluster, health)
    yield admin
    await admin.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def tasks(metrics: Metrics) -> AsyncIterator[Tasks]:
    async with Tasks("test", metrics) as tasks:
        yield tasks
