"""Finds plugins by entry point (group `acme.plugins`) and keeps the roster: who is up, and who is quarantined and why.

A plugin that cannot be used never takes the others down, whatever is wrong with it: its import, its declaration, its
contracts, its settings, its migrations, its service. It is named in the roster with the step and the reason, its traceback
is logged once, and its routes answer 503.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from acme import API_VERSION
from acme.codec.avro import Avro, Released
from acme.config import ConfigError, Section
from acme.contract import ContractError, Contracts, load, package_of
from acme.plugin import Plugin
from acme.telemetry import logger

log: Final = logger(__name__)

GROUP: Final = "acme.plugins"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
"""What a plugin's name looks like."""
RESERVED: Final = frozenset({"acme", "gateway", "tokens", "postgres", "template0", "template1"})
"""Names that mean something else as a database or as a caller."""


class Unusable(Exception):
    """A plugin cannot be used; the text is for people."""


@dataclass(slots=True)
class Entry:
    """One line of the roster."""

    name: str
    version: str = ""
    plugin: Plugin | None = None
    """`None` when there is no declaration that could be read."""
    placement: str = ""
    health: str = "starting"
    """"starting", "up" or "quarantined"; of a plugin that is elsewhere also what is wrong with the way to it."""
    migrations: str = ""
    """For people: what was applied and what stands, such as "3 (1 new)"."""
    reason: str = ""
    """Why it is quarantined: step and error, in one line."""


@dataclass(slots=True)
class Trial:
    """What a plugin is being tried at; the one who tries says so as it goes on."""

    step: str


@dataclass(slots=True)
class Roster:
    """Every plugin that was found, in the order of names."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def usable(self) -> list[tuple[Entry, Plugin]]:
        """The plugins that are not quarantined."""
        return [(e, e.plugin) for e in self.entries.values() if e.plugin is not None and e.health != "quarantined"]

    def quarantine(self, name: str, step: str, error: Exception | SystemExit) -> None:
        """Puts a plugin aside. The error's traceback is logged; the roster keeps its first line."""
        entry = self.entries.setdefault(name, Entry(name))
        lines = str(error).strip().splitlines() or [""]
        told = (
            lines[0]
            if isinstance(error, Unusable | ConfigError)
            else f"{type(error).__name__}: {lines[0]}".rstrip(": ")
        )
        told = "; ".join([told, *getattr(error, "__notes__", ())])  # such as the file of a migration
        entry.health, entry.reason = "quarantined", f"{step}: {told}"
        log.error("plugin quarantined", plugin=name, step=step, error=told, exc_info=error)

    @contextmanager
    def trial(self, name: str, step: str) -> Iterator[Trial]:
        """Runs steps of a plugin's life; what goes wrong quarantines the plugin and goes no further."""
        trial = Trial(step)
        try:
            yield trial
        except (Exception, SystemExit) as error:  # a plugin that calls sys.exit() ends itself, not us
            self.quarantine(name, trial.step, error)


def discover(disabled: Collection[str] = (), found: Iterable[importlib.metadata.EntryPoint] | None = None) -> Roster:
    """Loads every plugin that is installed, except the `disabled` ones. `found` replaces the search.

    Two entry points of one name are two plugins that claim it: both are put aside, since nobody can say whose data the
    database of that name is.
    """
    roster = Roster()
    points = sorted(importlib.metadata.entry_points(group=GROUP) if found is None else found)
    claims: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in points:
        # An editable installation can be listed twice: the same object under the same name is one plugin.
        if point.name not in disabled and point.value not in {other.value for other in claims.get(point.name, ())}:
            claims.setdefault(point.name, []).append(point)
    for name, rivals in claims.items():
        roster.entries[name] = entry = Entry(name, rivals[0].dist.version if rivals[0].dist else "")
        with roster.trial(name, "discovery"):
            if len(rivals) > 1:
                raise Unusable(f"{' and '.join(point.value for point in rivals)} both claim the name {name}")
            if not NAME.fullmatch(name) or name in RESERVED:
                raise Unusable(f"{name!r} cannot be a plugin's name: a letter, then up to 30 letters, digits, _")
        if entry.health == "quarantined":
            continue
        with roster.trial(name, "import"):
            entry.plugin = _declared(rivals[0])
            entry.version = entry.plugin.version
    return roster


def enlist(plugins: Iterable[Plugin]) -> Roster:
    """A roster of plugins that are at hand already, for tests."""
    return Roster({plugin.name: Entry(plugin.name, plugin.version, plugin) for plugin in plugins})


def contracts_of(roster: Roster) -> Contracts:
    """The contracts of the platform and of all usable plugins; a plugin whose contracts cannot be used, or whose events have
    no released schema, is quarantined."""
    owners: dict[str, str] = {}
    packages: dict[str, str] = {}
    for entry, plugin in roster.usable():
        with roster.trial(entry.name, "contracts"):
            for base in plugin.contracts:
                owner = owners.setdefault(f"{base.__module__}.{base.__qualname__}", entry.name)
                if owner != entry.name:
                    raise Unusable(f"{base.__qualname__} is kept by the plugin {owner} already")
                packages.setdefault(package_of(base), entry.name)
    packages.pop("acme.contracts", None)
    while True:
        try:
            contracts = load("acme.contracts", *packages)
            Released(contracts)
            return contracts
        except ContractError as error:
            if error.package not in packages:
                raise
            roster.quarantine(packages.pop(error.package), "contracts", error)


def avro_of(roster: Roster, contracts: Contracts) -> Avro:
    """The codecs of all events, with the upcasters of usable plugins; a plugin with a wrong one is quarantined."""
    avro = Avro(contracts)
    for entry, plugin in roster.usable():
        with roster.trial(entry.name, "upcasters"):
            avro.upcast(plugin.upcasters)
    return avro


def settings_of(roster: Roster, sections: Mapping[str, Section], disabled: Collection[str] = ()) -> dict[str, Any]:
    """`[plugins.NAME]` of every usable plugin, in the plugin's own type. One that cannot be decoded is quarantined.

    Raises:
        ConfigError: a table for a plugin that is not installed.
    """
    installed = sorted({*roster.entries, *disabled})
    problems = []
    for name, section in sections.items():
        if name not in installed:
            close = difflib.get_close_matches(name, installed)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            problems.append(section.fault(f"no such plugin is installed.{meant} Installed: {', '.join(installed)}"))
    if problems:
        raise ConfigError(*problems)
    decoded: dict[str, Any] = {}
    for entry, plugin in roster.usable():
        with roster.trial(entry.name, "settings"):
            section = sections.get(entry.name) or Section({}, ("plugins", entry.name), {})
            decoded[entry.name] = section.decode(plugin.settings)
    return decoded


def covers(api: str, version: str) -> bool:
    """Whether a version range such as ">=1,<2" holds a version.

    Raises:
        Unusable: it is no version range.
    """
    try:
        return version in SpecifierSet(api)
    except InvalidSpecifier:
        raise Unusable(f"api = {api!r} is not a version range, such as '>=1,<2'") from None


def _declared(point: importlib.metadata.EntryPoint) -> Plugin:
    plugin = point.load()
    if not isinstance(plugin, Plugin):
        raise Unusable(f"{point.value} is of type {type(plugin).__name__}; an acme.Plugin is expected")
    if plugin.name != point.name:
        raise Unusable(f"the entry point is named {point.name}, the plugin {plugin.name}")
    if not covers(plugin.api, API_VERSION):
        raise Unusable(f"it is made for plugin API {plugin.api}; this platform has {API_VERSION}")
    return plugin
