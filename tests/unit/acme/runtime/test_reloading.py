"""A running process takes other settings whole or not at all, and so do all processes of a platform."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acme.config import ConfigError
from acme.runtime import control, reloading
from acme.runtime.assembly import assemble
from acme.runtime.reloading import Outlook, Reloading, everywhere
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config, load
from acme.testing import Server
from tests.unit.acme.runtime.plugins import configured, made


class Desk:
    """A process whose configuration is what `values` says."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = values
        self.asked: list[Sequence[Path] | None] = []
        self.applied: list[float] = []
        self.reloading = Reloading(self.read(None), self.read)
        self.reloading.follow(self.prepare)

    def read(self, files: Sequence[Path] | None) -> Config:
        self.asked.append(files)
        return load(values=self.values)

    def prepare(self, config: Config) -> Callable[[], None]:
        if config.gateway.timeout == 13:
            raise ValueError("unlucky\nvery unlucky")
        return lambda: self.applied.append(config.gateway.timeout)


def test_what_is_right_comes_into_force() -> None:
    desk = Desk(gateway={"timeout": 5})
    desk.values = {"gateway": {"timeout": 6, "port": 1}}
    outlook = desk.reloading.look()
    assert (desk.applied, desk.reloading.config.gateway.timeout) == ([], 5.0), "a look changes nothing"
    assert desk.reloading.apply() == outlook
    assert [change.setting for change in outlook.changes] == ["gateway.timeout", "gateway.port"]
    assert (desk.applied, desk.reloading.config.gateway.timeout) == ([6.0], 6.0)
    assert [change.setting for change in desk.reloading.look().changes] == ["gateway.port"], "it still waits"


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        (
            {"gateway": {"timeout": 0, "tmeout": 1}, "log": {"level": "loud"}},
            {
                "the command line: gateway.timeout: Expected float > 0.0",
                "the command line: log.level: must be one of debug, info, warning, error",
            },
        ),
        ({"gateway": {"timeout": 13, "max_timeout": 3}}, {"unlucky", "very unlucky"}),
        (
            {"gateway": {"timeout": 3}, "platform": {"region": "moon"}},
            {"platform.region: never changes while a platform runs"},
        ),
    ],
)
def test_what_is_wrong_is_told_as_a_whole_and_changes_nothing(values: dict[str, Any], problems: set[str]) -> None:
    desk = Desk()
    desk.values = values
    before = desk.reloading.config
    outlook = desk.reloading.apply()
    assert problems <= set(outlook.problems), outlook
    assert (desk.applied, desk.reloading.config) == ([], before)


def test_one_that_cannot_takes_all_others_along() -> None:
    desk = Desk()

    def refuse(config: Config) -> Any:
        raise ConfigError("no", "and no again")

    desk.reloading.follow(refuse)
    desk.values = {"gateway": {"timeout": 6}}
    assert desk.reloading.apply().problems == ("no", "and no again")
    desk.reloading.require(refuse)
    assert desk.reloading.apply().problems == ("no", "and no again") * 2
    assert desk.applied == []


def test_what_has_changed_since_it_was_looked_at_is_not_applied() -> None:
    desk = Desk()
    desk.values = {"gateway": {"timeout": 6}}
    seen = desk.reloading.look().digest
    desk.values = {"gateway": {"timeout": 7}}
    assert desk.reloading.apply(seen).problems == ("the configuration has changed again since it was looked at",)
    assert desk.applied == []
    assert not desk.reloading.apply(desk.reloading.look().digest).problems


def test_other_overlays_are_read_where_they_are_named() -> None:
    desk = Desk()
    desk.reloading.look(["/etc/new.toml"])
    assert desk.asked[-1] == [Path("/etc/new.toml")]


def test_a_process_without_files_says_so() -> None:
    assert "cannot read them again" in Reloading(load(), None).apply().problems[0]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two processes on one folder, and a supervisor that has nothing to reload."""
    folder, desks = RunFolder(tmp_path), (Desk(), Desk())
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)
        for name, desk in zip(("control-a", "control-b"), desks, strict=True):
            commands = {"look": desk.reloading.look, "apply": desk.reloading.apply}
            await stack.enter_async_context(control.serve(folder, name, commands))
        await stack.enter_async_context(control.serve(folder, "control", {"topology": dict}))
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(folder.socket("control-killed.sock"))
        yield desks


async def test_all_processes_apply_it_or_none(two: tuple[Desk, Desk], tmp_path: Path) -> None:
    one, other = two
    one.values = {"gateway": {"timeout": 6}}
    other.values = {"gateway": {"timeout": 13}}
    found, silent = await everywhere(tmp_path, apply=True)
    assert ([answer.process for answer in found], silent) == (["control-a", "control-b"], [])
    assert [bool(answer.outlook.problems) for answer in found] == [False, True]
    assert (one.applied, other.applied) == ([], [])
    other.values = {"gateway": {"timeout": 7}}
    found, silent = await everywhere(tmp_path)
    assert (one.applied, other.applied) == ([], []), "asked for nothing but what would change"
    found, silent = await everywhere(tmp_path, apply=True)
    assert (one.applied, other.applied, silent) == ([6.0], [7.0], [])
    assert json.dumps([answer.outlook.changes[0].now for answer in found]) == '["6.0", "7.0"]'


async def test_nobody_applies_what_somebody_is_too_busy_for(
    two: tuple[Desk, Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "PATIENCE", 0.2)
    folder = RunFolder(tmp_path)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(folder.socket("control-busy.sock"))
        busy.listen()
        two[0].values = {"gateway": {"timeout": 6}}
        began = time.monotonic()
        _, silent = await everywhere(tmp_path, apply=True)
        assert time.monotonic() - began < 5
    folder.close()
    assert silent == ["control-busy.sock: no answer within 0.2 s"]
    assert two[0].applied == []


async def test_a_folder_on_which_nothing_runs_has_nobody(tmp_path: Path) -> None:
    assert await everywhere(tmp_path) == ([], [])


async def test_a_node_takes_settings_of_its_gateway_and_checks_those_of_its_plugins(
    postgres: Server, tmp_path: Path
) -> None:
    plugin = made()
    async with configured(postgres, tmp_path, plugin) as config:
        values: dict[str, Any] = {}

        def read(files: Sequence[Path] | None) -> Config:
            said = load(values=values)
            return msgspec.structs.replace(config, gateway=said.gateway, plugins=said.plugins)

        async with assemble(config, [plugin], reread=read) as node:
            values = {"gateway": {"timeout": 3, "grace": 2}}
            assert not node.reloading.apply().problems
            assert node.gateway is not None
            assert (node.gateway._settings.timeout, node.reloading.config.gateway.grace) == (3.0, 2.0)
            values = {
                "gateway": {"timeout": 4, "routes": {"no.Such/Method": {"cost": 2}}},
                "plugins": {"made": {"sise": 1}},
            }
            outlook: Outlook = node.reloading.apply()
            assert [line.partition(": ")[2] for line in outlook.problems] == [
                "plugins.made.sise: unknown key. Did you mean size? Allowed in [plugins.made]: size",
                "there is no such method with a route",
            ]
            assert node.gateway._settings.timeout == 3.0
