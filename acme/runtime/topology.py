"""What runs where, as each process tells it over its control socket."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from acme.runtime import control
from acme.runtime.report import age
from acme.runtime.runfolder import RunFolder
from acme.telemetry import SECONDS, HistogramFamily

if TYPE_CHECKING:  # assembly starts the control socket, which tells of the node
    from acme.runtime.assembly import Node


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
    in_flight: int = 0
    """Calls being served here, from this process and from others."""
    another_version: bool = False
    """Whether it is called although its contract is not the caller's, because the difference harms nobody."""
    buckets: tuple[int, ...] = ()
    """Calls served here by how long they took: up to each of `telemetry.SECONDS`, and beyond."""


class ServiceTotal(msgspec.Struct, frozen=True):
    """One service over all processes that serve it."""

    name: str
    plugin: str
    processes: tuple[str, ...]
    """Names of those that serve it."""
    in_flight: int
    calls: int
    p99_seconds: float | None


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
    services: tuple[ServiceTotal, ...] = ()
    """What is served, over all that answered."""


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
    return Seen(tuple(processes), tuple(silent), totals(processes))


def totals(processes: Sequence[Process]) -> tuple[ServiceTotal, ...]:
    """Each service over all processes that serve it, by name."""
    served: dict[str, list[tuple[str, ServiceState]]] = {}
    for process in processes:
        for service in process.services:
            if service.placement == "local":
                served.setdefault(service.name, []).append((process.name, service))
    found: list[ServiceTotal] = []
    for name, states in sorted(served.items()):
        counts = [state.buckets for _, state in states if len(state.buckets) == len(SECONDS) + 1]
        found.append(
            ServiceTotal(
                name=name,
                plugin=states[0][1].plugin,
                processes=tuple(process for process, _ in states),
                in_flight=sum(state.in_flight for _, state in states),
                calls=sum(state.calls for _, state in states),
                p99_seconds=quantile([sum(column) for column in zip(*counts, strict=True)], 0.99),
            )
        )
    return tuple(found)


def of(node: Node, version: str) -> Process:
    """What a node has to tell."""
    measures = node.measures
    services: list[ServiceState] = []
    plugins = {base.plugin: node.roster.entries[base.plugin].version for base in node.directory.hosts.values()}
    for name, host in sorted(node.directory.hosts.items()):
        counts = buckets(measures.durations, name)
        services.append(
            ServiceState(
                name=name,
                plugin=host.plugin,
                version=plugins[host.plugin],
                placement="local",
                health="up",
                calls=sum(counts),
                p99_seconds=quantile(counts, 0.99),
                in_flight=measures.active(name).count,
                buckets=tuple(counts),
            )
        )
    for neighbour in node.neighbours:
        health, where = neighbour.health, neighbour.places()
        services += [
            ServiceState(
                name,
                neighbour.plugin,
                neighbour.version,
                "remote",
                health,
                where,
                another_version=neighbour.another_version,
            )
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


def buckets(durations: HistogramFamily, service: str) -> list[int]:
    """Calls of one service by how long they took, over all its methods and outcomes."""
    prefix = service + "/"
    counts = [0] * (len(durations.bounds) + 1)
    for labels, series in durations.series.items():
        if labels[1].startswith(prefix):
            counts = [total + more for total, more in zip(counts, series.counts, strict=True)]
    return counts


def quantile(counts: Sequence[int], share: float, bounds: Sequence[float] = SECONDS) -> float | None:
    """Seconds within which `share` of the calls in these buckets were served. `None` without any call.

    Interpolated within the bucket; what is beyond the last bound counts as that bound.
    """
    wanted, below, lower = share * sum(counts), 0, 0.0
    if not wanted:
        return None
    for bound, count in zip(bounds, counts, strict=False):
        if below + count >= wanted:
            return round(lower + (bound - lower) * (wanted - below) / count, 6) if count else bound
        below, lower = below + count, bound
    return bounds[-1]


def plain(process: Process) -> Mapping[str, object]:
    """As JSON carries it."""
    told: dict[str, object] = msgspec.to_builtins(process)
    return told
