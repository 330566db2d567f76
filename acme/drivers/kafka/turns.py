"""What a rebalance asks of a member's user, kept until the next `poll` sees to it.

aiokafka calls its listener in a task of its own, at any moment. The port's listener is called inside of `poll`, by the task
that polls: so nothing is taken away between two steps of the user's, and nobody needs a lock. A revocation waits for that
while aiokafka's heartbeats go on; when it takes longer than the group waits for its members (`rebalance_timeout_ms`), the
group goes on without us, and our commits are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

from acme.drivers.kafka import seams


class Loss(Enum):
    """How partitions go."""

    REVOKED = "revoked"
    """The group waits until we have given them up."""
    LOST = "lost"
    """They are another's already."""


class Turns(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Between aiokafka's coordinator, which writes, and `poll`, which reads and clears."""

    def __init__(self, consumer: AIOKafkaConsumer, wake: Callable[[], None]) -> None:
        """`wake` interrupts a `poll` that waits."""
        self._consumer, self._wake = consumer, wake
        self._given_up = asyncio.Event()
        self.held = False
        """Whether the user has partitions."""
        self.loss: Loss | None = None
        """What the user has to be told about them."""
        self.gained: frozenset[Any] | None = None
        """New ones that the user does not know of; paused until it does."""

    def give_up(self) -> None:
        """The user knows that its partitions are gone, and is done with them."""
        self.held, self.loss = False, None
        self._given_up.set()

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Called before the group is joined again, with the heartbeats still going."""
        self.gained = None
        if not self.held:
            return
        self.loss = Loss.LOST if seams.shut_out(self._consumer) else Loss.REVOKED
        self._given_up.clear()
        self._wake()
        if self.loss is Loss.REVOKED:
            await self._given_up.wait()

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Called before anything of them is fetched: nothing has been awaited since they were assigned."""
        self._consumer.pause(*assigned)
        self.gained = frozenset(assigned)
        self._wake()
