"""What groups have committed, from outside. Groups with members: tests/contract/bus."""

from __future__ import annotations

from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.cluster import Cluster, Health
from acme.drivers.kafka.groups import Groups
from acme.ports import TopicPartition
from tests.contract.bus.rigs import fresh


async def test_what_is_set_is_what_is_committed(cluster: Cluster, health: Health, admin: Admin, topic: str) -> None:
    groups, group = Groups(cluster, health, admin), fresh("group")
    assert dict(await groups.committed(group, {topic: 3})) == {}
    await groups.reset(group, {TopicPartition(topic, 0): 4, TopicPartition(topic, 2): 0})
    await groups.reset(group, {})
    assert dict(await groups.committed(group, {topic: 3})) == {
        TopicPartition(topic, 0): 4,
        TopicPartition(topic, 2): 0,
    }
    assert dict(await groups.committed(group, {})) == {}
