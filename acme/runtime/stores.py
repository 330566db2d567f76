"""The cache, the broadcast and the limiter of a process, by their URLs.

All are conveniences: a node starts and serves without its Redis, `/readyz` says so under "stores" without turning false,
and `acme_cache_up`, `acme_limiter_up` and `acme_broadcast_up` are 0 until it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote

from acme import drivers
from acme.config import ConfigError
from acme.drivers.clock import MovableClock, SystemClock
from acme.ports import Broadcast, CacheStore, Clock, Limiter, ObjectStore
from acme.runtime.settings import Config
from acme.tasks import Tasks
from acme.telemetry import Metrics

T = TypeVar("T")

_WHY: Final = {
    "cache": "two processes that host the same plugin would each keep a cache of their own: one would not see what the other"
    ' added, counted or deleted. Give both the address of a Redis: [cache] url = "redis://host:6379/0" (ACME_CACHE__URL)',
    "broadcast": "processes do not hear each other and notice at their next look: a delivery after up to 1 s, a revocation"
    ' after up to 0.25 s. For less: [broadcast] url = "redis://host:6379/0" (ACME_BROADCAST__URL)',
    "limiter": "each gateway would keep limits for itself, so that two let through twice as much. Give all the address of a"
    ' Redis, [limiter] url = "redis://host:6379/0" (ACME_LIMITER__URL), or the number of gateways, so that each keeps its'
    " share (ACME_LIMITER__GATEWAYS)",
}


@dataclass(frozen=True, slots=True)
class Stores:
    """What a process shares with others, when it does."""

    cache: CacheStore
    broadcast: Broadcast

    def details(self) -> Mapping[str, str]:
        """For readiness: "ok" or what is wrong, by port."""
        return {"cache": self.cache.state, "broadcast": self.broadcast.state}


async def open_stores(config: Config, clock: Clock, tasks: Tasks, metrics: Metrics, stack: AsyncExitStack) -> Stores:
    """Both, closed by `stack`. Nothing is waited for.

    Raises:
        ConfigError: a URL that its driver cannot read, or whose library is not installed.
    """
    cache, broadcast = config.cache, config.broadcast
    store = _read(
        "cache",
        lambda: drivers.open_cache(
            cache.url,
            clock=clock,
            tasks=tasks,
            metrics=metrics,
            memory=cache.memory,
            connections=cache.connections,
            timeout=cache.timeout,
        ),
    )
    stack.push_async_callback(store.close)
    said = _read(
        "broadcast",
        lambda: drivers.open_broadcast(broadcast.url, tasks=tasks, metrics=metrics, timeout=broadcast.timeout),
    )
    stack.push_async_callback(said.close)
    return Stores(store, said)


async def open_limiter(config: Config, clock: Clock, tasks: Tasks, metrics: Metrics, stack: AsyncExitStack) -> Limiter:
    """What a gateway keeps its limits in. Otherwise as `open_stores`."""
    limiter = config.limiter
    opened = _read(
        "limiter",
        lambda: drivers.open_limiter(
            limiter.url,
            clock=clock,
            tasks=tasks,
            metrics=metrics,
            timeout=limiter.timeout,
            gateways=limiter.gateways,
        ),
    )
    stack.push_async_callback(opened.close)
    return opened


async def open_archive(config: Config, stack: AsyncExitStack) -> ObjectStore:
    """Where archives are kept, closed by `stack`. Nothing is waited for.

    Raises:
        ConfigError: as `open_stores`.
    """
    settings = config.archive
    try:
        store = await drivers.open_objects(settings.url, data=config.data, timeout=settings.timeout)
    except ValueError as error:
        raise ConfigError(f"archive.url: {error}") from error
    stack.push_async_callback(store.close)
    return store


def shared_by_processes(config: Config) -> Mapping[str, str]:
    """Ports whose driver keeps everything within one process, with what happens when two share it, and what to do.

    For the check at the start of a process that is one of several:

    - "cache" is an error where a plugin is hosted by more than one process. Caches are a plugin's own, so it is none where
      every plugin has one process (`acme up --split`), and none in a process that hosts no plugin.
    - "limiter" is an error in a gateway that is one of several, unless it was told how many there are.
    - "broadcast" is worth a line in the log and never an error: nothing depends on it but how soon something is noticed.
    """
    urls = {"cache": config.cache.url, "broadcast": config.broadcast.url}
    if not config.limiter.gateways:
        urls["limiter"] = config.limiter.url
    return {
        port: f'{port}.url: "{url}" is within one process; {_WHY[port]}'
        for port, url in urls.items()
        if drivers.scheme(url) in drivers.PROCESS_LOCAL
    }


def _read(port: str, open_it: Callable[[], T]) -> T:
    try:
        return open_it()
    except ValueError as error:
        raise ConfigError(f"{port}.url: {error}") from error


def open_clock(config: Config, stack: AsyncExitStack) -> Clock:
    """The time, as `[clock]` has it; closed by `stack`."""
    kind, _, path = config.clock.url.partition(":")
    if kind == "system":
        return SystemClock()
    clock = MovableClock(Path(unquote(path)))
    stack.callback(clock.close)
    return clock
