"""`acme config` and `acme reload`: what the settings say, what they would change, and the change itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import typer

from acme.cli.options import AsJson, Data, Overlays, fail, read_settings

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.changes import Change
    from acme.runtime.reloading import Answer
    from acme.runtime.settings import Config

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def config(context: typer.Context, config: Overlays = None) -> None:
    """Checks acme.toml, overlays and environment, the settings of plugins included, without starting anything."""
    if context.invoked_subcommand is None:
        _plugins(read_settings(config, None))
        typer.echo("The configuration is fine.")


@app.command()
def check(data: Data = None, config: Overlays = None, as_json: AsJson = False) -> None:
    """Says what a reload would change in the processes that run, or how the settings differ from the defaults.

    A process reads what it has been started with: acme.toml, its own overlays, its environment and command line. With -c,
    these files take the place of its overlays.
    """
    settings = read_settings(config, data)
    _plugins(settings, quiet=as_json)
    found, silent = _everywhere(settings, None if config is None else [str(file.absolute()) for file in config])
    from acme.runtime.changes import differences, flat
    from acme.runtime.settings import Config

    others = [
        {"setting": name, "default": was, "is": now} for name, was, now in differences(flat(Config()), flat(settings))
    ]
    if as_json:
        _json({"processes": found, "silent": silent, "defaults": others})
    else:
        typer.echo("Not as by default:" if others else "Everything is as by default.")
        for each in others:
            typer.echo(f"  {each['setting']}: {each['default'] or 'not set'} -> {each['is'] or 'not set'}")
        if not found:
            typer.echo(f"Nothing of the platform runs on {settings.data}.")
        _tell(found, silent, "would change", sys.stdout)
    if silent or any(answer.outlook.problems for answer in found):
        raise SystemExit(1)


def reload(data: Data = None, config: Overlays = None, as_json: AsJson = False) -> None:
    """Has every process read its settings again, and apply them without dropping a connection; all of them or none.

    What takes a restart is named, and waits for it. A mistake changes nothing, and is told.
    """
    settings = read_settings(config, data)
    found, silent = _everywhere(settings, None, apply=True)
    if as_json:
        _json({"processes": found, "silent": silent})
    if not found and not silent:
        fail(f"nothing of the platform runs on {settings.data}")
    refused = bool(silent) or any(answer.outlook.problems for answer in found)
    if not as_json:
        _tell(found, silent, "changed" if not refused else "would have changed", sys.stdout)
    if refused:
        fail("the configuration was refused: nothing has changed")


def _everywhere(
    settings: Config, files: Sequence[str] | None, *, apply: bool = False
) -> tuple[list[Answer], list[str]]:
    import asyncio

    from acme.runtime.reloading import everywhere

    return asyncio.run(everywhere(settings.data, files, apply=apply))


def _plugins(settings: Config, *, quiet: bool = False) -> None:
    """Tells of every plugin, and ends the command when one cannot be used."""
    from acme.runtime import discovery
    from acme.telemetry import configure_logs

    configure_logs(json=False, level="critical")  # what is wrong is told below, in one line each
    roster = discovery.discover(settings.platform.disabled)
    discovery.settings_of(roster, settings.plugins, settings.platform.disabled)
    for entry in roster.entries.values():
        if not quiet:
            typer.echo(f"plugin {entry.name} {entry.version}: {entry.reason or 'ok'}")
    if any(entry.reason for entry in roster.entries.values()):
        fail("not every plugin can be used")


def _tell(found: Sequence[Answer], silent: Sequence[str], done: str, out: object) -> None:
    for answer in found:
        outlook = answer.outlook
        if outlook.problems:
            typer.echo(f"{answer.process}: refused")
            for line in outlook.problems:
                typer.echo(f"  {line}")
        elif not outlook.changes:
            typer.echo(f"{answer.process}: nothing {done}")
        else:
            typer.echo(f"{answer.process}: {done}")
            for change in outlook.changes:
                typer.echo(f"  {_line(change)}")
    for line in silent:
        typer.echo(line, err=True)


def _line(change: Change) -> str:
    told = f"{change.setting}: {change.was or 'not set'} -> {change.now or 'not set'}"
    return f"{told}  (needs a restart: {change.restart})" if change.restart else told


def _json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    sys.stdout.buffer.flush()
