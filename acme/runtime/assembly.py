"""Puts a Node together: the one place that knows every part. One AsyncExitStack is the order of start and stop.

    async with assemble(config) as node:
        print(node.url)

What a process is, `roles.py` says: the whole platform, the gateway, some plugins. A plugin that is hosted gets a database
of its own, its migrations, its `Resources`, and a place in the directory; what goes wrong on the way quarantines it, and
the node comes up without it. A plugin that is elsewhere gets a way to it (`neighbours.py`). Only what all plugins stand on
stops the start: configuration, data folder, PostgreSQL, the listening port, a neighbour whose contract is another.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, Literal

from acme import drivers
from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts, reading
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Pipeline
from acme.dispatch.measures import Measures
from acme.dispatch.server import Server, Tokens
from acme.dispatch.socketed import socketed
from acme.drivers.mailbox import Mailbox
from acme.drivers.vault import Vault
from acme.gateway.app import Gateway
from acme.gateway.endpoints import Info, Readiness
from acme.gateway.monitor import Monitor
from acme.gateway.refusals import Refusals
from acme.gateway.registry import Registry
from acme.plugin import Plugin
from acme.ports import Bus, Cipher, Clock, Database, Mailer
from acme.runtime import control, databases, datafolder, listener, roles, topology, tracing
from acme.runtime.databases import CannotStart
from acme.runtime.discovery import Roster, avro_of, contracts_of, discover, enlist, settings_of
from acme.runtime.edge import Edge
from acme.runtime.eventing import Eventing, open_bus
from acme.runtime.hosting import Parts, Placement, Running
from acme.runtime.neighbours import GLANCE, PATIENCE, Neighbours
from acme.runtime.nudges import Following, Nudges, deliveries_of
from acme.runtime.reloading import Reloading, Reread, prepare_gateway
from acme.runtime.reloading import plugins as plugins_of
from acme.runtime.roles import WHOLE, Role
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config
from acme.runtime.standins import leaving, standing_in
from acme.runtime.stores import Stores, open_archive, open_clock, open_limiter, open_stores, shared_by_processes
from acme.runtime.tls import LOOK_EVERY, Certificates
from acme.runtime.vitals import Vitals
from acme.tasks import LoopWatch, Tasks
from acme.telemetry import Metrics, logger
from acme.tokens import Assertions, Verifier
from acme.traces import Tracer
from acme.work import Deliveries

log: Final = logger(__name__)

_AGAIN: Final = 0.05
"""Seconds between two looks for an authority that is starting."""


@dataclass(frozen=True, slots=True)
class Node:
    """What of a platform runs in this process, and its parts."""

    config: Config
    role: Role
    url: str
    """Origin of the gateway, such as "http://127.0.0.1:8080"; of another process's gateway where there is none here."""
    listen: str
    """Address of the plugins here for other processes, "" when there is none."""
    monitor: str
    """Origin at which this process tells operators how it is (`[monitor]`), "" when there is none."""
    mode: Literal["embedded", "external", "none"]
    """Whether PostgreSQL is ours."""
    roster: Roster
    """Every plugin, its health and its migrations."""
    neighbours: Neighbours
    """The plugins that are elsewhere."""
    contracts: Contracts
    directory: Directory
    """Makes clients; `named("…")` says who is calling."""
    databases: Mapping[str, Database]
    """The databases of the plugins hosted here, by plugin."""
    deliveries: Mapping[str, Deliveries]
    stores: Stores
    """Cache and broadcast."""
    bus: Bus | None
    """None where nothing is hosted, or nothing relayed."""
    clock: Clock
    mailer: Mailer
    cipher: Cipher
    metrics: Metrics
    measures: Measures
    """Of calls served here."""
    tracer: Tracer
    """What requests did here, step by step."""
    reloading: Reloading
    """The settings as they are now: `config` is what the node was started with."""
    verifier: Verifier
    gateway: Gateway | None
    edge: Edge | None
    """Where the gateway listens."""
    server: Server | None

    @property
    def ready(self) -> bool:
        """Whether requests with a token can be served; without the authority they cannot."""
        return self.verifier.fresh


