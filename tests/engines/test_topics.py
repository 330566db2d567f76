"""Topics are made as they are declared."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from acme.ports import Bus, Topic
from tests.brokers.apache import ApacheKafka
from tests.contract.bus.rigs import fresh

pytestmark = pytest.mark.engines


async def test_retention_compaction_and_size_are_those_of_the_declaration(kafka: ApacheKafka, bus: Bus) -> None:
    short, compact = fresh("short"), fresh("compact")
    await bus.declare(
        [
            Topic(short, partitions=2, retention=3600.0, replication=3),  # of which there is one broker
            Topic(compact, partitions=1, retention=0.0, compact=True),
        ]
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.servers)
    await admin.start()
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in (short, compact)]
        )
        [found] = await admin.describe_topics([short])
    finally:
        await admin.close()
    told = {
        name: {entry[0]: entry[1] for entry in entries} for one in answers for _, _, _, name, entries in one.resources
    }
    assert (told[short]["retention.ms"], told[short]["cleanup.policy"]) == ("3600000", "delete")
    assert (told[compact]["retention.ms"], told[compact]["cleanup.policy"]) == ("-1", "compact")
    assert told[short]["max.message.bytes"] == "2097152"
    assert [len(one["replicas"]) for one in found["partitions"]] == [1, 1]


async def test_a_topic_that_is_not_as_declared_is_told_and_left_alone(
    bus: Bus, declared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await bus.declare([Topic(declared, partitions=3, retention=60.0, replication=1)])
    said = capsys.readouterr().out
    assert "a topic is not as declared" in said
    assert "retention.ms" in said
    assert "60000" in said
    await bus.declare([Topic(declared, partitions=3, replication=1)])
    assert "a topic is not as declared" not in capsys.readouterr().out
