"""One process from start to end: signals, drain, and what is told when it is ready.

    run(config, announce=print_banner)                       # the whole platform
    run(config, announce, Role(gateway=True, …))             # a process of `acme serve`

SIGINT and SIGTERM end it gently: it says that it is not ready, takes no new requests and lets those under way end
(`[gateway] grace`, `[worker] grace`), then everything stops in the reverse order of its start, PostgreSQL last. A second
signal ends it at once; PostgreSQL dies with us and loses nothing committed.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Final

import uvloop

from acme.runtime import datafolder
from acme.runtime.assembly import Node, assemble, version
from acme.runtime.databases import CannotStart
from acme.runtime.datafolder import FolderError
from acme.runtime.descriptors import raise_limit
from acme.runtime.reloading import Reread
from acme.runtime.report import PluginReport, Report, age
from acme.runtime.roles import WHOLE, Role
from acme.runtime.settings import Config
from acme.runtime.signals import Interrupted, Stopping
from acme.telemetry import configure_logs, logger

__all__ = ["CannotStart", "FolderError", "Interrupted", "PluginReport", "Report", "Role", "run"]

log: Final = logger(__name__)


def run(config: Config, announce: Callable[[Report], None], role: Role = WHOLE, reread: Reread | None = None) -> None:
    """Runs a process of the platform until it is told to stop. `reread` reads its configuration again.

    Raises:
        CannotStart, acme.config.ConfigError, acme.runtime.datafolder.FolderError: it never came up.
        Interrupted: see there.
    """
    raise_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(config, announce, role, reread))
        except asyncio.CancelledError:
            raise Interrupted from None
        finally:
            gc.enable()  # whoever started this did without it so far (acme/cli/options.py)


async def _serve(config: Config, announce: Callable[[Report], None], role: Role, reread: Reread | None) -> None:
    stopping = Stopping()
    with stopping.watch():
        async with assemble(config, role=role, reread=reread) as node:
            node.reloading.follow(_logs)
            stopping.reload = node.reloading.hang_up
            announce(report(node, config))
            # Everything made so far lives as long as the process: the collector need not look at it again. A full
            # collection of it takes 13 to 29 ms, in which no request is served; frozen, 2 µs. None comes before that: it
            # would take 80 ms of the start, and find some 800 objects. The young are looked at
            # when there are 5,000 of them, about 0.1 ms: at 700, as Python has it, those of the requests that wait for a
            # connection are looked at over and over, for some 5,000 instructions a request.
            gc.freeze()
            gc.set_threshold(5000)
            gc.enable()
            await stopping.wait()
            now = node.reloading.config
            log.info("stopping", grace=now.gateway.grace if role.gateway else now.worker.grace)


def _logs(config: Config) -> Callable[[], None]:
    def commit() -> None:
        configure_logs(json=not config.log.as_text(sys.stderr), level=config.log.level)

    return commit


def report(node: Node, config: Config) -> Report:
    """What there is to tell of a process that is ready."""
    url = node.url if node.role.gateway else ""

    def at(path: str, where: str = url) -> str:
        return where + path if where else ""

    return Report(
        version=version(),
        pid=os.getpid(),
        ready_seconds=round(age(), 3),
        cpu_seconds=round(time.process_time(), 3),
        mode=node.mode,
        ready=node.ready,
        api=url,
        openapi=at("/v1/openapi.json"),
        health=at("/healthz", url or node.monitor),
        readiness=at("/readyz", url or node.monitor),
        metrics=at("/metrics", url or node.monitor),
        keys=at("/.well-known/jwks.json"),
        asked_port=config.gateway.port,
        data=str(config.data),
        data_bytes=datafolder.size(config.data),
        plugins=tuple(
            PluginReport(e.name, e.version, e.placement, e.health, e.migrations, e.reason)
            for e in node.roster.entries.values()
        ),
        listen=node.listen,
        authority=str(node.edge.authority or "") if node.edge is not None else "",
    )
