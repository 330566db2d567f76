"""Drivers: the technologies behind the ports, one file each.

`acme/ports.py` says what the platform asks of the outside world; a driver keeps one such promise with one technology and
is the only home of that technology's library. Only `runtime` (and the test kit) imports this package: services are handed
ports and never learn which driver is behind them. The driver follows from the scheme of a URL in the configuration:

    database: Database = await drivers.open("postgresql://acme@db/users", tasks=tasks)
    cache: CacheStore = drivers.open_cache("redis://cache:6379/0", clock=clock, tasks=tasks, metrics=metrics)

`DRIVERS` below is the whole table. A driver's module is imported when the first URL of its scheme is opened, so a library
that is not used is neither loaded nor needed. Each module has an `open(url, …)`, or with the port's name `open_cache`,
`open_limiter`, `open_broadcast`, `open_bus` and `open_fetcher`; what it takes beside the URL (tasks, a clock) and whether
it is awaited is the port's matter. One contract suite a port (`tests/contract/`) runs over all drivers.

`embedded.py` is not behind a URL: it starts the PostgreSQL that `postgresql:` URLs then point at, with the programs that
`binaries.py` finds and under the locks of `processes.py`. `spaces.py`, `buckets.py` and `subscriptions.py` are what all
caches, all limiters and all broadcasts have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from acme.ports import Broadcast, Bus, CacheStore, Clock, Exporter, Fetcher, Limiter, ObjectStore
from acme.tasks import Tasks
from acme.telemetry import Metrics

DRIVERS: Final[Mapping[str, Mapping[str, str]]] = {
    "database": {"postgres": "acme.drivers.postgres", "postgresql": "acme.drivers.postgres"},
    "cache": {
        "memory": "acme.drivers.memory",
        "none": "acme.drivers.absent",
        "redis": "acme.drivers.redis",
        "rediss": "acme.drivers.redis",
    },
    "limiter": {
        "memory": "acme.drivers.memory",
        "redis": "acme.drivers.allowances",
        "rediss": "acme.drivers.allowances",
    },
    "objects": {"file": "acme.drivers.files", "s3": "acme.drivers.s3"},
    "fetcher": {"http": "acme.drivers.http", "https": "acme.drivers.http"},
    "broadcast": {"memory": "acme.drivers.memory", "redis": "acme.drivers.redis", "rediss": "acme.drivers.redis"},
    "traces": {"http": "acme.drivers.otlp", "https": "acme.drivers.otlp"},
    "bus": {
        "log": "acme.drivers.log",
        "postgres": "acme.drivers.log",
        "postgresql": "acme.drivers.log",
        "kafka": "acme.drivers.kafka",
        "kafkas": "acme.drivers.kafka",
    },
}
"""Port → scheme of a URL → module."""

EXTRAS: Final = {"aiokafka": "kafka", "aioboto3": "s3"}
"""Package → the extra of ours that installs it, where their names differ."""

PROCESS_LOCAL: Final = frozenset({"memory"})
"""Schemes whose drivers keep everything within one process."""


def scheme(url: str) -> str:
    """What stands before the first colon."""
    return url.partition(":")[0]


def driver(url: str, port: str = "database") -> ModuleType:
    """The module that serves the scheme of `url` for `port`, imported now.

    Raises:
        ValueError: no driver has this scheme, or the library it needs is not installed; the text says what there is or
            what to do, and nothing of the URL but its scheme.
    """
    known, colon = DRIVERS[port], ":" in url
    name = known.get(scheme(url)) if colon else None
    if name is None:
        what = f"no driver for {scheme(url)}:" if colon else "a URL begins with a scheme"
        raise ValueError(f"{what}; there are {', '.join(f'{each}:' for each in sorted(known))}")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or "acme").partition(".")[0]
        if package == "acme":
            raise
        what = f"{scheme(url)}: needs the package {package}, which is not installed"
        raise ValueError(f"{what}: install acme-platform[{EXTRAS.get(package, package)}]") from error


def open(url: str, **needs: Any) -> Any:
    """What the database driver's own `open(url, **needs)` returns; a coroutine, to be awaited."""
    return driver(url).open(url, **needs)


def open_cache(url: str, *, clock: Clock, tasks: Tasks, metrics: Metrics, **settings: Any) -> CacheStore:
    """A store for caches. `settings` are the drivers' own; each takes what it knows (`memory`, `connections`, `timeout`).

    Raises:
        ValueError: no such driver, or an address it cannot read.
    """
    store: CacheStore = driver(url, "cache").open_cache(url, clock=clock, tasks=tasks, metrics=metrics, **settings)
    return store


def open_limiter(url: str, *, clock: Clock, tasks: Tasks, metrics: Metrics, **settings: Any) -> Limiter:
    """A limiter. Otherwise as `open_cache`."""
    limiter: Limiter = driver(url, "limiter").open_limiter(url, clock=clock, tasks=tasks, metrics=metrics, **settings)
    return limiter


def open_broadcast(url: str, *, tasks: Tasks, metrics: Metrics, **settings: Any) -> Broadcast:
    """A broadcast. Otherwise as `open_cache`."""
    broadcast: Broadcast = driver(url, "broadcast").open_broadcast(url, tasks=tasks, metrics=metrics, **settings)
    return broadcast


def open_bus(url: str, *, clock: Clock, tasks: Tasks, metrics: Metrics, **settings: Any) -> Bus:
    """The event bus. Otherwise as `open_cache`; of the settings, `log:` wants `database`, the URL of a PostgreSQL database
    of its own."""
    bus: Bus = driver(url, "bus").open_bus(url, clock=clock, tasks=tasks, metrics=metrics, **settings)
    return bus


async def open_objects(url: str, **settings: Any) -> ObjectStore:
    """A store of objects. `settings`: `data` (the data folder), `timeout` (seconds). Otherwise as `open_cache`."""
    store: ObjectStore = await driver(url, "objects").open_objects(url, **settings)
    return store


def open_traces(url: str, *, tasks: Tasks, metrics: Metrics, **settings: Any) -> Exporter:
    """What sends traces to a collector. `settings` are `headers`, `timeout`, `queue` and `resource`. Otherwise as
    `open_cache`."""
    exporter: Exporter = driver(url, "traces").open_traces(url, tasks=tasks, metrics=metrics, **settings)
    return exporter


def open_fetcher(url: str = "https:") -> Fetcher:
    """What fetches documents of others. Otherwise as `open_cache`."""
    fetcher: Fetcher = driver(url, "fetcher").open_fetcher(url)
    return fetcher
