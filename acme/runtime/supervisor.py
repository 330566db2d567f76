"""`acme up --split`: gateway and plugins as processes of their own on this machine, and one that looks after them.

    run(config, environ, files, announce, write)

The supervisor owns what there is one of: the data folder, the embedded PostgreSQL, the gateways' ports, and the sockets in
DATA/run. Its children are ordinary `acme serve` processes that get the rest by environment; one that ends, or hangs, is
started again after a growing pause, and a gateway's connections wait meanwhile in its listening socket, which is ours. To
stop, gateways go first, so that nobody calls a worker that is on its way out; PostgreSQL is last. However the supervisor
dies, the kernel ends its children with it (`drivers/processes.py`; the fork happens in the main thread, whose death counts).
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from socket import socket
from typing import Any, Final, Protocol

from acme.runtime import control, databases, datafolder
from acme.runtime.children import Child, Children
from acme.runtime.discovery import GROUP, NAME
from acme.runtime.reloading import reloaded
from acme.runtime.report import PluginReport, ProcessReport, Report, age
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config
from acme.runtime.signals import Interrupted, Stopping
from acme.runtime.standins import StandIns
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

MARGIN: Final = 10.0
"""Seconds a process has to end beyond what requests under way may take."""
_RESERVE: Final = 20
"""Sessions of PostgreSQL beside those of the pools: for starts, migrations and people who look."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What `acme up --split` starts."""

    gateways: tuple[Child, ...]
    workers: tuple[Child, ...]
    alike: bool = False
    """Whether the gateways are all alike, share their ports, and have the plugins in them."""


class Shape(Protocol):
    """Of which processes a platform consists."""

    def sockets(self, config: Config) -> list[dict[str, socket]]:
        """The listeners of each gateway, by name: "" is that of `[gateway]` itself.

        Raises:
            CannotStart: a port is not to be had; then none is taken.
        """
        ...

    def sessions(self, config: Config, plugins: int) -> int:
        """How many sessions of PostgreSQL they have, at most."""
        ...

    def plan(
        self,
        config: Config,
        names: Sequence[str],
        environ: Mapping[str, str],
        files: Sequence[Path],
        folder: RunFolder,
        database: str,
        sockets: Sequence[Mapping[str, socket]],
    ) -> Plan:
        """The processes, and what each is told."""
        ...


def run(
    config: Config,
    environ: Mapping[str, str],
    files: Sequence[Path],
    announce: Callable[[Report], None],
    write: Callable[[str, bytes], None],
    shape: Shape,
) -> None:
    """Runs the platform in several processes until it is told to stop.

    `files` are the overlays that the children read too, `environ` what they inherit; `write` gets each line that a child
    logs, with the child's name. `shape` is one of `shapes.py`.

    Raises:
        CannotStart, acme.runtime.datafolder.FolderError: it never came up.
        Interrupted: a signal came before it was ready.
    """
    with asyncio.Runner() as runner:
        try:
            runner.run(_supervise(config, environ, files, announce, write, shape))
        except asyncio.CancelledError:
            raise Interrupted from None


