"""One platform from start to end: signals, drain, and what is told when it is ready.

    code = run(config, announce=print_banner)

SIGINT and SIGTERM end it gently: the gateway takes no new requests and lets those under way end (`[gateway] grace`), then
everything stops in the reverse order of its start, PostgreSQL last. A second signal ends it at once; PostgreSQL dies with
us and loses nothing committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec
import uvloop

from acme.runtime import datafolder
from acme.runtime.assembly import Node, assemble
from acme.runtime.databases import CannotStart
from acme.runtime.datafolder import FolderError
from acme.runtime.settings import Config
from acme.telemetry import logger

__all__ = ["CannotStart", "FolderError", "Interrupted", "PluginReport", "Report", "run"]

log: Final = logger(__name__)


class PluginReport(msgspec.Struct, frozen=True):
    """One line of the table of plugins."""

    name: str
    version: str
    placement: str
    """"local": in this process."""
    health: Literal["starting", "up", "quarantined"]
    migrations: str
    """What stands, and what this start applied, such as "3 (1 new)"."""
    reason: str
    """Why it is quarantined, "" when it is not."""


class Report(msgspec.Struct, frozen=True):
    """What `acme up` tells when it is ready; one JSON object with `--json`."""

    version: str
    pid: int
    ready_seconds: float
    """From the start of the process to the first answer it could give."""
    cpu_seconds: float
    """Processor time of this process until then; PostgreSQL's is not in it."""
    mode: Literal["embedded", "external"]
    """Whether PostgreSQL is ours."""
    ready: bool
    """False when a plugin that the platform cannot do without is quarantined; `/readyz` says the same."""
    api: str
    openapi: str
    health: str
    readiness: str
    metrics: str
    keys: str
    asked_port: int
    """The configured port; the one in `api` is another when this was busy."""
    data: str
    data_bytes: int
    plugins: tuple[PluginReport, ...]


class Interrupted(Exception):
    """A signal came before the platform was ready; everything started so far has been stopped."""


def run(config: Config, announce: Callable[[Report], None]) -> None:
    """Runs a platform until it is told to stop.

    Raises:
        CannotStart, acme.config.ConfigError, acme.runtime.datafolder.FolderError: it never came up.
        Interrupted: see there.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(config, announce))
        except asyncio.CancelledError:
            raise Interrupted from None


async def _serve(config: Config, announce: Callable[[Report], None]) -> None:
    stopping = Stopping()
    with stopping.watch():
        async with assemble(config) as node:
            announce(report(node, config))
            # Everything made so far lives as long as the process: the collector need not look at it again. A full
            # collection of it takes 13 to 29 ms, in which no request is served; frozen, 2 µs.
            gc.collect()
            gc.freeze()
            await stopping.wait()
            log.info("stopping", grace=config.gateway.grace)


class Stopping:
    """The wish to stop, as signals tell it."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._waiting = False
        self._task: asyncio.Task[object] | None = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Listens to SIGINT and SIGTERM inside the block, on behalf of the current task."""
        loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def ask(self) -> None:
        """One more signal: the first asks, the second insists."""
        if self._asked.is_set():
            os._exit(130)
        self._asked.set()
        if not self._waiting and self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Returns when somebody asked."""
        self._waiting = True
        await self._asked.wait()


def report(node: Node, config: Config) -> Report:
    """What there is to tell of a platform that is ready."""
    url = node.url
    return Report(
        version=importlib.metadata.version("acme-platform"),
        pid=os.getpid(),
        ready_seconds=round(age(), 3),
        cpu_seconds=round(time.process_time(), 3),
        mode="embedded" if node.embedded else "external",
        ready=node.ready,
        api=url,
        openapi=f"{url}/v1/openapi.json",
        health=f"{url}/healthz",
        readiness=f"{url}/readyz",
        metrics=f"{url}/metrics",
        keys=f"{url}/.well-known/jwks.json",
        asked_port=config.gateway.port,
        data=str(config.data),
        data_bytes=datafolder.size(config.data),
        plugins=tuple(
            PluginReport(e.name, e.version, e.placement, e.health, e.migrations, e.reason)
            for e in node.roster.entries.values()
        ),
    )


def age() -> float:
    """Seconds since this process was started, by the kernel's account (to 10 ms); since import where there is no /proc."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return time.monotonic() - _IMPORTED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


_IMPORTED: Final = time.monotonic()
