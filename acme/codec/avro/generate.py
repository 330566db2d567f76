"""What of schemas belongs into a folder of contracts: all that was there, and a version more where an event has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from acme.codec.avro import golden
from acme.codec.avro.compatible import breaches
from acme.codec.avro.released import LOCK, Version, collision, events_of, lock_of, read_lock, sha256
from acme.codec.avro.schema import Schema, Unfit, id_of, printed, schema_of, subject_of
from acme.contract import Contracts, Message

AGAIN: Final = (
    "a schema that was released never changes; one that was not can be made anew: "
    f"restore {LOCK} and schemas/ as they were released, and generate"
)


class SchemaError(Exception):
    """The schemas of a folder are wrong, or a change of an event breaks those who read it. A line a fault."""

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__("\n".join(faults))


def schemas(contracts: Contracts, package: str, folder: Traversable | None) -> dict[str, bytes]:
    """Every file about schemas of `package`: relative path → content; empty when it has no event. Writes nothing.

    `folder` holds what is released already; without it, every event begins at version 1.

    Raises:
        SchemaError: a released file was changed, is missing or cannot be read by all; a change that breaks; two schemas
            with one id; or a field that Avro cannot hold.
    """
    mine = [m for m in events_of(contracts) if contracts.packages[m.descriptor.file.name] == package]
    released = list(_released(folder)) if folder is not None else []
    if not mine and not released:
        return {}
    history = _History(released, folder or Path())
    faults = history.faults()
    for message in mine:
        try:
            faults += history.add(message)
        except Unfit as error:
            faults.append(str(error))
    faults += history.clashes()
    if faults and any(" breaks version " in line for line in faults):
        faults.append(AGAIN)
    if faults:
        raise SchemaError(faults)
    return history.files()


def _released(folder: Traversable) -> Iterator[Version]:
    try:
        yield from read_lock(folder)
    except ValueError as error:
        raise SchemaError([str(error)]) from None


class _History:
    """The versions of every subject, with their files."""

    def __init__(self, released: Iterable[Version], home: Traversable) -> None:
        self._home = home
        self._versions: dict[str, dict[int, Version]] = {}
        self._schemas: dict[tuple[str, int], Schema] = {}
        self._files: dict[str, bytes] = {}
        self._wrong: list[str] = []
        for version in released:
            self._versions.setdefault(version.subject, {})[version.number] = version
            self._read(version)

    def _read(self, version: Version) -> None:
        for path, digest in ((version.path, version.sha256), (version.golden_path, version.golden)):
            file = version.home.joinpath(*path.split("/"))
            content = file.read_bytes() if file.is_file() else b""
            self._files[path] = content
            if sha256(content) != digest:
                self._wrong.append(f"{path}: {'was changed' if content else 'is missing'}: {AGAIN}")
        try:
            schema = json.loads(self._files[version.path])
        except ValueError:
            return
        self._schemas[version.subject, version.number] = schema
        if id_of(version.subject, schema) != version.id:
            self._wrong.append(f"{LOCK}: {version.id} is not the id of {version.path}: {AGAIN}")

    def faults(self) -> list[str]:
        """What is wrong with what was released."""
        if self._wrong:
            return self._wrong
        return [line for subject in self._versions for line in (*self._golden(subject), *self._apart(subject))]

    def _golden(self, subject: str) -> list[str]:
        """Every writer's examples, with every reader."""
        versions = self._versions[subject]
        files = {number: self._files[version.golden_path] for number, version in versions.items()}
        return [f"{subject}: {line}" for line in golden.faults(self._of(subject), files)]

    def _apart(self, subject: str) -> list[str]:
        """Every version against every later one."""
        found, schemas = [], self._of(subject)
        for older in sorted(schemas):
            for newer in sorted(schemas):
                if older < newer:
                    for line in breaches(schemas[older], schemas[newer]):
                        found.append(f"{subject}: version {newer} breaks version {older}: {line}")
        return found

    def _of(self, subject: str) -> dict[int, Schema]:
        return {number: schema for (name, number), schema in self._schemas.items() if name == subject}

    def add(self, message: Message) -> list[str]:
        """Makes a version of what the contract says, unless there is one; returns what that breaks."""
        subject, schema = subject_of(message), schema_of(message)
        versions = self._versions.setdefault(subject, {})
        id_ = id_of(subject, schema)
        if any(version.id == id_ for version in versions.values()) or self._wrong:
            return []
        number = max(versions, default=0) + 1
        text, examples = printed(schema), golden.golden_of(schema)
        version = Version(subject, number, id_, sha256(text), sha256(examples), self._home)
        versions[number] = version
        self._schemas[subject, number] = schema
        self._files |= {version.path: text, version.golden_path: examples}
        return [*self._apart(subject), *self._golden(subject)]

    def clashes(self) -> list[str]:
        """Two schemas with one id."""
        found, by_id = [], dict[int, Version]()
        for version in self._all():
            other = by_id.setdefault(version.id, version)
            if other is not version:
                found.append(collision(version, other))
        return found

    def files(self) -> dict[str, bytes]:
        """All of it, and the lock."""
        return {LOCK: lock_of(self._all()), **self._files}

    def _all(self) -> list[Version]:
        return [version for versions in self._versions.values() for version in versions.values()]