@asynccontextmanager
async def assemble(
    config: Config,
    plugins: Iterable[Plugin] | None = None,
    *,
    role: Role = WHOLE,
    placement: Placement = "local",
    tokens: Callable[[Verifier, Cipher], Tokens] | None = None,
    reread: Reread | None = None,
) -> AsyncIterator[Node]:
    """Starts a node with `plugins` (all that are installed when left out), and stops it at the end of the block.

    `tokens` decides whose tokens are believed when a call comes from another process, in place of the verifier alone.
    `reread` reads the configuration again, for a reload.

    Raises:
        acme.config.ConfigError: settings for a plugin that is not installed, or that do not fit the role.
        CannotStart, FolderError: the data folder, PostgreSQL, the port or the certificates cannot be had, or a
            neighbour keeps another contract.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        tasks = await stack.enter_async_context(Tasks("node", metrics))
        roster = discover(config.platform.disabled) if plugins is None else enlist(plugins)
        roles.check(role, config, roster.entries)
        settings = settings_of(roster, config.plugins, config.platform.disabled)
        reloading = Reloading(config, reread, role.reads)
        reloading.require(partial(plugins_of, roster))
        monitor = Monitor(metrics, version())
        stack.push_async_callback(monitor.close)
        monitored = await _monitored(monitor, config)
        edge = Edge.open(config, role, stack.enter_context(ExitStack())) if role.gateway else None
        url = edge.url if edge is not None else config.platform.public_url
        where = await stack.enter_async_context(databases.serve(config.database, config.data, tasks, alone=role.alone))
        where.metrics = metrics
        if edge is not None:
            edge.secure(config, metrics, tasks)
        clock = open_clock(config, stack)
        stores = await open_stores(config, clock, tasks, metrics, stack)
        if not role.alone and (told := shared_by_processes(config).get("broadcast")):
            log.info("broadcast stays in this process", why=told)
        nudges = Nudges(stores.broadcast, tasks)
        cipher = Vault(datafolder.master_key(config.data, config.secrets.master_key, make=role.alone))
        mailer = Mailbox(config.data / "mailbox", clock)
        stack.push_async_callback(mailer.close)
        folder = RunFolder(config.data)
        stack.callback(folder.close)
        certificates = Certificates(config.mtls, metrics) if config.mtls.certificate else None
        if certificates is not None:
            tasks.loop("mtls", certificates.renew, pause=LOOK_EVERY)

        contracts = contracts_of(roster)
        wire, avro = Wire(contracts), avro_of(roster, contracts)
        monitor.registry = Registry(avro.released)
        tracer = await tracing.start(config, "platform" if role.alone else role.title, version(), metrics, tasks, stack)
        reloading.follow(lambda new: partial(tracer.configure, new.traces))
        stack.callback(Vitals(metrics).stop)
        pipeline = Pipeline(contracts, wire, Checks(contracts), metrics, clock, tracer)
        directory = Directory(pipeline)
        tls = certificates.client if certificates is not None else None
        neighbours = Neighbours(pipeline, directory, cipher, metrics, tasks, tls, folder)
        stack.push_async_callback(neighbours.close)
        reads = reading(contracts.services.values())
        fetcher = drivers.open_fetcher()
        stack.push_async_callback(fetcher.close)
        assertions = Assertions(cipher, clock.time, config.platform.region)
        authority = directory.named("tokens").client(AuthorityStub)
        verifier = Verifier(authority, clock, config.tokens, metrics, reads, assertions, fetcher)
        believed = tokens(verifier, cipher) if tokens is not None else verifier
        if placement == "grpc":
            own = folder.here(folder.address("self.grpc"))
            await stack.enter_async_context(socketed(directory, pipeline, cipher, believed, metrics, tasks, own))
        reloading.follow(lambda new: partial(verifier.configure, new.tokens))
        following = Following(verifier, nudges)
        parts = Parts(
            config=config,
            url=url,
            databases=where,
            contracts=contracts,
            avro=avro,
            directory=directory,
            placement=placement,
            clock=clock,
            cache=stores.cache,
            nudges=nudges,
            following=following,
            mailer=mailer,
            archive=await open_archive(config, stack),
            cipher=cipher,
            metrics=metrics,
        )
        bus = open_bus(config.bus, where, clock, tasks, metrics, stack) if role.host is None or role.host else None
        eventing = None
        if bus is not None:
            eventing = Eventing(bus, config, role, contracts, avro, clock, nudges, metrics, tracer)
        running: list[Running] = []
        for entry, plugin in roster.usable():
            if not role.hosts(entry.name):
                neighbours.add(entry, plugin, config.services[entry.name])
            elif (started := await parts.start(roster, entry, plugin, settings[entry.name], stack)) is not None:
                running.append(started)

        busy = await stack.enter_async_context(Tasks("work", metrics))
        deliveries = {each.plugin.name: each.work(busy, metrics, tracer) for each in running}
        if eventing is not None:
            await eventing.begin(running, busy)
            stack.push_async_callback(eventing.close)
        await _follow(verifier, PATIENCE if contracts.service_of(AuthorityStub).name in directory.remotes else 0.0)
        following.start(busy)
        verifier.start(busy)
        for name, each_of in deliveries.items():
            nudges.on(deliveries_of(name), each_of.wake)

        server, listen = None, ""
        if not role.alone and role.host:
            server = Server(pipeline, cipher, believed, metrics, tasks)
            for host in directory.hosts.values():
                server.host(host)
            listen = await _open(server, config, certificates, folder)
            stack.push_async_callback(server.close)
            stack.push_async_callback(_drain, server, reloading)
        await neighbours.meet(PATIENCE if role.gateway else GLANCE)

        watch = LoopWatch(metrics, directory.serving)
        watch.start()
        stack.callback(watch.stop)

        def health() -> dict[str, str]:
            return _health(roster, neighbours)

        def details() -> dict[str, str]:
            return {**stores.details(), **({} if eventing is None else {"bus": eventing.state}), **verifier.issuers()}

        gateway = None
        if edge is not None:
            limiter = await open_limiter(config, clock, tasks, metrics, stack)
            refusals = Refusals(
                directory.named("gateway"),
                contracts,
                clock,
                metrics,
                config.data / "spool" / "audit",
                version=version(),
                region=config.platform.region,
            )
            stack.push_async_callback(refusals.close)
            refusals.start(tasks)
            pools = {each.plugin.name: each.pool for each in running}
            gateway = Gateway(
                contracts.services.values(),
                directory.named("gateway"),
                Json(contracts),
                wire,
                verifier,
                metrics,
                limiter,
                config.gateway,
                Info(version=version()),
                health=health,
                stores=lambda: {**details(), "limiter": limiter.state},
                refusals=refusals,
                tracer=tracer,
                assertions=assertions,
                queues={host.service.name: pools[host.plugin].queue for host in directory.hosts.values()},
            )
            reloading.follow(partial(prepare_gateway, gateway, edge))
            stack.push_async_callback(reloading.drain, gateway)
            if edge.others:
                stack.push_async_callback(leaving, folder, role.title)
            stack.callback(edge.close_others)
            await gateway.start(*edge.places)
        node = Node(
            config=config,
            role=role,
            url=url,
            listen=listen,
            monitor=monitored,
            mode=where.mode if role.host is None or role.host else "none",
            roster=roster,
            neighbours=neighbours,
            contracts=contracts,
            directory=directory,
            databases={each.plugin.name: each.pool for each in running},
            deliveries=deliveries,
            stores=stores,
            bus=bus,
            clock=clock,
            mailer=mailer,
            cipher=cipher,
            metrics=metrics,
            measures=pipeline.measures,
            tracer=tracer,
            reloading=reloading,
            verifier=verifier,
            gateway=gateway,
            edge=edge,
            server=server,
        )
        if gateway is not None:
            monitor.readiness = gateway.readiness
        else:
            monitor.readiness = readiness = Readiness(verifier, health, details, role.host or ())
            readiness.started = True
            stack.callback(setattr, readiness, "draining", True)
        name = "control" if role.alone else f"control-{role.title}"
        answers: dict[str, Callable[..., Any]] = {
            "alive": lambda: True,
            "topology": lambda: topology.plain(topology.of(node, version())),
            "trace": lambda name: tracing.told(tracer, name),
            "look": reloading.look,
            "apply": reloading.apply,
        }
        if gateway is not None and edge is not None:
            answers |= standing_in(gateway.doors, edge)
        await stack.enter_async_context(control.serve(folder, name, answers))
        yield node


async def _drain(server: Server, reloading: Reloading) -> None:
    await server.drain(reloading.config.worker.grace)


@cache
def version() -> str:
    """The platform's own; looked up once."""
    return importlib.metadata.version("acme-platform")


