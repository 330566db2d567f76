"""`acme plugin …`: the commands for those who write plugins."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from acme.cli.options import AsJson, Overlays, fail, read_settings

app = typer.Typer(help="For those who write plugins: new, list.", no_args_is_help=True)


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
