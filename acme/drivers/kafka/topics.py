"""Topics: made as they are declared, and compared with what is declared when they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    LeaderNotAvailableError,
    NotControllerError,
    TopicAlreadyExistsError,
    for_code,
)

from acme.drivers.kafka.admin import Admin
from acme.ports import Topic, UnknownTopic
from acme.telemetry import logger

log: Final = logger(__name__)

LOOK_AGAIN: Final = 0.05
"""Seconds between two looks at topics that were just made: brokers hear of them one after the other."""
LARGEST: Final = 2 * 1024 * 1024
"""Bytes of a batch that a topic takes: room for a record of a mebibyte, which is a batch by itself (`producer.py`)."""


class Topics:
    """What topics there are, remembered. A topic that is not known is looked up; it is never made by being asked for."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._partitions: Mapping[str, int] = {}

    async def declare(self, topics: Sequence[Topic]) -> None:
        """As `Bus.declare`."""
        there = await self._admin.ask("declaring topics", lambda client: _declared(client, topics))
        self._partitions = {**self._partitions, **there}
        wrong = [
            f"{topic.name} has {there[topic.name]} partitions, and {topic.partitions} are declared: declare what it has,"
            " or make a new topic; keys would move"
            for topic in topics
            if there[topic.name] != topic.partitions
        ]
        if wrong:
            raise ValueError("\n".join(wrong))

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnknownTopic: it is not there.
        """
        if topic not in self._partitions:
            await self.look()
        try:
            return self._partitions[topic]
        except KeyError:
            raise UnknownTopic(topic) from None

    async def look(self) -> Mapping[str, int]:
        """All topics with their numbers of partitions, as they are now."""
        self._partitions = await self._admin.ask("looking at topics", _found)
        return self._partitions


async def _found(client: AIOKafkaAdminClient) -> Mapping[str, int]:
    """All topics that are ready for use, Kafka's own left out."""
    return {
        each["topic"]: len(each["partitions"])
        for each in await client.describe_topics()
        if not each["error_code"] and not each["is_internal"] and all(one["leader"] >= 0 for one in each["partitions"])
    }


async def _declared(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> Mapping[str, int]:
    there = await _found(client)
    missing = [topic for topic in topics if topic.name not in there]
    if missing:
        await _make(client, missing)
        while any(topic.name not in there for topic in missing):
            await asyncio.sleep(LOOK_AGAIN)
            there = await _found(client)
    await _compare(client, [topic for topic in topics if topic not in missing])
    return there


async def _make(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    cluster = await client.describe_cluster()
    if cluster.get("controller_id", -1) < 0:
        raise NotControllerError
    if not cluster["brokers"]:
        raise LeaderNotAvailableError
    made = await client.create_topics([_new(topic, len(cluster["brokers"])) for topic in topics])
    for name, code, *_ in made.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another process was faster
            raise error(name)
    log.info("topics made", topics=[topic.name for topic in topics])


async def _compare(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Says which settings differ. They are not changed: whoever runs the brokers may have had a reason."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    if not asked:
        return
    try:
        answers = await client.describe_configs(asked)
    except IncompatibleBrokerVersion:  # a broker that does not tell
        return
    found: dict[str, dict[str, Any]] = {}
    for answer in answers:
        for code, _message, _kind, name, entries in answer.resources:
            if not code:  # else we may not read them
                found[name] = {entry[0]: entry[1] for entry in entries}
    for topic in topics:
        for setting, wanted in settings(topic).items():
            actual = found.get(topic.name, {}).get(setting, wanted)
            if actual != wanted:
                log.warning(
                    "a topic is not as declared", topic=topic.name, setting=setting, declared=wanted, actual=actual
                )


def settings(topic: Topic) -> dict[str, str]:
    """A topic's settings, in Kafka's words."""
    return {
        "cleanup.policy": "compact" if topic.compact else "delete",
        "max.message.bytes": str(LARGEST),
        "retention.ms": str(int(topic.retention * 1000)) if topic.retention else "-1",
    }


def _new(topic: Topic, brokers: int) -> NewTopic:
    copies = min(topic.replication, brokers)
    if copies < topic.replication:
        log.warning("fewer brokers than copies", topic=topic.name, declared=topic.replication, copies=copies)
    told = settings(topic)
    if copies >= 3:
        told["min.insync.replicas"] = str(copies - 1)  # one may be away, and what is acknowledged is on the others
    return NewTopic(topic.name, topic.partitions, copies, topic_configs=told)