async def _supervise(
    config: Config,
    environ: Mapping[str, str],
    files: Sequence[Path],
    announce: Callable[[Report], None],
    write: Callable[[str, bytes], None],
    shape: Shape,
) -> None:
    stopping = Stopping()
    with stopping.watch():
        async with AsyncExitStack() as stack:
            sockets = shape.sockets(config)
            for one in (socket for each in sockets for socket in each.values()):
                stack.enter_context(one)
            names = plugins(config.platform.disabled)
            tasks = await stack.enter_async_context(Tasks("supervisor", Metrics()))
            sessions = _RESERVE + shape.sessions(config, len(names))
            where = await stack.enter_async_context(
                databases.serve(config.database, config.data, tasks, sessions=sessions)
            )
            datafolder.master_key(config.data, config.secrets.master_key)
            folder = RunFolder(config.data)
            stack.callback(folder.close)
            for stale in (*folder.path.glob("*.grpc"), *folder.path.glob("*.sock")):
                stale.unlink(missing_ok=True)

            planned = shape.plan(config, names, environ, files, folder, where.url, sockets)
            stand_ins = StandIns(planned.gateways if planned.alike else (), folder, tasks)
            children = Children(tasks, write, _answers(folder), config.split.hang_limit, stand_ins.changed)
            for group, grace in (
                (planned.workers, config.worker.grace),
                (planned.gateways, config.gateway.grace + config.gateway.notice),
            ):
                stack.push_async_callback(children.stop, group, grace + MARGIN)
            await children.start((*planned.workers, *planned.gateways))

            def reload() -> None:
                tasks.spawn("reload", reloaded(config.data))

            stopping.reload = reload
            state: dict[str, Callable[..., Any]] = {
                "topology": lambda: topology(planned),
                "trace": lambda name: [],
                "leaving": stand_ins.left,
            }
            await stack.enter_async_context(control.serve(folder, "control", state))
            announce(report(config, planned, embedded=where.embedded))
            await stopping.wait()
            log.info("stopping", grace=config.gateway.grace)
            stand_ins.stop()
            for one in (socket for each in sockets for socket in each.values()):
                one.close()  # the gateways close theirs as they drain; then nobody can connect any more


def plugins(disabled: Iterable[str]) -> list[str]:
    """Names of the plugins that are installed and not disabled; importing them is for the workers."""
    found = {point.name for point in importlib.metadata.entry_points(group=GROUP) if NAME.fullmatch(point.name)}
    return sorted(found - set(disabled))


def report(config: Config, planned: Plan, *, embedded: bool) -> Report:
    """What there is to tell of the whole: the first gateway's report, with each plugin as its worker tells it."""
    edge = planned.gateways[0].report
    lines: dict[str, PluginReport] = {}
    for child in (*planned.workers, *planned.gateways):
        for line in child.report.plugins:
            if line.placement != "remote" and line.name not in lines:
                beside = "workers" if planned.alike else "process"
                placement = beside if line.health == "up" else line.placement
                lines[line.name] = PluginReport(
                    line.name, line.version, placement, line.health, line.migrations, line.reason
                )
    everybody = (*planned.gateways, *planned.workers)
    return Report(
        version=edge.version,
        pid=os.getpid(),
        ready_seconds=round(age(), 3),
        cpu_seconds=round(time.process_time() + sum(child.report.cpu_seconds for child in everybody), 3),
        mode="embedded" if embedded else "external",
        ready=edge.ready,
        api=edge.api,
        openapi=edge.openapi,
        health=edge.health,
        readiness=edge.readiness,
        metrics=edge.metrics,
        keys=edge.keys,
        asked_port=config.gateway.port,
        data=str(config.data),
        data_bytes=datafolder.size(config.data),
        plugins=tuple(lines[name] for name in sorted(lines)),
        authority=edge.authority,
        processes=tuple(ProcessReport(child.name, child.pid, child.address) for child in everybody),
    )


def topology(planned: Plan) -> dict[str, Any]:
    """What the supervisor knows; the children answer for themselves."""
    return {
        "name": "supervisor",
        "pid": os.getpid(),
        "version": importlib.metadata.version("acme-platform"),
        "uptime_seconds": round(age(), 1),
        "health": "up",
        "children": [
            {"name": child.name, "pid": child.pid, "state": child.state, "restarts": child.restarts}
            for child in (*planned.gateways, *planned.workers)
        ],
    }


def _answers(folder: RunFolder) -> Callable[[Child, float], Awaitable[bool]]:
    """Whether a child answers on its control socket. Without the socket nothing can be said against it."""

    async def answers(child: Child, limit: float) -> bool:
        try:
            await control.ask(folder, f"control-{child.name}.sock", "alive", limit=limit)
        except control.Late:
            return False
        except control.Silent:
            pass
        return True

    return answers


def over(environ: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """An environment with other values, whatever the case of the names in it."""
    return {**{name: value for name, value in environ.items() if name.upper() not in values}, **values}
