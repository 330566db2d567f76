"""The state of the bus is that of the cluster, whoever uses it."""

from __future__ import annotations

import pytest

from acme.drivers.kafka import bus as module
from acme.drivers.kafka.bus import KafkaBus
from acme.drivers.kafka.cluster import Cluster
from acme.ports import TopicPartition, UnknownTopic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.brokers.mock import MockCluster
from tests.waiting import until


async def test_a_bus_that_nobody_uses_tells_that_the_cluster_went_and_came_back(
    mock: MockCluster, cluster: Cluster, topic: str, tasks: Tasks, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    bus = KafkaBus(cluster, tasks, metrics, session=2.0)
    assert bus.state == "ok"
    await bus.append("test", [])

    async def trouble() -> bool:
        return bus.state != "ok"

    async def none() -> bool:
        return bus.state == "ok"

    mock.go_down()
    try:
        await until(trouble)
    finally:
        mock.come_up()
    await until(none)
    await bus.close()


async def test_a_partition_that_is_not_there_is_of_an_unknown_topic(
    cluster: Cluster, topic: str, tasks: Tasks, metrics: Metrics
) -> None:
    bus = KafkaBus(cluster, tasks, metrics, session=2.0)
    with pytest.raises(UnknownTopic):
        await bus.read(TopicPartition(topic, 3), 0)
    await bus.close()
