"""Puts a Node together: the one place that knows every part. One AsyncExitStack is the order of start and stop.

    async with assemble(config) as node:
        print(node.url)

A plugin gets a database of its own, its migrations, its `Resources`, and is hosted in the directory; what goes wrong on
the way quarantines it, and the node comes up without it. Only what all plugins stand on stops the start: configuration,
data folder, PostgreSQL, the listening port.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Pipeline
from acme.drivers.clock import MovableClock, SystemClock
from acme.drivers.mailbox import Mailbox
from acme.drivers.vault import Vault
from acme.gateway.app import Gateway, Info
from acme.plugin import Plugin
from acme.ports import Cipher, Clock, Database, Mailer
from acme.runtime import databases, datafolder, listener
from acme.runtime.discovery import Roster, contracts_of, discover, enlist, settings_of
from acme.runtime.hosting import Parts, Placement
from acme.runtime.settings import Config
from acme.tasks import LoopWatch, Tasks
from acme.telemetry import Metrics
from acme.tokens import POLL_EVERY, Verifier
from acme.work import Deliveries


@dataclass(frozen=True, slots=True)
class Node:
    """A platform that runs in this process, and its parts."""

    config: Config
    url: str
    """Origin of the gateway, such as "http://127.0.0.1:8080"."""
    embedded: bool
    """Whether PostgreSQL is ours."""
    roster: Roster
    """Every plugin, its health and its migrations."""
    contracts: Contracts
    directory: Directory
    """Makes clients; `named("…")` says who is calling."""
    databases: Mapping[str, Database]
    """The plugins' databases, by plugin."""
    deliveries: Mapping[str, Deliveries]
    clock: Clock
    mailer: Mailer
    cipher: Cipher
    metrics: Metrics
    verifier: Verifier
    gateway: Gateway

    @property
    def ready(self) -> bool:
        """Whether requests with a token can be served; without the authority they cannot."""
        return self.verifier.fresh


@asynccontextmanager
async def assemble(
    config: Config, plugins: Iterable[Plugin] | None = None, *, placement: Placement = "local"
) -> AsyncIterator[Node]:
    """Starts a node with `plugins` (all that are installed when left out), and stops it at the end of the block.

    Raises:
        acme.config.ConfigError: settings for a plugin that is not installed.
        CannotStart, FolderError: the data folder, PostgreSQL or the port cannot be had.
    """
    async with AsyncExitStack() as stack:
        socket = stack.enter_context(listener.listen(config.gateway.host, config.gateway.port))
        url = listener.url(socket)
        metrics = Metrics()
        tasks = await stack.enter_async_context(Tasks("node", metrics))
        roster = discover(config.platform.disabled) if plugins is None else enlist(plugins)
        settings = settings_of(roster, config.plugins, config.platform.disabled)
        where = await stack.enter_async_context(databases.serve(config.database, config.data, tasks))
        clock = _clock(config, stack)
        cipher = Vault(datafolder.master_key(config.data, config.secrets.master_key))
        mailer = Mailbox(config.data / "mailbox", clock)
        stack.push_async_callback(mailer.close)

        contracts = contracts_of(roster)
        wire = Wire(contracts)
        directory = Directory(Pipeline(contracts, wire, Checks(contracts), metrics, clock))
        parts = Parts(config, url, where, contracts, wire, directory, placement, clock, mailer, cipher, metrics)
        running = [
            started
            for entry, plugin in roster.usable()
            if (started := await parts.start(roster, entry, plugin, settings[entry.name], stack)) is not None
        ]

        busy = await stack.enter_async_context(Tasks("work", metrics))
        deliveries = {each.plugin.name: each.work(busy, metrics) for each in running}
        verifier = Verifier(directory.named("tokens").client(AuthorityStub), clock, config.tokens, metrics)
        await verifier.poll()
        busy.loop("tokens.poll", verifier.poll, pause=POLL_EVERY)

        gateway = Gateway(
            contracts.services.values(),
            directory.named("gateway"),
            Json(contracts),
            wire,
            verifier,
            metrics,
            config.gateway,
            Info(version=importlib.metadata.version("acme-platform")),
            health=lambda: {e.name: _HEALTH.get(e.health, e.health) for e in roster.entries.values()},
        )
        watch = LoopWatch(metrics)
        watch.start()
        stack.callback(watch.stop)
        stack.push_async_callback(gateway.drain, config.gateway.grace)
        await gateway.start(socket)
        yield Node(
            config=config,
            url=url,
            embedded=where.embedded,
            roster=roster,
            contracts=contracts,
            directory=directory,
            databases={each.plugin.name: each.pool for each in running},
            deliveries=deliveries,
            clock=clock,
            mailer=mailer,
            cipher=cipher,
            metrics=metrics,
            verifier=verifier,
            gateway=gateway,
        )


_HEALTH: Final = {"up": "ok"}
"""What the gateway calls the health of a plugin, where it differs."""


def _clock(config: Config, stack: AsyncExitStack) -> Clock:
    kind, _, path = config.clock.url.partition(":")
    if kind == "system":
        return SystemClock()
    clock = MovableClock(Path(unquote(path)))
    stack.callback(clock.close)
    return clock
