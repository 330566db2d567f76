"""What the subscriptions of a process hear: one connection for all of them, which comes back by itself."""

from __future__ import annotations

from typing import Final, Protocol

from acme.drivers import postgres
from acme.drivers.log.link import Link
from acme.drivers.log.schema import CHANNEL
from acme.drivers.postgres.notices import listen
from acme.errors import Unavailable
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

RETRY: Final = 0.5
"""Seconds between two attempts to get a connection."""


class Ear(Protocol):
    """Who wants to hear."""

    def records_came(self, partitions: frozenset[int] | None) -> None:
        """There is something new in these partitions; None: perhaps in any."""

    def group_changed(self, group: int | None) -> None:
        """Members of this group came or went; None: perhaps of any."""


class Listening:
    """The ears of a process."""

    def __init__(self, link: Link, tasks: Tasks) -> None:
        self.stands = False
        """Whether notifications arrive: else, ask."""
        self._link, self._tasks = link, tasks
        self._ears: set[Ear] = set()
        self._started = False
        self._address = postgres.Address(link.url)

    def add(self, ear: Ear) -> None:
        """Hears for it until `remove`."""
        self._ears.add(ear)
        if not self._started:
            self._started = True
            self._task = self._tasks.loop("bus.listen", self._listen, pause=RETRY)

    def remove(self, ear: Ear) -> None:
        self._ears.discard(ear)

    def close(self) -> None:
        """Ends the connection."""
        if self._started:
            self._task.cancel()
        self._address.close()

    async def _listen(self) -> None:
        try:
            await self._link.prepare()
            await listen(self._address, CHANNEL, self._heard)
        except Unavailable as error:
            if self.stands:
                log.warning("the log is not heard, and asked instead", error=error.message)
        finally:
            self.stands = False

    def _heard(self, text: str | None) -> None:
        if text is None:
            self.stands = True
        kind, rest = (text or "")[:1], (text or "")[1:]
        partitions = frozenset(map(int, rest.split(","))) if kind == "p" and rest else None
        for ear in tuple(self._ears):
            if kind != "g":
                ear.records_came(partitions)
            if kind != "p":
                ear.group_changed(int(rest) if rest else None)
