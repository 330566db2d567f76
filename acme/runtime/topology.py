"""What runs where, as each process tells it over its control socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from acme.runtime import control
from acme.runtime.report import age
from acme.runtime.runfolder import RunFolder
from acme.telemetry import HistogramFamily

if TYPE_CHECKING:  # assembly starts the control socket, which tells of the node
    from acme.runtime.assembly import Node

CALLS: Final = "rpc_server_call_duration_seconds"
"""The histogram that calls are counted and timed in: labels are placement, method, status."""


class ServiceState(msgspec.Struct, frozen=True):
    """One service, as one process knows it."""

    name: str
    plugin: str
    version: str
    placement: str
    """"local": served by this process; "remote": called by it."""
    health: str
    """"up", or what is wrong."""
    addresses: tuple[str, ...] = ()
    """Where calls go, and how those places are."""
    calls: int = 0
    """Calls served here since the start."""
    p99_seconds: float | None = None
    """Time within which 99 of 100 of them were served, interpolated as PromQL's histogram_quantile does."""


class ChildState(msgspec.Struct, frozen=True):
    """A process that this one looks after."""

    name: str
    pid: int
    state: str
    restarts: int


class Process(msgspec.Struct, frozen=True):
    """One process."""

    name: str
    pid: int
    version: str
    uptime_seconds: float
    health: str
    """"up", or "not ready"."""
    listens: tuple[str, ...] = ()
    in_flight: int = 0
    """Requests and calls of others being served."""
    services: tuple[ServiceState, ...] = ()
    children: tuple[ChildState, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """All that answered, and who did not."""

    processes: tuple[Process, ...]
    silent: tuple[str, ...]


async def look(data: Path) -> Seen:
    """Asks every process that runs on a data folder."""
    if not (data / "run").is_dir():
        return Seen((), ())
    folder = RunFolder(data)
    processes: list[Process] = []
    silent: list[str] = []
    try:
        for file in folder.controls():
            try:
                processes.append(msgspec.convert(await control.ask(folder, file, "topology"), Process))
            except control.Silent as error:
                silent.append(str(error))
            except msgspec.ValidationError as error:
                silent.append(f"{file}: the answer is of another version ({error})")
    finally:
        folder.close()
    return Seen(tuple(processes), tuple(silent))


def of(node: Node, version: str) -> Process:
    """What a node has to tell."""
    durations = node.metrics.histogram(CALLS, "")
    services: list[ServiceState] = []
    plugins = {base.plugin: node.roster.entries[base.plugin].version for base in node.directory.hosts.values()}
    for name, host in sorted(node.directory.hosts.items()):
        calls, p99 = quantile(durations, name, 0.99)
        services.append(ServiceState(name, host.plugin, plugins[host.plugin], "local", "up", (), calls, p99))
    for neighbour in node.neighbours:
        health, where = neighbour.health, neighbour.places()
        services += [
            ServiceState(name, neighbour.plugin, neighbour.version, "remote", health, where)
            for name in neighbour.services
        ]
    gateway, server = node.gateway, node.server
    return Process(
        name=node.role.title or "platform",
        pid=os.getpid(),
        version=version,
        uptime_seconds=round(age(), 1),
        health="up" if node.ready else "not ready",
        listens=tuple(filter(None, (node.url if gateway is not None else "", node.listen, node.monitor))),
        in_flight=(gateway.in_flight if gateway is not None else 0) + (server.in_flight if server is not None else 0),
        services=tuple(services),
    )


def quantile(durations: HistogramFamily, service: str, share: float) -> tuple[int, float | None]:
    """(calls, seconds within which `share` of them were served) of one service, over all its methods and outcomes.

    Interpolated within the bucket; what is beyond the last bound counts as that bound. `None` without any call.
    """
    prefix = service + "/"
    counts = [0] * (len(durations.bounds) + 1)
    for labels, series in durations.series.items():
        if labels[1].startswith(prefix):
            counts = [total + more for total, more in zip(counts, series.counts, strict=True)]
    calls = sum(counts)
    if not calls:
        return 0, None
    wanted, below, lower = share * calls, 0, 0.0
    for bound, count in zip(durations.bounds, counts, strict=False):
        if below + count >= wanted:
            return calls, round(lower + (bound - lower) * (wanted - below) / count, 6) if count else bound
        below, lower = below + count, bound
    return calls, durations.bounds[-1]


def plain(process: Process) -> Mapping[str, object]:
    """As JSON carries it."""
    told: dict[str, object] = msgspec.to_builtins(process)
    return told
