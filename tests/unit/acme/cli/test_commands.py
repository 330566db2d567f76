"""`acme PLUGIN COMMAND`: the commands of plugins beside our own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acme_audit import plugin as audit
from acme_users import plugin as users

import acme.runtime.discovery
import acme.runtime.visiting
from acme import Command as PluginCommand
from acme import Resources
from acme.cli.commands import split
from acme.errors import Unavailable
from acme.runtime.assembly import assemble
from acme.runtime.discovery import Roster, enlist
from tests.unit.acme.cli.command import Command
from tests.visited import settings


async def count(resources: Resources[Any], arguments: Sequence[str]) -> int:
    """What the tests call."""
    if arguments == ["fail"]:
        raise Unavailable("not now")
    number = await resources.database.fetchval("SELECT count(*) FROM acme.migrations WHERE plugin = 'users'")
    print(resources.name, number > 0, *arguments)
    return len(arguments)


@pytest.fixture(autouse=True)
def _a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin users gets a command."""
    told = replace(users, commands=(PluginCommand("count", "Counts.", count),))

    def discover(disabled: Sequence[str] = ()) -> Roster:
        return enlist([told, audit])

    monkeypatch.setattr(acme.runtime.discovery, "discover", discover)
    monkeypatch.setattr(acme.runtime.visiting, "discover", discover)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a platform that has run."""
    folder = tmp_path_factory.mktemp("commands") / "data"

    async def run() -> None:
        async with assemble(settings(folder), [users, audit]):
            pass

    asyncio.run(run())
    return folder


def test_a_plugins_command_has_its_database_and_decides_on_the_exit_status(acme: Command, data: Path) -> None:
    ended = acme("users", "count", "--data", str(data))
    assert (ended.code, ended.out) == (0, "users True\n")
    ended = acme("users", "--data", str(data), "count", "--offline", "-x=1", "word")
    assert (ended.code, ended.out) == (3, "users True --offline -x=1 word\n")


def test_a_refusal_of_a_command_is_one_line(acme: Command, data: Path) -> None:
    ended = acme("users", "count", "fail", "--data", str(data))
    assert (ended.code, ended.err) == (1, "acme: not now\n")


def test_a_word_that_is_no_command_is_told_with_those_that_are(acme: Command) -> None:
    ended = acme("userz", "count")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("acme: there is no command userz; there are: ")
    assert "users count" in ended.err
    assert "audit verify" in ended.err


def test_a_command_that_a_plugin_lacks_is_told_with_those_it_has(acme: Command) -> None:
    ended = acme("users", "recount")
    assert (ended.code, ended.err) == (2, "acme: the plugin users has no command recount; there are: count\n")


def test_a_plugin_alone_lists_its_commands(acme: Command) -> None:
    listed, helped = acme("users"), acme("users", "--help")
    assert (listed.code, helped.code) == (2, 0)
    assert "count        Counts." in listed.out == helped.out


@pytest.mark.parametrize(
    ("words", "data", "overlays", "rest"),
    [
        (["--data", "d", "verify"], "d", [], ["verify"]),
        (["verify", "--on", "--data=d", "-c", "a", "--config", "b", "x"], "d", ["a", "b"], ["verify", "--on", "x"]),
        (["verify", "--", "--data", "d"], None, [], ["verify", "--data", "d"]),
    ],
)  # fmt: skip
def test_our_options_are_found_wherever_they_stand(
    words: list[str], data: str | None, overlays: list[str], rest: list[str]
) -> None:
    assert split(words) == (Path(data) if data else None, [Path(each) for each in overlays], rest)


def test_an_option_without_its_value_is_told(acme: Command) -> None:
    ended = acme("users", "count", "--data")
    assert (ended.code, ended.err) == (2, "acme: --data needs a value\n")
