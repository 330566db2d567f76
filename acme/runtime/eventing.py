"""The bus of a process: opened by its URL, its topics declared, and the relays and consumers of the plugins here.

A process that hosts plugins needs the bus only to tell and to hear: it starts and serves while the bus is away, and what its
units of work announce waits in their outboxes until the bus is back. `/readyz` says so under "stores".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

from acme import drivers
from acme.bus.archiver import ArchiveMeasures, Archivers
from acme.bus.archiving import Rules
from acme.bus.consumers import Consumers
from acme.bus.measures import Measures
from acme.bus.relay import Backlog, Relay
from acme.codec.avro import Avro
from acme.config import ConfigError
from acme.contract import Contracts
from acme.errors import Unavailable
from acme.ports import Bus, Clock, Topic
from acme.runtime.bus_settings import BusSettings
from acme.runtime.databases import CannotStart, Databases
from acme.runtime.hosting import Running
from acme.runtime.leases import Lease, Singleton
from acme.runtime.nudges import Nudges, events_of
from acme.runtime.roles import Role
from acme.runtime.settings import Config
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.traces import Tracer

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
            region=settings.aws_region,
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

    def __init__(
        self,
        bus: Bus,
        config: Config,
        role: Role,
        contracts: Contracts,
        avro: Avro,
        clock: Clock,
        nudges: Nudges,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._bus, self._config, self._contracts, self._avro = bus, config, contracts, avro
        self._clock, self._nudges, self._metrics = clock, nudges, metrics
        # A member of this name that was killed is the same one when it comes back, and need not be waited for.
        self._member = "alone" if role.alone else role.name
        self._backlog = Backlog(metrics, clock)
        self._measures = Measures(metrics, bus.system)
        self._consumers: list[Consumers] = []
        self._archiving = ArchiveMeasures(metrics)
        self._archivers: list[Archivers] = []
        self.declared = False
        """Whether the topics are as they are to be."""
        self._wrong = ""
        """In what they are not, where that was found after the start."""

    @property
    def state(self) -> str:
        """For readiness: "ok" or what is wrong."""
        if self._wrong:
            return self._wrong
        if not self.declared:
            return f"topics not declared yet; {self._bus.state}"
        wrong = [f"{name}: {note}" for each in self._hearing() for name, note in each.notes().items()]
        return "; ".join(wrong) or self._bus.state

    async def begin(self, running: Sequence[Running], tasks: Tasks) -> None:
        """Declares the topics, then relays and hears until `tasks` stop. While the bus is away, that happens later.

        Raises:
            CannotStart: the topics are there, and not as they are to be.
        """
        try:
            await self._declare()
        except Unavailable as error:
            log.warning("the bus is away: events wait in their outboxes", error=str(error))
            tasks.spawn("bus.topics", self._later(running, tasks))
        else:
            self._start(running, tasks)

    async def _later(self, running: Sequence[Running], tasks: Tasks) -> None:
        relays = [self._made(each) for each in running]
        while not self.declared:
            await asyncio.sleep(AGAIN)
            with suppress(Unavailable):  # of a database
                for relay in relays:
                    await relay.look_after()
            try:
                await self._declare()
            except Unavailable:
                continue
            except CannotStart as error:
                self._wrong = str(error)
                log.error("the topics are not as they are to be: nothing is relayed", error=self._wrong)
                return
        self._start(running, tasks)

    async def close(self) -> None:
        """Lets consumers end in order what is under way. Relays end with their tasks."""
        await asyncio.gather(*(each.stop() for each in self._hearing()))

    def _hearing(self) -> Sequence[Consumers | Archivers]:
        return [*self._consumers, *self._archivers]

    def _start(self, running: Iterable[Running], tasks: Tasks) -> None:
        for each in running:
            self._relay(each, tasks)
            if each.plugin.consumers:
                consumers = Consumers(
                    each.plugin,
                    each.units,
                    each.resources,
                    self._bus,
                    self._contracts,
                    self._avro,
                    self._config.bus.topic,
                    tasks,
                    self._measures,
                    member=self._member,
                    tracer=self._tracer,
                )
                consumers.start()
                self._consumers.append(consumers)
            if each.plugin.archives:
                self._archive(each, tasks)

    def _archive(self, each: Running, tasks: Tasks) -> None:
        settings = self._config.archive
        archivers = Archivers(
            each.plugin,
            each.units,
            each.resources,
            self._bus,
            self._contracts,
            self._avro,
            Rules(settings.events, settings.idle, settings.lock),
            tasks,
            self._archiving,
            member=self._member,
        )
        archivers.start()
        self._archivers.append(archivers)

    def _relay(self, each: Running, tasks: Tasks) -> None:
        plugin, database, relay = each.plugin.name, each.units.database, self._made(each)
        self._backlog.ended(plugin)  # who relays says what waits
        each.listeners.append(partial(self._announced, relay, events_of(plugin)))
        self._nudges.on(events_of(plugin), relay.wake)
        lease = Lease(database, self._clock, f"{plugin}.relay", life=LEASE, renew=RENEW)
        Singleton(lease, relay.run, 0.0, tasks).start()

    def _made(self, each: Running) -> Relay:
        region, name, database = self._config.platform.region, each.plugin.name, each.units.database
        return Relay(name, region, each.pool, database, self._bus, self._metrics, self._backlog, self._tracer)

    def _announced(self, relay: Relay, topic: str) -> None:
        """A unit of work here has left events."""
        if relay.running:
            relay.wake()
        else:
            self._nudges.send(topic)

    async def _declare(self) -> None:
        try:
            await self._bus.declare(topics_of(self._contracts, self._config.bus))
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
