"""`acme PLUGIN COMMAND [ARGUMENT]…`: the commands that plugins declare (`acme.Command`), beside our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import typer.main
from typer.core import TyperGroup

from acme.cli.options import fail, read_settings
from acme.cli.visits import visiting

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.plugin import Command, Plugin
    from acme.runtime.visiting import House

_HELP = ("-h", "--help")


class Commands(TyperGroup):
    """Our commands; any other word is taken for a plugin's name."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name. There always is one: a plugin's, which says so when there is no such plugin."""
        return super().get_command(ctx, cmd_name) or _of_plugin(cmd_name, self.list_commands(ctx))


def _of_plugin(name: str, ours: Sequence[str]) -> Any:
    """What click calls for a word that is none of our commands: all that follows is looked at by `run`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @app.command(
        name,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )
    def run_it(context: typer.Context) -> None:
        run(name, context.args, ours)

    return typer.main.get_command(app)


def run(name: str, words: Sequence[str], ours: Sequence[str] = ()) -> None:
    """Runs a command of a plugin, and exits with its status; 2 where there is no such command."""
    data, overlays, rest = split(words)
    settings = read_settings(overlays, data)
    from acme.runtime.discovery import discover
    from acme.telemetry import configure_logs

    configure_logs(json=False, level="critical")  # a plugin that cannot be used is told of below
    roster = discover(settings.platform.disabled)
    plugins = {entry.name: plugin for entry, plugin in roster.usable()}
    plugin = plugins.get(name)
    if plugin is None:
        if (entry := roster.entries.get(name)) is not None:
            fail(f"the plugin {name} cannot be used: {entry.reason}")
        there = [f"{each.name} {command.name}" for each in plugins.values() for command in each.commands]
        fail(f"there is no command {name}; there are: {', '.join([*ours, *there])}", code=2)
    if not rest or rest[0] in _HELP:
        _list(plugin)
        raise SystemExit(0 if rest else 2)
    command = next((each for each in plugin.commands if each.name == rest[0]), None)
    if command is None:
        known = ", ".join(each.name for each in plugin.commands) or "none"
        fail(f"the plugin {name} has no command {rest[0]}; there are: {known}", code=2)
    raise SystemExit(visiting(settings, _perform(name, command, rest[1:])))


def _perform(name: str, command: Command, arguments: Sequence[str]) -> Any:
    async def perform(house: House) -> int:
        visited = await house.plugin(name)
        with visited.units.outside():
            return await command.run(visited.resources, arguments)

    return perform


def _list(plugin: Plugin) -> None:
    typer.echo(f"Commands of the plugin {plugin.name}, with --data and --config as for all others:\n")
    for command in plugin.commands:
        typer.echo(f"  {command.name:<12} {command.help}")
    if not plugin.commands:
        typer.echo("  none")


def split(words: Sequence[str]) -> tuple[Path | None, list[Path], list[str]]:
    """(--data, every --config, the rest): wherever they stand, up to a "--", which is dropped."""
    data: Path | None = None
    overlays: list[Path] = []
    rest: list[str] = []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if word == "--":
            rest += remaining
            break
        option, equals, value = word.partition("=")
        if option not in ("--data", "--config", "-c"):
            rest.append(word)
            continue
        if not equals:
            if not remaining:
                fail(f"{option} needs a value", code=2)
            value = remaining.pop(0)
        if option == "--data":
            data = Path(value)
        else:
            overlays.append(Path(value))
    return data, overlays, rest
