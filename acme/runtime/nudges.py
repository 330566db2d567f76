"""Nudges between processes: "look now", said over the broadcast, so that nobody has to wait for its next look.

    nudges = Nudges(broadcast, tasks)
    nudges.on("deliveries.users", deliveries.wake)       # here, when another process says so
    nudges.send("deliveries.users")                      # to the others

Whoever is nudged looks at the database or asks the authority, as it does anyway every second or quarter of one: a nudge
that is lost costs that time, a nudge too many one look in vain. Nothing is told in a nudge but who sent it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from acme.ports import Broadcast
from acme.tasks import Tasks
from acme.tokens import POLL_EVERY, Verifier

PAUSE: Final = 0.1
"""Seconds between two nudges of the same topic by one process; what is sent meanwhile is one nudge."""
BREATH: Final = 0.02
"""Seconds between two polls of the authority, however many nudges come in."""
AUTHORITY: Final = "authority"
"""Topic: the authority knows of a revocation, or of a key."""


def deliveries_of(plugin: str) -> str:
    """Topic: there is something to deliver for this plugin."""
    return f"deliveries.{plugin}"


def events_of(plugin: str) -> str:
    """Topic: this plugin has announced something."""
    return f"events.{plugin}"


class Nudges:
    """What this process says to the others, and hears from them."""

    def __init__(self, broadcast: Broadcast, tasks: Tasks) -> None:
        self._broadcast, self._tasks = broadcast, tasks
        self._me = os.urandom(8)
        self._sending: dict[str, bool] = {}
        """Topics that were sent less than `PAUSE` ago, and whether they are to be sent again."""

    def send(self, topic: str) -> None:
        """Nudges the other processes, soon; never raises, never waits."""
        if topic in self._sending:
            self._sending[topic] = True
            return
        self._sending[topic] = False
        self._tasks.spawn(f"nudge.{topic}", self._send(topic))

    def on(self, topic: str, wake: Callable[[], None]) -> None:
        """Calls `wake` for every nudge of another process, and whenever one may have been missed."""
        self._tasks.spawn(f"nudged.{topic}", self._hear(topic, wake))

    async def _send(self, topic: str) -> None:
        again = True
        while again:
            await self._broadcast.publish(topic, self._me)
            await asyncio.sleep(PAUSE)
            again, self._sending[topic] = self._sending[topic], False
        del self._sending[topic]

    async def _hear(self, topic: str, wake: Callable[[], None]) -> None:
        async with self._broadcast.subscribe(topic) as heard:
            async for said in heard:
                if said != self._me:
                    wake()


class Following:
    """Keeps a verifier up to date: polls the authority every `every` seconds, and at once after a nudge.

    In a process that hosts the authority, a commit of its plugin is a nudge too; when the poll that follows brings news,
    the others are nudged. So only revocations and keys travel, and the plugin need not say which of its commits are such.
    """

    def __init__(self, verifier: Verifier, nudges: Nudges, *, every: float = POLL_EVERY) -> None:
        self._verifier, self._nudges, self._every = verifier, nudges, every
        self._wake = asyncio.Event()
        self._committed = False
        self._known = verifier.position

    def start(self, tasks: Tasks) -> None:
        """Polls until `tasks` stop."""
        self._nudges.on(AUTHORITY, self._wake.set)
        tasks.loop("tokens.poll", self.turn, pause=BREATH)

    def committed(self, _deliveries: bool = False) -> None:
        """The authority in this process may know something new (`Service.told`)."""
        self._committed = True
        self._wake.set()

    async def turn(self) -> None:
        """Waits for its time or a nudge, and polls."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every - BREATH):
                await self._wake.wait()
        self._wake.clear()
        ours, self._committed = self._committed, False
        await self._verifier.poll()
        # Compared with the last turn: the gateway may have polled since, and has nobody to nudge.
        before, self._known = self._known, self._verifier.position
        if ours and self._known != before:
            self._nudges.send(AUTHORITY)
