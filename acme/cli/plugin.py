"""`acme plugin …`: the commands for those who write plugins."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acme.cli.options import AsJson, Overlays, fail, read_settings

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.cli.distribution import Distribution

app = typer.Typer(help="For those who write plugins: new, list, check, test, release.", no_args_is_help=True)

Where = Annotated[
    str,
    typer.Argument(metavar="[NAME|DIR]", help="An installed plugin, or the folder of its distribution. [default: .]"),
]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the plugin and its package: what it keeps, in the plural.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder to put it into.")] = Path(),
    resource: Annotated[
        str, typer.Option(metavar="WORD", help="What it keeps, in the singular. [default: from NAME]")
    ] = "",
) -> None:
    """Writes a plugin with a table, routes, permissions and an event, as a distribution of its own whose tests pass."""
    from acme.cli import scaffold

    try:
        folder = scaffold.create(name, into, resource)
    except scaffold.ScaffoldError as error:
        fail(*str(error).splitlines())
    place = shlex.quote(str(folder))
    typer.echo(f"Wrote {folder}. Next: pip install --editable {place}, then acme plugin test {place}")


@app.command("list")
def list_(config: Overlays = None, as_json: AsJson = False) -> None:
    """Lists the plugins that are installed: version, package, contracts, API range, and why one cannot be used."""
    settings = read_settings(config, None)
    from acme.cli import plugins as printed
    from acme.telemetry import configure_logs

    configure_logs(json=False, level="critical")  # what is wrong with a plugin is in its line
    found = printed.installed(settings)
    if as_json:
        sys.stdout.buffer.write(printed.as_json(found))
    else:
        typer.echo(printed.as_text(found))


@app.command("test")
def trial(
    where: Where = ".",
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]", help="What follows -- goes to pytest.")
    ] = None,
    placement: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only in this placement; may be given several times.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only with this fault; may be given several times.")
    ] = None,
) -> None:
    """Runs a plugin's tests in every placement, clean, with duplicated calls, slow ones, and crashes before the commit."""
    from acme.cli import trials

    found = _find(where)
    folder = found.folder
    if folder is None:
        fail(f"{where} is installed without its tests: name the folder of its distribution")
    if not placement and not found.installed:
        name = found.point.name
        fail(
            f"{name} is not installed, and processes find it by that: pip install --editable {shlex.quote(str(folder))}"
        )
    try:
        status, lines = trials.run(folder, placement or [], fault or [], options or [])
    except trials.TrialsError as error:
        fail(str(error))
    typer.echo(trials.as_text(lines))
    if status:
        fail(f"pytest ended with status {status}")


@app.command()
def check(where: Where = ".") -> None:
    """Checks a plugin against its last release: contract, permissions, documentation, migrations on a copy, API range."""
    import asyncio

    from acme.cli import drift
    from acme.runtime.review import review

    found = _find(where)
    findings = [*drift.stale(found), *asyncio.run(review(found.point))]
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise SystemExit(1)
    typer.echo(f"{found.point.name}: nothing found")


@app.command()
def release(
    where: Where = ".",
    accept: Annotated[
        bool, typer.Option("--accept", help="Also when it breaks those who rely on what was released before.")
    ] = False,
) -> None:
    """Notes the contracts and migrations as they are: what others rely on, and `check` compares with, from now on."""
    from acme.runtime import release as releases
    from acme.runtime.discovery import discover

    found = _find(where)
    entry = discover(found=[found.point]).entries[found.point.name]
    if entry.plugin is None:
        fail(entry.reason)
    before = releases.last(entry.plugin)
    if before is not None and not accept:
        if broken := releases.broken(entry.plugin, before):
            fail(f"this breaks those who rely on {before.version}; --accept releases it all the same", *broken)
        if before.version == entry.version and releases.changed(entry.plugin, before):
            fail(f"{before.version} was released already, and was another: raise the version")
    typer.echo(f"Wrote {releases.write(entry.plugin)}: commit it with version {entry.version}.")


def _find(where: str) -> Distribution:
    from acme.cli import distribution
    from acme.telemetry import configure_logs

    configure_logs(json=False, level="critical")  # what is wrong with a plugin is told in a line each
    try:
        return distribution.find(where)
    except distribution.NoPlugin as error:
        fail(str(error))
