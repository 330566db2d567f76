"""`acme serve`: one process of a platform that runs in several."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acme.cli.options import AsJson, Data, Overlays, fail, read_settings, rereading, without_collector

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.report import Report


def serve(
    gateway: Annotated[bool, typer.Option("--gateway", help="Answer HTTP.")] = False,
    only: Annotated[
        str | None, typer.Option("--only", metavar="NAMES", help="Host these plugins, with commas between them.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where others reach the plugins hosted here. [default: [worker] listen]"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the gateway; when busy, the next free one.")
    ] = None,
    data: Data = None,
    config: Overlays = None,
    name: Annotated[str, typer.Option(help="Name in `acme topology`. [default: what it does]")] = "",
    socket: Annotated[int | None, typer.Option(hidden=True)] = None,
    listener: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    other: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Runs one process of a platform: the gateway, some plugins, or both. [services] says where the others are.

    SIGTERM ends it in order: not ready, requests under way, stop.
    """
    hosted = frozenset(filter(None, (part.strip() for part in (only or "").split(","))))
    if not gateway and not hosted:
        fail("say what this process is: --gateway, --only users,projects, or both", code=2)
    values: dict[str, Any] = {"worker": {"listen": listen}} if listen is not None else {}
    settings = read_settings(config, data, port=port, **values)
    from acme.cli import up as printed

    without_collector()
    from acme.runtime import lifecycle
    from acme.runtime.roles import Role
    from acme.telemetry import configure_logs

    configure_logs(json=not settings.log.as_text(sys.stderr), level=settings.log.level)
    further = {key: int(value) for key, _, value in (each.rpartition("=") for each in listener or ())}
    others: dict[int, dict[str, int]] = {}
    for number, key, descriptor in (each.split(":") for each in other or ()):
        others.setdefault(int(number), {})[key] = int(descriptor)
    role = Role(gateway, hosted, alone=False, socket=socket, sockets=further, others=others, name=name)
    try:
        reread = rereading(config, data, port=port, **values)
        lifecycle.run(settings, printed.print_json if as_json else _print, role, reread)
    except (lifecycle.CannotStart, lifecycle.FolderError) as error:
        fail(*str(error).splitlines())
    except lifecycle.Interrupted:
        fail("stopped before it was ready", code=130)


def _print(report: Report) -> None:
    """One line for people: what runs here, and where."""
    hosted = ", ".join(
        f"{plugin.name} {plugin.version}" + (f" ({plugin.reason})" if plugin.reason else "")
        for plugin in report.plugins
        if plugin.placement != "remote"
    )
    parts = [f"gateway on {report.api}"] if report.api else []
    if hosted:
        parts.append(f"{hosted} on {report.listen}")
    state = "ready" if report.ready else "not ready"
    typer.echo(f"Acme Platform {report.version} is {state} after {report.ready_seconds:.2f} s: {'; '.join(parts)}")
