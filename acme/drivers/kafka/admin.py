"""One connection for what is asked about the cluster, not of its records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient

from acme.drivers.kafka.cluster import Cluster, Health

T = TypeVar("T")


class Admin:
    """aiokafka's client for administrators, used by one question at a time; another one after each failure, since brokers
    may have other addresses by then: a new one asks those that we were told."""

    def __init__(self, cluster: Cluster, health: Health) -> None:
        self._cluster, self._health = cluster, health
        self._client: AIOKafkaAdminClient | None = None
        self._lock = asyncio.Lock()

    async def ask(self, what: str, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """The answer. `what` is for logs: "looking at topics".

        Raises:
            Unavailable: there was none in time.
        """
        async with self._health.asking(what, self._cluster.timeout), self._lock:
            client = self._client or AIOKafkaAdminClient(
                **self._cluster.client(), request_timeout_ms=self._cluster.milliseconds
            )
            try:
                if self._client is None:
                    await client.start()
                    self._client = client
                return await question(client)
            except BaseException:
                self._client = None
                await client.close()
                raise

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
