"""Other settings for a process that runs: read again, whole or not at all, between two requests.

    SIGHUP, `acme reload`  →  look: read, check, say what would change  →  apply: the same, and do it

What a running process can take, `merged` says; the rest waits for a restart, by name, and nothing else waits for it. All of
a platform's processes on a machine are asked to look before the first one applies, so that a mistake changes none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from acme.config import ConfigError
from acme.gateway.app import Gateway
from acme.runtime import control
from acme.runtime.changes import Change, changes, digest, merged
from acme.runtime.databases import CannotStart
from acme.runtime.discovery import Roster
from acme.runtime.edge import Edge
from acme.runtime.runfolder import RunFolder, alive
from acme.runtime.settings import Config
from acme.telemetry import logger

log: Final = logger(__name__)

Reread = Callable[[Sequence[Path] | None], Config]
"""Reads the configuration as the process has read its own, or with other overlays in the place of its own."""
Prepare = Callable[[Config], Callable[[], None]]
"""Takes a configuration, raises ValueError where that cannot be, and returns what puts it in force and cannot fail."""

PATIENCE: Final = 30.0
"""Seconds that a process may take to answer: one that is very busy is not one that is gone."""

_NEVER: Final = ("platform.data", "platform.region")
"""What makes a platform another one."""


class Outlook(msgspec.Struct, frozen=True):
    """What reading the configuration again comes to."""

    problems: tuple[str, ...] = ()
    """Why it is refused: then nothing changes."""
    changes: tuple[Change, ...] = ()
    digest: str = ""
    """Of the configuration that was read: whoever has looked applies this one and no other."""


class Reloading:
    """The settings of one process, as they are now."""

    def __init__(
        self, config: Config, reread: Reread | None, ours: Callable[[str], bool] = lambda setting: True
    ) -> None:
        """`ours` says whether a setting matters to this process at all."""
        self.config = config
        self._reread, self._ours = reread, ours
        self._checks: list[Callable[[Config], None]] = []
        self._prepare: list[Prepare] = []

    def require(self, check: Callable[[Config], None]) -> None:
        """From now on `check` looks at all that is read, restart or not; it raises ConfigError where that cannot be."""
        self._checks.append(check)

    def follow(self, prepare: Prepare) -> None:
        """From now on `prepare` is asked about each configuration, as far as it would come into force, before it does."""
        self._prepare.append(prepare)

    def look(self, files: Sequence[str] | None = None) -> Outlook:
        """What a reload would do; with `files` in the place of the overlays that the process was started with."""
        return self._read(files)[0]

    async def drain(self, gateway: Gateway) -> None:
        """Ends a gateway in order, by the settings of that moment."""
        edge = self.config.gateway
        await gateway.drain(edge.grace, notice=edge.notice)

    def hang_up(self) -> None:
        """SIGHUP: the log tells what came of it."""
        self.apply()

    def apply(self, digest: str = "") -> Outlook:
        """Reads the configuration and puts it in force, if it is right, and the one with this digest where one is given."""
        outlook, commits, config = self._read(None)
        if not outlook.problems and digest not in ("", outlook.digest):
            outlook = Outlook(("the configuration has changed again since it was looked at",))
        if outlook.problems:
            log.error("configuration refused", problems=list(outlook.problems))
            return outlook
        for commit in commits:
            commit()
        self.config = config
        now = [change.setting for change in outlook.changes if not change.restart]
        later = [change.setting for change in outlook.changes if change.restart]
        log.info("configuration read again", changed=now, needs_a_restart=later)
        return outlook

    def _read(self, files: Sequence[str] | None) -> tuple[Outlook, list[Callable[[], None]], Config]:
        if self._reread is None:
            return Outlook(("this process was not started from files, and cannot read them again",)), [], self.config
        try:
            new = self._reread(None if files is None else [Path(file) for file in files])
        except ConfigError as error:
            return Outlook(error.problems), [], self.config
        try:
            config = merged(self.config, new)
        except ValueError as error:
            return Outlook((f"with what takes a restart: {error}",)), [], self.config
        found = changes(self.config, new)
        problems = [f"{each.setting}: never changes while a platform runs" for each in found if each.setting in _NEVER]
        for check in self._checks:
            try:
                check(new)
            except ConfigError as error:
                problems += error.problems
        commits: list[Callable[[], None]] = []
        for prepare in self._prepare:
            try:
                commits.append(prepare(config))
            except ConfigError as error:
                problems += error.problems
            except ValueError as error:
                problems += str(error).splitlines()
        told = tuple(each for each in found if self._ours(each.setting))
        return Outlook(tuple(problems), told, digest(new)), commits, config


def prepare_gateway(gateway: Gateway, edge: Edge, config: Config) -> Callable[[], None]:
    """What puts a gateway, and the certificates of its listeners, under other settings. All that is wrong is told."""
    problems: list[str] = []
    commits: list[Callable[[], None]] = []
    for prepare in (gateway.prepare, edge.prepare):
        try:
            commits.append(prepare(config.gateway))
        except (ValueError, CannotStart) as error:
            at = "gateway." if isinstance(error, ValueError) else ""
            problems += [at + line for line in str(error).splitlines()]
    if problems:
        raise ConfigError(*problems)

    def commit() -> None:
        for each in commits:
            each()

    return commit


def plugins(roster: Roster, config: Config) -> None:
    """Whether plugins could be started with these settings. They are not handed to those that run."""
    for entry, plugin in roster.usable():
        if (section := config.plugins.get(entry.name)) is not None:
            section.decode(plugin.settings)


class Answer(msgspec.Struct, frozen=True):
    """What one process said."""

    process: str
    outlook: Outlook


async def everywhere(
    data: Path, files: Sequence[str] | None = None, *, apply: bool = False
) -> tuple[list[Answer], list[str]]:
    """What every process on a data folder would do, in the order of their names; then, if all of them can, they `apply` it.
    And who did not answer: then nobody applies anything."""
    if not (data / "run").is_dir():
        return [], []
    folder = RunFolder(data)
    try:
        found, silent = await _ask(folder, {name: ("look", {"files": files}) for name in folder.controls()})
        if not apply or silent or any(answer.outlook.problems for answer in found):
            return found, silent
        asked = {f"{answer.process}.sock": ("apply", {"digest": answer.outlook.digest}) for answer in found}
        return await _ask(folder, asked)
    finally:
        folder.close()


async def _ask(folder: RunFolder, asked: Mapping[str, tuple[str, Mapping[str, Any]]]) -> tuple[list[Answer], list[str]]:
    found: list[Answer] = []
    silent: list[str] = []
    for name, (command, arguments) in asked.items():
        if not alive(folder.socket(name)):
            continue  # left by a process that was killed
        try:
            answer = await control.ask(folder, name, command, arguments, limit=PATIENCE)
        except control.Unknown:
            continue  # a supervisor: it has no settings of its own that a reload could change
        except control.Silent as error:
            silent.append(str(error))
            continue
        found.append(Answer(name.removesuffix(".sock"), msgspec.convert(answer, Outlook)))
    return found, silent


async def reloaded(data: Path) -> None:
    """Has every process on a folder read its settings again; the log tells what came of it."""
    found, silent = await everywhere(data, apply=True)
    problems = {answer.process: list(answer.outlook.problems) for answer in found if answer.outlook.problems}
    if silent or problems:
        log.error("configuration refused", problems=problems, silent=silent)
    else:
        log.info("configuration read again", processes=[answer.process for answer in found])
