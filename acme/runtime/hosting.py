"""Brings one plugin up: database, migrations, resources, service, a place in the directory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from acme.codec.avro import Avro
from acme.contract import Contracts, Service
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Host, Placement
from acme.pages import Pages
from acme.plugin import Delivery, Job, Plugin, Replicas, Resources, TokenProfile
from acme.ports import CacheStore, Cipher, Clock, Database, Mailer, ObjectStore
from acme.runtime.databases import Databases
from acme.runtime.discovery import Entry, Roster, Unusable
from acme.runtime.leases import Lease, Singleton
from acme.runtime.migrations import migrate
from acme.runtime.nudges import Following, Nudges, deliveries_of
from acme.runtime.settings import Config
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import Tracer
from acme.work import Attempt, Deliveries, Handler, UnitFactory, send_mail

__all__ = ["Parts", "Placement", "Running"]

PLUGIN_STOP: Final = 10.0
"""Seconds that a plugin's service has to stop."""


@dataclass(frozen=True, slots=True)
class Running:
    """A plugin that is up."""

    plugin: Plugin
    pool: Database
    units: UnitFactory
    handlers: Mapping[str, Handler]
    """Who carries out deliveries, by kind."""
    resources: Resources[Any]
    listeners: list[Callable[[], None]]
    """Called after every commit that left events."""

    def work(self, tasks: Tasks, metrics: Metrics, tracer: Tracer) -> Deliveries:
        """Begins what the plugin does unasked: deliveries and jobs."""
        deliveries = Deliveries(self.units, self.handlers, tasks=tasks, metrics=metrics, tracer=tracer)
        deliveries.start()
        for job in self.plugin.jobs:
            name = f"{self.plugin.name}.{job.name}"
            if job.replicas is Replicas.EVERY:
                tasks.loop(name, self._outside(job), pause=job.every)
            else:
                lease = Lease(self.units.database, self.resources.clock, name)
                Singleton(lease, self._outside(job), job.every, tasks).start()
        return deliveries

    def _outside(self, job: Job) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            with self.units.outside():
                await job.run(self.resources)

        return run


@dataclass(frozen=True, slots=True)
class Parts:
    """What every plugin is built from."""

    config: Config
    url: str
    databases: Databases
    contracts: Contracts
    avro: Avro
    directory: Directory
    placement: Placement
    clock: Clock
    cache: CacheStore
    nudges: Nudges
    following: Following
    mailer: Mailer
    archive: ObjectStore
    cipher: Cipher
    metrics: Metrics

    async def start(
        self, roster: Roster, entry: Entry, plugin: Plugin, settings: Any, stack: AsyncExitStack
    ) -> Running | None:
        """Brings one plugin up and leaves its end to `stack`; quarantines it when anything goes wrong."""
        with roster.trial(entry.name, "database") as trial:
            async with AsyncExitStack() as own:
                pool = await self.databases.open(plugin.name)
                own.push_async_callback(pool.close)
                trial.step = "migrations"
                entry.migrations = str(await migrate(pool, plugin.name, plugin.package, self.clock))
                trial.step = "service"
                listeners: list[Callable[[], None]] = []
                units = UnitFactory(
                    plugin.name,
                    pool,
                    contracts=self.contracts,
                    avro=self.avro,
                    cipher=self.cipher,
                    clock=self.clock,
                    metrics=self.metrics,
                    kinds=[delivery.kind for delivery in plugin.deliveries],
                    version=plugin.version,
                    region=self.config.platform.region,
                    told=self._told(plugin, listeners),
                )
                resources = self._resources(plugin, units, settings)
                with units.outside():
                    instances = await self._started(own, plugin.service(resources))
                for service, instance in self._kept(plugin, instances):
                    self.directory.host(Host(service, instance, plugin.name, units, entry.version), self.placement)
                entry.placement, entry.health = self.placement, "up"
                stack.push_async_callback(_end, roster, entry, own.pop_all())
                return Running(plugin, pool, units, self._handlers(plugin, resources), resources, listeners)
        return None

    async def _started(self, own: AsyncExitStack, service: AbstractAsyncContextManager[Sequence[object]]) -> Any:
        """What the plugin's factory yields, in time. Migrations may take longer, and have limits of their own."""
        limit = self.config.platform.plugin_start
        try:
            async with asyncio.timeout(limit) as clock:
                return await own.enter_async_context(service)
        except TimeoutError:
            if not clock.expired():
                raise  # the plugin's own
            raise Unusable(f"it did not start within {limit:g} s ([platform] plugin_start)") from None

    def _resources(self, plugin: Plugin, units: UnitFactory, settings: Any) -> Resources[Any]:
        return Resources(
            name=plugin.name,
            settings=settings,
            database=units.database,
            cache=self.cache.space(plugin.name),
            directory=self.directory.named(plugin.name),
            clock=self.clock,
            cipher=self.cipher,
            archive=self.archive,
            pages=Pages(self.cipher),
            tokens=TokenProfile(self.config.tokens.issuer, self.config.tokens.audience),
            region=self.config.platform.region,
            public_url=self.config.platform.public_url or self.url,
        )

    def _told(self, plugin: Plugin, listeners: Sequence[Callable[[], None]]) -> Callable[[bool, bool], None]:
        """Who is told of the plugin's commits: who carries out its deliveries, relays its events, and verifies tokens."""
        authority = self.contracts.service_of(AuthorityStub)
        keeps_authority = any(self.contracts.service_of(base) is authority for base in plugin.contracts)
        topic = deliveries_of(plugin.name)

        def told(deliveries: bool, events: bool) -> None:
            if deliveries:
                self.nudges.send(topic)
            if events:
                for listener in listeners:
                    listener()
            if keeps_authority:
                self.following.committed()

        return told

    def _handlers(self, plugin: Plugin, resources: Resources[Any]) -> Mapping[str, Handler]:
        return {
            "mail": send_mail(self.mailer),
            **{delivery.kind: _handler(delivery, resources) for delivery in plugin.deliveries},
        }

    def _kept(self, plugin: Plugin, instances: Sequence[object]) -> list[tuple[Service, object]]:
        """What the plugin's factory yielded, by contract: exactly one object for each contract it declares."""
        yielded = [(self.contracts.service_of(instance), instance) for instance in instances]
        kept = sorted(service.name for service, _ in yielded)
        declared = sorted(self.contracts.service_of(base).name for base in plugin.contracts)
        if kept != declared:
            names = ", ".join(declared) or "nothing"
            raise Unusable(f"it declares {names}, and its service yields {', '.join(kept) or 'nothing'}")
        return yielded


async def _end(roster: Roster, entry: Entry, own: AsyncExitStack) -> None:
    """A plugin that fails to stop, or hangs, does not keep the others from stopping."""
    with roster.trial(entry.name, "stop"):
        async with asyncio.timeout(PLUGIN_STOP):
            await own.aclose()


def _handler(delivery: Delivery, resources: Resources[Any]) -> Handler:
    async def run(attempt: Attempt) -> None:
        await delivery.handler(resources, attempt)

    return Handler(run, delivery.attempts)
