"""What consumer groups have committed, seen and set from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import TopicPartition as Place

from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.cluster import Cluster, Health
from acme.errors import Conflict
from acme.ports import TopicPartition

ASK_AGAIN: Final = 0.1
"""Seconds between two questions for the coordinator of a group, which may be moving."""


class Groups:
    """Consumer groups, by their names."""

    def __init__(self, cluster: Cluster, health: Health, admin: Admin) -> None:
        self._cluster, self._health, self._admin = cluster, health, admin

    async def committed(self, group: str, topics: Mapping[str, int]) -> Mapping[TopicPartition, int]:
        """What a group has committed, of these topics with these numbers of partitions."""
        places = [Place(topic, number) for topic, count in topics.items() for number in range(count)]
        if not places:
            return {}

        async def question(client: AIOKafkaAdminClient) -> Mapping[TopicPartition, int]:
            while True:
                try:
                    found = await client.list_consumer_group_offsets(group, partitions=places)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    await asyncio.sleep(ASK_AGAIN)
                else:
                    return {TopicPartition(*place): told.offset for place, told in found.items() if told.offset >= 0}

        return await self._admin.ask("reading what is committed", question)

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """As `Bus.reset`. Kafka takes a commit from outside of a group exactly while the group has no members."""
        if not offsets:
            return
        consumer = AIOKafkaConsumer(
            **self._cluster.client(),
            group_id=group,
            enable_auto_commit=False,
            request_timeout_ms=self._cluster.milliseconds,
        )
        places = {Place(*place): offset for place, offset in offsets.items()}
        try:
            async with self._health.asking("setting what is committed", self._cluster.timeout):
                consumer.assign(list(places))
                await consumer.start()
                await consumer.commit(places)
        except CommitFailedError as error:
            raise Conflict("The group has members: stop them first.", reason="group_has_members") from error
        finally:
            await consumer.stop()
