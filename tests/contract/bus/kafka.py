"""The suite's rigs of Kafka: librdkafka's mock cluster, and Apache Kafka itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acme.drivers.kafka import open_bus
from acme.drivers.kafka.bus import KafkaBus
from acme.drivers.kafka.cluster import Cluster
from acme.ports import Bus, Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.apache import ApacheKafka, programs
from tests.brokers.mock import MockCluster, let_leaders_come_last
from tests.contract.bus.rigs import Rig

SESSION = 1.5
"""Seconds: the mock cluster lets a group rest for half a second of it at every change."""


class BusOnMock(KafkaBus):
    """The driver as it is, but for topics: the mock cluster cannot make them through the protocol."""

    def __init__(self, mock: MockCluster, tasks: Tasks, metrics: Metrics, *, session: float = SESSION) -> None:
        super().__init__(Cluster.of(mock.url, timeout=5.0), tasks, metrics, session=session)
        self._mock = mock

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Makes what is missing beside the protocol, and then asks the driver."""
        for topic in topics:
            self._mock.make(topic.name, topic.partitions)
        await super().declare(topics)


@asynccontextmanager
async def mock(folder: Path) -> AsyncIterator[Rig]:
    """librdkafka's mock cluster."""
    with pytest.MonkeyPatch.context() as patch:
        let_leaders_come_last(patch)
        cluster = MockCluster()

        def opened(tasks: Tasks, metrics: Metrics) -> Bus:
            return BusOnMock(cluster, tasks, metrics)

        try:
            yield Rig(opened, deduplicates=False, turn=10.0, crash=15.0)
        finally:
            cluster.stop()


@asynccontextmanager
async def apache(folder: Path) -> AsyncIterator[Rig]:
    """Apache Kafka; skipped where it cannot be had."""
    try:
        broker = ApacheKafka(folder, programs())
    except LookupError as error:
        pytest.skip(str(error))

    def opened(tasks: Tasks, metrics: Metrics) -> Bus:
        return open_bus(broker.url, tasks=tasks, metrics=metrics, timeout=5.0, session=SESSION)

    broker.start()
    try:
        yield Rig(opened, deduplicates=False, turn=10.0, crash=15.0)
    finally:
        broker.kill()
