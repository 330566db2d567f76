"""What a process tells when it is ready."""

from __future__ import annotations

import os
import time
from typing import Final, Literal

import msgspec


class PluginReport(msgspec.Struct, frozen=True):
    """One line of the table of plugins."""

    name: str
    version: str
    placement: str
    """"local": in this process; "remote": wherever its address says; "process": in processes beside this one;
    "workers": in each of them."""
    health: str
    """"up", "quarantined", "starting", or what is wrong with the way to it, such as "unreachable"."""
    migrations: str
    """What stands, and what this start applied, such as "3 (1 new)"."""
    reason: str
    """Why it is quarantined, "" when it is not."""


class ProcessReport(msgspec.Struct, frozen=True):
    """One process of `acme up --split` or `--workers`."""

    name: str
    pid: int
    address: str
    """Where it listens."""


class Report(msgspec.Struct, frozen=True):
    """What `acme up` and `acme serve` tell when they are ready; one JSON object with `--json`."""

    version: str
    pid: int
    ready_seconds: float
    """From the start of the process to the first answer it could give."""
    cpu_seconds: float
    """Processor time of this process until then; PostgreSQL's is not in it."""
    mode: Literal["embedded", "external", "none"]
    """Whether PostgreSQL is ours; none: a gateway alone has no database."""
    ready: bool
    """False when a plugin that the platform cannot do without is quarantined; `/readyz` says the same."""
    api: str
    """Origin of the API; it, `openapi` and `keys` are "" in a process without the gateway."""
    openapi: str
    health: str
    """Of a process without the gateway, this and the next two are on the port of `[monitor]`, or "" without one."""
    readiness: str
    metrics: str
    keys: str
    asked_port: int
    """The configured port; the one in `api` is another when this was busy."""
    data: str
    data_bytes: int
    plugins: tuple[PluginReport, ...]
    listen: str = ""
    """Address of this process for the others, "" when there is none."""
    authority: str = ""
    """PEM file of the authority of this machine that clients have to believe in; "" without one."""
    processes: tuple[ProcessReport, ...] = ()
    """The processes of `acme up --split` or `--workers`."""


def age() -> float:
    """Seconds since this process was started, by the kernel's account (to 10 ms); since import where there is no /proc."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return time.monotonic() - _IMPORTED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


_IMPORTED: Final = time.monotonic()
