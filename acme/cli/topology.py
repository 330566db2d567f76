"""How `acme topology` shows what runs where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acme.runtime.topology import Process, Seen, ServiceState, ServiceTotal

_WIDTH: Final = 400
"""Columns: a terminal breaks lines where it ends, and rich would cut addresses there."""


def print_json(found: Seen) -> None:
    """One JSON object: `processes`, `services` over all of them, and `silent` for those that did not answer."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    sys.stdout.buffer.flush()


def print_tables(found: Seen, console: Console | None = None) -> None:
    """For people: a table of processes, and one of services: a line for each process that serves one, and one for all of
    them where they are several."""
    console = console or Console(highlight=False, soft_wrap=True, width=_WIDTH)
    console.print(_processes(found.processes))
    console.print()
    console.print(_services(found))
    for line in found.silent:
        console.print(Text(f"  {line}", "red"))


def _processes(processes: Sequence[Process]) -> Table:
    table = _table("Process", "Pid", "Version", "Up", "Health", "Restarts", "In flight", "Listens")
    restarts = {child.name: child.restarts for process in processes for child in process.children}
    for process in processes:
        table.add_row(
            process.name,
            str(process.pid),
            process.version,
            f"{process.uptime_seconds:.0f} s",
            _state(process.health),
            str(restarts.get(process.name, 0)),
            str(process.in_flight),
            ", ".join(process.listens),
        )
    for process in processes:
        for child in process.children:
            if child.state != "up":
                table.add_row(
                    child.name, str(child.pid or "-"), "", "", _state(child.state), str(child.restarts), "", ""
                )
    return table


def _services(found: Seen) -> Table:
    table = _table("Service", "Plugin", "Version", "Process", "Placement", "Health", "In flight", "Calls", "p99")
    for process in found.processes:
        for service in process.services:
            if service.placement != "local" and service.health == "up" and not service.another_version:
                continue  # the process that serves it has a line for it
            table.add_row(
                service.name,
                service.plugin,
                service.version,
                process.name,
                service.placement if service.placement == "local" else ", ".join(service.addresses),
                _state(service.health),
                *_load(service),
            )
    for total in found.services:
        if len(total.processes) > 1:
            table.add_row(total.name, total.plugin, "", f"all {len(total.processes)}", "", "", *_load(total))
    return table


def _load(service: ServiceState | ServiceTotal) -> tuple[str, str, str]:
    slowest = "-" if service.p99_seconds is None else f"{service.p99_seconds * 1000:.1f} ms"
    return str(service.in_flight), str(service.calls), slowest


def _state(state: str) -> Text:
    return Text(state, {"up": "green", "starting": "", "waiting": "yellow"}.get(state, "red"))


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="cyan")
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table
