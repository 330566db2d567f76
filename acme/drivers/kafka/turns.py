"""What a rebalance asks of a member's user, kept until the next `poll` sees to it.

aiokafka calls its listener in a task of its own, at any moment. The port's listener is called inside of `poll`, by the task
that polls: so nothing is taken away between two steps of the user's, and nobody needs a lock. A revocation waits for that,
`drain` seconds at most, while aiokafka's heartbeats go on; then the group goes on without us, and our commits are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

from acme.drivers.kafka import seams
from acme.telemetry import logger

log: Final = logger(__name__)


class Loss(Enum):
    """How partitions go."""

    REVOKED = "revoked"
    """The group waits until we have given them up."""
    LOST = "lost"
    """They are another's already."""


class Turns(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Between aiokafka's coordinator, which writes, and `poll`, which reads and clears."""

    def __init__(self, consumer: AIOKafkaConsumer, drain: float, wake: Callable[[], None]) -> None:
        """`wake` interrupts a `poll` that waits."""
        self._consumer, self._drain, self._wake = consumer, drain, wake
        self._given_up = asyncio.Event()
        self.held = False
        """Whether the user has partitions."""
        self.loss: Loss | None = None
        """What the user has to be told about them."""
        self.gained: frozenset[Any] | None = None
        """New ones that the user does not know of; paused until it does."""
        self.late = False
        """Whether the group has gone on before the user gave its partitions up."""

    def give_up(self) -> None:
        """The user knows that its partitions are gone, and is done with them."""
        self.held, self.loss, self.late = False, None, False
        self._given_up.set()

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Called before the group is joined again, with the heartbeats still going."""
        self.gained = None
        if not self.held:
            return
        self.loss = Loss.LOST if seams.shut_out(self._consumer) else Loss.REVOKED
        self._given_up.clear()
        self._wake()
        if self.loss is Loss.LOST:
            return
        try:
            async with asyncio.timeout(self._drain):
                await self._given_up.wait()
        except TimeoutError:
            self.late = True
            log.warning("partitions were not given up in time", seconds=self._drain)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Called before anything of them is fetched: nothing has been awaited since they were assigned."""
        self._consumer.pause(*assigned)
        self.gained = frozenset(assigned)
        self._wake()