_HEALTH: Final = {"up": "ok"}
"""What the gateway calls the health of a plugin, where it differs."""


def _health(roster: Roster, neighbours: Neighbours) -> dict[str, str]:
    neighbours.look()
    return {e.name: _HEALTH.get(e.health, e.health) for e in roster.entries.values()}


async def _follow(verifier: Verifier, patience: float) -> None:
    """Asks the authority for the first time. One that is elsewhere may be starting as well: whoever answers others
    before it knows what was revoked would refuse all that bears a token."""
    await verifier.poll()
    until = time.monotonic() + patience
    while not verifier.fresh and time.monotonic() < until:
        await asyncio.sleep(_AGAIN)
        await verifier.poll()


async def _open(server: Server, config: Config, certificates: Certificates | None, folder: RunFolder) -> str:
    """Listens for the other processes; returns the address that they use."""
    wanted = config.worker.listen
    tls = certificates.server if certificates is not None and wanted.startswith("grpcs:") else None
    try:
        return folder.there(await server.start(folder.here(wanted), tls))
    except (OSError, ValueError) as error:
        raise CannotStart(f"[worker] listen = {wanted!r}: {error}") from error


async def _monitored(monitor: Monitor, config: Config) -> str:
    """Where it listens, "" when it is not to."""
    if config.monitor.place is None:
        return ""
    host, port = config.monitor.place
    socket = listener.listen(host, port, ports=1, setting="[monitor] listen")
    where = listener.url(socket)
    await monitor.start(socket)
    return where
