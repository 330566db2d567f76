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

SESSION = 2.0
"""Seconds: the mock cluster waits a second less at every change of a group, whoever has joined."""

CANNOT = {
    "test_what_a_group_has_committed_is_set_while_nobody_is_there": (
        "librdkafka's mock cluster takes no commit from outside of a group that once had members"
    ),
    "test_a_member_with_a_name_finds_its_partitions_when_it_comes_back": (
        "librdkafka's mock cluster knows no static members (KIP-345)"
    ),
    "test_a_partition_is_handed_over_after_revoked_returned_and_where_it_was_committed": (
        "librdkafka's mock cluster refuses commits while a group changes"
    ),
    "test_a_batch_may_be_of_more_bytes_than_anybody_wants_to_hold_at_once": (
        "librdkafka's mock cluster keeps 5 MiB of a partition"
    ),
    "test_who_does_not_poll_is_given_up_and_fenced_and_told": (
        "librdkafka's mock cluster gives partitions to members that did not join again in time"
    ),
}
"""Apache Kafka does all of it."""


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
            yield Rig(opened, deduplicates=False, turn=10.0, crash=15.0, cannot=CANNOT)
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
