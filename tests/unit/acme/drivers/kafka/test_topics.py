"""Topics as they are found. That they are made as declared needs a real Kafka: tests/engines/test_topics.py."""

from __future__ import annotations

import pytest

from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.topics import Topics, settings
from acme.ports import Topic, UnknownTopic
from tests.brokers.mock import MockCluster
from tests.contract.bus.rigs import fresh


async def test_a_topic_is_looked_up_when_it_is_first_asked_for(mock: MockCluster, admin: Admin) -> None:
    topics, name = Topics(admin), fresh("later")
    with pytest.raises(UnknownTopic) as caught:
        await topics.partitions(name)
    assert caught.value.args == (name,)
    mock.make(name, 5)
    assert await topics.partitions(name) == 5
    assert (await topics.look())[name] == 5


async def test_another_number_of_partitions_is_told_in_a_line_each(admin: Admin, topic: str) -> None:
    with pytest.raises(ValueError, match="has 3 partitions, and 4 are declared") as caught:
        await Topics(admin).declare([Topic(topic, partitions=4)])
    assert len(str(caught.value).splitlines()) == 1
    await Topics(admin).declare([Topic(topic, partitions=3)])


def test_a_declaration_is_said_in_kafkas_words() -> None:
    told = settings(Topic("name", retention=3600.0))
    assert (told["cleanup.policy"], told["retention.ms"]) == ("delete", "3600000")
    told = settings(Topic("name", retention=0.0, compact=True))
    assert (told["cleanup.policy"], told["retention.ms"]) == ("compact", "-1")
