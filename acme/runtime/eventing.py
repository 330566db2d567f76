"""The bus of a process: opened by its URL, its topics declared, and the relays and consumers of the plugins here.

A process that hosts plugins needs the bus only to tell and to hear: it starts and serves while the bus is away, and what its
units of work announce waits in their outboxes until the bus is back. `/readyz` says so under "stores".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from acme import drivers
from acme.bus.relay import Backlog, Relay
from acme.config import ConfigError
from acme.contract import Contracts
from acme.errors import Unavailable
from acme.ports import Bus, Clock, Topic
from acme.runtime.bus_settings import BusSettings
from acme.runtime.databases import CannotStart, Databases
from acme.runtime.hosting import Running
from acme.runtime.leases import Lease, Singleton
from acme.runtime.nudges import Nudges, events_of
from acme.runtime.settings import Config
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

NONE: Final = "outbox:"
"""The URL that means no bus."""
DATABASE: Final = "bus"
"""Name of the log's database, where it is beside the plugins'."""
LEASE: Final = 3.0
RENEW: Final = 1.0
"""Seconds of a relay's lease, and between two renewals: a relay that is killed is followed within so many."""
AGAIN: Final = 1.0
"""Seconds between two attempts to declare the topics."""


def open_bus(
    settings: BusSettings, where: Databases, clock: Clock, tasks: Tasks, metrics: Metrics, stack: AsyncExitStack
) -> Bus | None:
    """The bus, closed by `stack`; None where there is to be none. Kafka is not waited for.

    Raises:
        ConfigError: a URL that its driver cannot read, whose library is not installed, or files that cannot be read.
    """
    if settings.url == NONE:
        return None
    url = where.address(DATABASE) if settings.url == "log:" else settings.url
    try:
        bus = drivers.open_bus(
            url,
            clock=clock,
            tasks=tasks,
            metrics=metrics,
            timeout=settings.timeout,
            connections=settings.connections,
            mechanism=settings.mechanism,
            user=settings.user,
            password=settings.password,
            aws_region=settings.aws_region,
            tls=_tls(settings),
        )
    except ValueError as error:
        raise ConfigError(f"bus.url: {error}") from error
    stack.push_async_callback(bus.close)
    return bus


def topics_of(contracts: Contracts, settings: BusSettings) -> Sequence[Topic]:
    """The topics of all events that this process knows."""
    names = {message.event.topic for message in contracts.messages.values() if message.event is not None}
    return [settings.topic(name) for name in sorted(names)]


class Eventing:
    """What this process does with the bus, from when the topics are there."""

    def __init__(self, bus: Bus, topics: Sequence[Topic], clock: Clock, nudges: Nudges, metrics: Metrics) -> None:
        self._bus, self._topics, self._clock, self._nudges, self._metrics = bus, topics, clock, nudges, metrics
        self._backlog = Backlog(metrics, clock)
        self.declared = False
        """Whether the topics are as they are to be."""

    @property
    def state(self) -> str:
        """For readiness: "ok" or what is wrong."""
        return self._bus.state if self.declared else f"topics not declared yet; {self._bus.state}"

    async def begin(self, running: Sequence[Running], config: Config, tasks: Tasks) -> None:
        """Declares the topics, then relays and hears until `tasks` stop. While the bus is away, that happens later.

        Raises:
            CannotStart: the topics are there, and not as they are to be.
        """
        try:
            await self._declare()
        except Unavailable as error:
            log.warning("the bus is away: events wait in their outboxes", error=str(error))
            tasks.spawn("bus.topics", self._later(running, config, tasks))
        else:
            self._start(running, config, tasks)

    async def _later(self, running: Sequence[Running], config: Config, tasks: Tasks) -> None:
        while not self.declared:
            await asyncio.sleep(AGAIN)
            try:
                await self._declare()
            except Unavailable:
                continue
            except CannotStart as error:
                log.error("the topics are not as they are to be: nothing is relayed", error=str(error))
                return
        self._start(running, config, tasks)

    def _start(self, running: Iterable[Running], config: Config, tasks: Tasks) -> None:
        for each in running:
            relay = Relay(
                each.plugin.name,
                config.platform.region,
                each.pool,
                each.units.database,
                self._bus,
                self._metrics,
                self._backlog,
            )
            each.listeners.append(partial(self._announced, relay, events_of(each.plugin.name)))
            self._nudges.on(events_of(each.plugin.name), relay.wake)
            lease = Lease(each.units.database, self._clock, f"{each.plugin.name}.relay", life=LEASE, renew=RENEW)
            Singleton(lease, relay.run, 0.0, tasks).start()

    def _announced(self, relay: Relay, topic: str) -> None:
        """A unit of work here has left events."""
        if relay.running:
            relay.wake()
        else:
            self._nudges.send(topic)

    async def _declare(self) -> None:
        try:
            await self._bus.declare(self._topics)
        except ValueError as error:
            raise CannotStart(f"[bus] {error}") from error
        self.declared = True


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    if not settings.url.startswith("kafkas:"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.authority or None)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"bus.authority, bus.certificate, bus.key: {error}") from error
    return context
