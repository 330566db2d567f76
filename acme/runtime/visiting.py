"""A visit to a platform, for commands: its databases and its bus, whether it runs or not, and nothing served.

    async with visit(config) as house:
        users = await house.plugin("users")
        bus = house.bus()

With `embedded:` the visitor is a guest of the process that runs PostgreSQL, through the socket in the data folder that the
same account may use; where nobody runs it, it runs for the time of the visit. External servers are asked directly. A visit
changes no schema: a database that is older or newer than the code is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from acme.codec.avro import Avro
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts
from acme.dispatch import Directory, Pipeline
from acme.drivers import postgres
from acme.drivers.embedded import DataFolderInUse, EmbeddedPostgres, StartFailed
from acme.drivers.vault import Vault
from acme.pages import Pages
from acme.plugin import Plugin, Resources, TokenProfile
from acme.ports import Bus, Statements
from acme.runtime import datafolder
from acme.runtime.databases import CannotStart, Databases
from acme.runtime.discovery import Roster, avro_of, contracts_of, discover, settings_of
from acme.runtime.eventing import open_bus
from acme.runtime.migrations import PLATFORM, read
from acme.runtime.settings import Config
from acme.runtime.stores import open_archive, open_clock, open_stores
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.work import UnitFactory

_APPLIED: Final = """
SELECT count(*) FILTER (WHERE plugin = $1) AS ours, count(*) FILTER (WHERE plugin = $2) AS own FROM acme.migrations
"""
_PREPARED: Final = "SELECT to_regclass('acme.migrations') IS NOT NULL"


class CannotVisit(Exception):
    """What was asked for is not there; the text is for people."""


@dataclass(frozen=True, slots=True)
class Visited:
    """A plugin, as its declaration and its database have it."""

    plugin: Plugin
    units: UnitFactory
    resources: Resources[Any]

    @property
    def database(self) -> Statements:
        """Its own."""
        return self.units.database


class House:
    """A platform that is visited. Made by `visit`."""

    def __init__(self, config: Config, where: Databases, running: bool, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.config: Final = config
        self.running: Final = running
        """Whether a process of it runs, as far as this machine can tell."""
        self.clock: Final = open_clock(config, stack)
        self.roster: Final[Roster] = discover(config.platform.disabled)
        self._settings = settings_of(self.roster, config.plugins, config.platform.disabled)
        self.contracts: Final[Contracts] = contracts_of(self.roster)
        self.avro: Final[Avro] = avro_of(self.roster, self.contracts)
        self._where, self._tasks, self._stack, self._metrics = where, tasks, stack, Metrics()
        self._visited: dict[str, Visited] = {}

    @property
    def plugins(self) -> dict[str, Plugin]:
        """Those that can be used, by name."""
        return {entry.name: plugin for entry, plugin in self.roster.usable()}

    async def plugin(self, name: str) -> Visited:
        """A plugin with its database, its cache and its archive.

        Raises:
            CannotVisit: there is no such plugin, or its database is not as this version wants it.
            acme.errors.Unavailable: its database cannot be reached.
        """
        if name not in self._visited:
            plugin = self.plugins.get(name)
            if plugin is None:
                raise CannotVisit(f"there is no plugin {name}; there are: {', '.join(sorted(self.plugins))}")
            self._visited[name] = await self._visit(plugin)
        return self._visited[name]

    def bus(self) -> Bus | None:
        """The bus; None where the platform has none. Closed at the end of the visit."""
        return open_bus(self.config.bus, self._where, self.clock, self._tasks, self._metrics, self._stack)

    async def _visit(self, plugin: Plugin) -> Visited:
        config, name = self.config, plugin.name
        if name not in config.database.urls and not await self._exists(name):
            raise CannotVisit(f"the plugin {name} has no database here yet: start the platform once")
        pool = await self._where.open(name)
        self._stack.push_async_callback(pool.close)
        cipher = Vault(datafolder.master_key(config.data, config.secrets.master_key, make=False))
        units = UnitFactory(
            name,
            pool,
            contracts=self.contracts,
            avro=self.avro,
            cipher=cipher,
            clock=self.clock,
            metrics=self._metrics,
            kinds=[delivery.kind for delivery in plugin.deliveries],
            version=plugin.version,
            region=config.platform.region,
        )
        await _fits(units.database, plugin)
        stores = await open_stores(config, self.clock, self._tasks, self._metrics, self._stack)
        pipeline = Pipeline(self.contracts, Wire(self.contracts), Checks(self.contracts), self._metrics, self.clock)
        resources = Resources(
            name=name,
            settings=self._settings[name],
            database=units.database,
            cache=stores.cache.space(name),
            directory=Directory(pipeline).named(name),
            clock=self.clock,
            cipher=cipher,
            archive=await open_archive(config, self._stack),
            pages=Pages(cipher),
            tokens=TokenProfile(config.tokens.issuer, config.tokens.audience),
            region=config.platform.region,
            public_url=config.platform.public_url,
        )
        return Visited(plugin, units, resources)

    async def _exists(self, name: str) -> bool:
        """Whether the server has a database; opening one would create it."""
        pool = await postgres.open(self._where.address("postgres"), size=1, tasks=self._tasks)
        try:
            async with pool.connection() as connection:
                return await connection.fetchval(postgres.DATABASE_EXISTS, name) is not None
        finally:
            await pool.close()


@asynccontextmanager
async def visit(config: Config) -> AsyncIterator[House]:
    """Visits the platform of a configuration, and leaves everything as it was at the end of the block.

    Raises:
        CannotVisit: there is no data folder, or PostgreSQL cannot be started on it.
        acme.config.ConfigError: settings for a plugin that is not installed, or URLs that no driver can read.
    """
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks("visit", Metrics()))
        server = None
        running = bool(datafolder.serving(config.data))
        if config.database.url == "embedded:":
            if not (config.data / "lock").exists():
                raise CannotVisit(f"{config.data} is not a data folder of the platform: say where it is (--data)")
            server = EmbeddedPostgres(
                config.data, postgres_bin=Path(config.database.binaries) if config.database.binaries else None
            )
            try:
                await server.start()
            except DataFolderInUse:
                running = True
            except (StartFailed, OSError) as error:
                raise CannotVisit(str(error)) from error
            else:
                stack.push_async_callback(server.stop)
        try:
            yield House(config, Databases(config.database, server, tasks), running, tasks, stack)
        except (CannotStart, datafolder.FolderError) as error:
            raise CannotVisit(str(error)) from error


async def _fits(database: Statements, plugin: Plugin) -> None:
    """Raises `CannotVisit` unless exactly our migrations were applied."""
    if not await database.fetchval(_PREPARED):
        raise CannotVisit(f"the database of {plugin.name} is empty: start the platform once")
    row = await database.fetchrow(_APPLIED, PLATFORM, plugin.name)
    found = (row["ours"], row["own"]) if row is not None else (0, 0)
    wanted = (len(read(PLATFORM)), len(read(plugin.package)))
    if found == wanted:
        return
    if any(have > want for have, want in zip(found, wanted, strict=True)):
        raise CannotVisit(f"the database of {plugin.name} is newer than this version: use the version that migrated it")
    raise CannotVisit(f"the database of {plugin.name} is older than this version: start the platform once")


__all__ = ["CannotVisit", "House", "Visited", "visit"]
