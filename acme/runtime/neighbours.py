"""The plugins that are in other processes: a way to each, and how it stands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from acme.dispatch import Directory, Pipeline
from acme.dispatch.agreed import COMPATIBLE, DIFFERS, SAME
from acme.dispatch.place import Settings
from acme.dispatch.remote import Remote, View
from acme.plugin import Plugin
from acme.ports import Cipher
from acme.runtime.databases import CannotStart
from acme.runtime.discovery import Entry
from acme.runtime.runfolder import RunFolder
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

PATIENCE: Final = 10.0
"""Seconds that a gateway's start waits for the neighbours. Who is not there by then is waited for while it runs."""
GLANCE: Final = 0.5
"""The same for a worker, which may be called without having to call anybody."""

LONGEST_PAUSE: Final = 1.0
"""Seconds between two attempts to reach an address at most: a neighbour that was started again is found within them."""

UP: Final = "up"
UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One plugin that is elsewhere."""

    plugin: str
    services: tuple[str, ...]
    """Full names."""
    remote: Remote
    entry: Entry
    named: Callable[[str], str]
    """An address as the configuration has it."""

    @property
    def health(self) -> str:
        """ "up" when each of its services has an address that can be used; else what is wrong."""
        views = self.remote.view()
        states = [_state(service, views) for service in self.services]
        return next((state for state in states if state != UP), UP)

    @property
    def why(self) -> str:
        """What went wrong last at its addresses, for operators; "" when nothing did."""
        return "; ".join(f"{self.named(view.address)}: {view.why}" for view in self.remote.view() if view.why)

    def places(self) -> tuple[str, ...]:
        """Its addresses, each with its state."""
        return tuple(f"{self.named(view.address)} {view.state}{self._but(view)}" for view in self.remote.view())

    @property
    def another_version(self) -> bool:
        """Whether an address that is used keeps a contract that is not ours, and compatible."""
        return any(self._but(view) for view in self.remote.view())

    def _but(self, view: View) -> str:
        """What is worth knowing of an address that can be used."""
        found = {view.services.get(service) for service in self.services}
        return f" ({COMPATIBLE} contract)" if COMPATIBLE in found else ""

    @property
    def version(self) -> str:
        """The versions of the plugin that run there."""
        found = {view.versions.get(self.plugin, "") for view in self.remote.view()}
        return ", ".join(sorted(filter(None, found)))


def _state(service: str, views: Sequence[View]) -> str:
    """How a service stands over all addresses: one that can be used is enough."""
    living = [view for view in views if view.state in ("ready", "slow")]
    if any(view.stranger or view.services.get(service) in (SAME, COMPATIBLE) for view in living):
        return UP
    if any(view.services.get(service) == DIFFERS for view in living):
        return DIFFERS
    return "not served" if living else UNREACHABLE


class Neighbours:
    """All of them."""

    def __init__(
        self,
        pipeline: Pipeline,
        directory: Directory,
        cipher: Cipher,
        metrics: Metrics,
        tasks: Tasks,
        tls: ssl.SSLContext | None,
        folder: RunFolder,
    ) -> None:
        self._pipeline, self._directory, self._cipher = pipeline, directory, cipher
        self._metrics, self._tasks, self._tls, self._folder = metrics, tasks, tls, folder
        self._all: list[Neighbour] = []

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(self._all)

    def add(self, entry: Entry, plugin: Plugin, addresses: Sequence[str]) -> None:
        """Begins to connect, and sends the calls of the plugin's services there."""
        address = ",".join(self._folder.here(one) for one in addresses)
        tls = self._tls if any(one.startswith("grpcs:") for one in addresses) else None
        try:
            remote = self._remote(address, tls)
        except ValueError as error:
            raise CannotStart(f"[services] {plugin.name}: {error}") from error
        services = [self._pipeline.contracts.service_of(base) for base in plugin.contracts]
        for service in services:
            self._directory.connect(service, remote)
        entry.placement = "remote"
        self._all.append(
            Neighbour(plugin.name, tuple(service.name for service in services), remote, entry, self._folder.there)
        )
        remote.start()

    def _remote(self, address: str, tls: ssl.SSLContext | None) -> Remote:
        settings = Settings(most=LONGEST_PAUSE)
        return Remote(address, self._pipeline, self._cipher, self._metrics, self._tasks, tls, settings=settings)

    async def meet(self, limit: float) -> None:
        """Waits until every neighbour is up, for up to `limit` seconds, and begins to note how they stand.

        Raises:
            CannotStart: one keeps another contract. Found later, only its calls are refused.
        """
        until = asyncio.get_running_loop().time() + limit
        for each in self._all:
            while each.health == UNREACHABLE and (left := until - asyncio.get_running_loop().time()) > 0:
                await each.remote.settle(left)
                await asyncio.sleep(min(0.05, left))
        differ = [each for each in self._all if each.health == DIFFERS]
        if differ:
            raise CannotStart(
                "\n".join(
                    f"the contract of the plugin {each.plugin} differs between this process"
                    f" ({each.entry.version or 'unknown version'}) and {each.remote.address}"
                    f" ({each.version or 'unknown version'}): install the same version of it on both sides, workers first"
                    for each in differ
                )
            )
        self.look()
        self._tasks.loop("neighbours", self._look, pause=1.0)

    async def _look(self) -> None:
        self.look()

    def look(self) -> None:
        """Notes in the roster how they stand, and logs what changed."""
        for each in self._all:
            health = each.health
            if health != each.entry.health:
                tell = log.info if health == UP else log.warning
                tell("neighbour", plugin=each.plugin, health=health, was=each.entry.health, why=each.why)
                each.entry.health = health
                each.entry.version = each.version or each.entry.version

    async def close(self) -> None:
        """Ends all connections."""
        for each in self._all:
            await each.remote.close()
