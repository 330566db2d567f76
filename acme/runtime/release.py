"""What a plugin has released: the contracts and migrations that others rely on, kept in its package and in its repository.

`<package>/released/` holds `release.json` (version, and the migrations with their checksums) and, for each package of
contracts, the descriptors as they were, `<import package>.binpb`. `acme plugin release` writes it, `acme plugin check`
compares with it.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from acme.contract import package_of
from acme.contract.changes import breaking
from acme.contract.load import DESCRIPTORS, HOME, check
from acme.plugin import Plugin
from acme.runtime.migrations import read


class Release(msgspec.Struct, frozen=True):
    """`release.json`."""

    version: str
    migrations: dict[str, str]
    """Name of the file → SHA-256 of its content, in hex."""


def current(plugin: Plugin) -> Release:
    """What would be released now.

    Raises:
        acme.runtime.migrations.MigrationError: the files are not in order.
    """
    own = read(plugin.package)
    return Release(plugin.version, {each.file.rpartition("/")[2]: each.checksum for each in own})


def last(plugin: Plugin) -> Release | None:
    """What was released last; `None` when nothing was.

    Raises:
        msgspec.DecodeError: somebody wrote into the file.
    """
    file = _folder(plugin) / "release.json"
    return msgspec.json.decode(file.read_bytes(), type=Release) if file.is_file() else None


def changed(plugin: Plugin, since: Release) -> bool:
    """Whether contracts or migrations differ from the released ones in any way, comments included."""
    folder = _folder(plugin)
    kept = {name: folder / f"{name}.binpb" for name in _contracts(plugin)}
    same = {name: file.read_bytes() for name, file in kept.items() if file.is_file()} == _contracts(plugin)
    return not same or since.migrations != current(plugin).migrations


def write(plugin: Plugin) -> Path:
    """Makes the present state the released one, and returns the folder it is noted in."""
    folder = Path(str(_folder(plugin)))
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.binpb"):
        file.unlink()
    for package, content in _contracts(plugin).items():
        (folder / f"{package}.binpb").write_bytes(content)
    (folder / "release.json").write_bytes(msgspec.json.format(msgspec.json.encode(current(plugin))) + b"\n")
    return folder


def broken(plugin: Plugin, since: Release) -> list[str]:
    """What was released and is not so any more: contracts that changed in a way that breaks somebody, and migrations.

    Raises:
        acme.contract.ContractError: the contracts as they are, or as they were, cannot be read.
    """
    home = {HOME: (files(HOME) / DESCRIPTORS).read_bytes()}
    platforms = {message.descriptor.file.name for message in check(home).messages.values()}
    now, found = _contracts(plugin), list[str]()
    for file in sorted(_folder(plugin).iterdir(), key=lambda file: file.name):
        package = file.name.removesuffix(".binpb")
        if package == file.name:
            continue
        if package not in now:
            found.append(f"{package}: the plugin keeps no contract of it any more")
            continue
        before = check({**home, package: file.read_bytes()})
        files_before = {message.descriptor.file.name for message in before.messages.values()}
        files_before |= {service.file for service in before.services.values()}
        found += breaking(before, check({**home, package: now[package]}), files_before - platforms)
    present = current(plugin).migrations
    for name, checksum in since.migrations.items():
        if name not in present:
            found.append(f"migrations/{name}: was released with {since.version} and is gone")
        elif present[name] != checksum:
            found.append(
                f"migrations/{name}: changed after it was released with {since.version}: add a new one instead"
            )
    return found


def _contracts(plugin: Plugin) -> dict[str, bytes]:
    """The descriptors of the plugin's own contracts. Those of the platform are released with it."""
    packages = {package_of(base) for base in plugin.contracts} - {HOME}
    return {package: (files(package) / DESCRIPTORS).read_bytes() for package in sorted(packages)}


def _folder(plugin: Plugin) -> Traversable:
    return files(plugin.package) / "released"
