"""Brings a service's database up to date: the platform's migrations in schema `acme`, then the plugin's own.

A migration is a file `<package>/migrations/NNNN_name.sql`, numbered from 0001 without gaps, applied once, in order, in a
transaction of its own together with its row in `acme.migrations`. A file that was applied never changes again: what is to
change goes into a new one. There is no way back; a database that is newer than the code is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from acme.ports import Clock, Connection, Database, Row

PLATFORM: Final = "acme"
"""Package of the platform's own migrations, and the name they are recorded under."""

_LOCK: Final = 0x61636D65_6D696772  # "acmemigr"; advisory locks are a database's own, so one number serves all plugins
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ASIDE: Final = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"[^"]*"|(\$[A-Za-z_0-9]*\$).*?\1""", re.DOTALL)
"""Comments, strings, names in quotes, bodies of functions."""
_TRANSACTION: Final = re.compile(
    r"(?:^|;)\s*(COMMIT|ROLLBACK(?!\s+TO)|ABORT|START\s+TRANSACTION|BEGIN(?!\s+ATOMIC))\b", re.IGNORECASE
)
_TABLE: Final = """
CREATE SCHEMA IF NOT EXISTS acme;
CREATE TABLE IF NOT EXISTS acme.migrations (
    plugin text NOT NULL,
    number int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL, -- SHA-256 of the file, in hex
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (plugin, number)
)
"""


class MigrationError(Exception):
    """The files and the database do not fit together; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What `migrate` found and did."""

    current: int
    """Number of the plugin's last migration, 0 for none."""
    applied: tuple[str, ...]
    """Files applied just now, the platform's first, in order, as `package/migrations/NNNN_name.sql`."""
    new: int
    """How many of them are the plugin's own."""

    def __str__(self) -> str:
        return f"{self.current}" + (f" ({self.new} new)" if self.new else "")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    package: str
    number: int
    name: str
    sql: str

    @property
    def file(self) -> str:
        return f"{self.package}/migrations/{self.number:04}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(
    database: Database, plugin: str, package: str, clock: Clock, *, limit: float = 300.0, last: int | None = None
) -> Applied:
    """Applies what is missing, or no more than the `last` of the plugin's own. Several processes may call it at once: one
    applies, the others wait up to `limit` seconds.

    Raises:
        MigrationError: numbers with a gap or twice, a file that changed after it was applied, a database newer than the
            code, or the others take too long.
        acme.errors.Unavailable: the database cannot be reached.
        Exception: the driver's, when a statement fails; a note names the file, and nothing of that file was done.
    """
    platform, own = read(PLATFORM), read(package)[:last]
    async with database.connection() as connection:
        await _lock(connection, limit)
        try:
            await connection.execute(_TABLE)
            ours = await _apply(connection, PLATFORM, platform, clock)
            theirs = await _apply(connection, plugin, own, clock)
        finally:
            # A failure, or a cancellation, may have left a transaction open, in which no other statement would work.
            await connection.execute(f"ROLLBACK; SELECT pg_advisory_unlock({_LOCK})")
    return Applied(len(own), (*ours, *theirs), len(theirs))


def read(package: str) -> list[Migration]:
    """The migrations of a package, in order; none when it has no folder `migrations`.

    Raises:
        MigrationError: a name that is none of a migration, a number twice, a gap, or a statement that would end the
            transaction, so that a failure after it would leave half of the file done.
    """
    folder = files(package) / "migrations"
    if not folder.is_dir():
        return []
    found: list[Migration] = []
    for entry in folder.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        shape = _FILE.fullmatch(entry.name)
        if shape is None:
            raise MigrationError(
                f"{package}/migrations/{entry.name}: rename it to NNNN_name.sql, such as 0001_first.sql"
            )
        sql = entry.read_bytes().decode().replace("\r\n", "\n")  # a checkout on Windows has the same checksum
        found.append(Migration(package, int(shape[1]), shape[2], sql))
        if ends := _TRANSACTION.search(_ASIDE.sub(" ", sql)):
            raise MigrationError(
                f"{found[-1].file}: remove {ends[1].upper()}: a migration is applied in a transaction of its own, whole or"
                " not at all"
            )
    found.sort(key=lambda migration: (migration.number, migration.name))
    for number, migration in enumerate(found, 1):
        if migration.number < number:
            before = found[number - 2].file
            raise MigrationError(f"{migration.file}: there is {before} too: give one of them the next free number")
        if migration.number > number:
            raise MigrationError(f"{migration.file}: there is no {number:04}: number migrations without gaps")
    return found


async def _lock(connection: Connection, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await connection.fetchval("SELECT pg_advisory_lock($1)", _LOCK)
    except TimeoutError:
        raise MigrationError(
            f"another process has been migrating this database for more than {limit:g} s: wait for it, or end it"
        ) from None


async def _apply(connection: Connection, plugin: str, migrations: Sequence[Migration], clock: Clock) -> list[str]:
    """Applies those of one plugin that are missing, and returns their files."""
    rows = await connection.fetch(
        "SELECT number, name, checksum FROM acme.migrations WHERE plugin = $1 ORDER BY number", plugin
    )
    _compare(plugin, migrations, rows)
    missing = migrations[len(rows) :]
    for migration in missing:
        try:
            await connection.begin()
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO acme.migrations (plugin, number, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
                plugin,
                migration.number,
                migration.name,
                migration.checksum,
                clock.now(),
            )
            await connection.commit()
        except BaseException as error:
            error.add_note(f"while applying {migration.file}; nothing of it was done")
            raise
    return [migration.file for migration in missing]


def _compare(plugin: str, migrations: Sequence[Migration], rows: Sequence[Row]) -> None:
    """Whether the files begin with what was applied."""
    if len(rows) > len(migrations):
        last = rows[-1]
        raise MigrationError(
            f"the database of {plugin} is newer than this version: it has {last['number']:04}_{last['name']}, the code"
            f" ends at {len(migrations):04}: run the version that migrated it, or restore a backup"
        )
    for row, migration in zip(rows, migrations, strict=False):
        if (row["number"], row["checksum"]) != (migration.number, migration.checksum):
            raise MigrationError(
                f"{migration.file} changed after it was applied: restore it as it was, and put the change into"
                f" {len(migrations) + 1:04}_name.sql"
            )
