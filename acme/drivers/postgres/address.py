"""Where a database is: connections to it, and how it comes to be there."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import msgspec
from asyncpg import exceptions as pg

from acme.drivers.postgres.session import Session
from acme.errors import Unavailable

Raw: TypeAlias = Session

CONNECT_LIMIT: Final = 5.0
"""Seconds to open a connection, and to clean one."""
_SESSION: Final = {
    "application_name": "acme",
    "search_path": "public",  # the default begins with a schema named like the user, which `acme` may well be
    "idle_in_transaction_session_timeout": "60s",  # a process that stands still does not keep its locks for ever
}
_COPY: Final = " TEMPLATE {} STRATEGY FILE_COPY"
"""Only databases that are thrown away have a template, on servers that wait for no disk. There a copy of its files takes
6 ms of a core, and one that goes through the buffers and the WAL 23."""
DATABASE_EXISTS: Final = "SELECT 1 FROM pg_database WHERE datname = $1"
_SOCKET_PATH_LIMIT: Final = 107
"""Bytes of `sun_path` less the final NUL (unix(7))."""
_DECODER: Final = msgspec.json.Decoder()
LOST: Final = (  # whatever the statement was, there is no connection any more, or none to be had
    OSError,
    TimeoutError,
    pg.PostgresConnectionError,
    pg.CannotConnectNowError,
    pg.TooManyConnectionsError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.IdleInTransactionSessionTimeoutError,
)


async def create_database(url: str, name: str, *, template: str | None = None) -> None:
    """Creates the database `name`, unless it is there already, through a connection to the database at `url`.

    Raises:
        ValueError: a name that would need quoting.
        acme.errors.Unavailable: the server cannot be reached.
    """
    for identifier in (name,) if template is None else (name, template):
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", identifier):
            raise ValueError(f"database name {identifier!r}: lower-case letters, digits and underscores, at most 63")
    address = Address(url)
    try:
        raw = await address.connect()
        try:
            if not await raw.fetchval(DATABASE_EXISTS, name):
                await raw.execute(f"CREATE DATABASE {name}" + (_COPY.format(template) if template else ""))
        except (pg.DuplicateDatabaseError, pg.UniqueViolationError):
            pass  # somebody else was faster
        finally:
            await raw.close(timeout=CONNECT_LIMIT)
    except LOST as error:
        raise unreachable() from error
    finally:
        address.close()


async def ensure_database(url: str) -> None:
    """Creates the database that `url` names, unless it is there: through the database `postgres` of the same server.

    Raises:
        As `create_database`.
    """
    address = Address(url)
    try:
        raw = await address.connect()
        await raw.close(timeout=CONNECT_LIMIT)
    except pg.InvalidCatalogNameError:
        parts = urlsplit(url)
        await create_database(parts._replace(path="/postgres").geturl(), unquote(parts.path[1:]))
    except LOST as error:
        raise unreachable() from error
    finally:
        address.close()


class Address:
    """Where a database is. Holds its socket's folder open when the path is longer than a socket's may be."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.database: Final = unquote(urlsplit(url).path[1:])
        """Its name."""
        self._host: str | None = None
        self._folder: int | None = None
        host = parse_qs(urlsplit(url).query).get("host", [""])[0]
        too_long = len(os.fsencode(host)) + len("/.s.PGSQL.65535") > _SOCKET_PATH_LIMIT
        if sys.platform == "linux" and host.startswith("/") and too_long:
            self._folder = os.open(host, os.O_PATH | os.O_DIRECTORY)
            self._host = f"/proc/self/fd/{self._folder}"

    async def connect(self) -> Raw:
        """A new connection, with `jsonb` as Python's dicts and lists.

        Raises:
            One of `LOST`: no connection; else what asyncpg raises (no such database, wrong password).
        """
        try:
            raw: Raw = await asyncpg.connect(
                self._url,
                host=self._host,
                timeout=CONNECT_LIMIT,
                server_settings=_SESSION,
                connection_class=Session,
            )
        except pg.ObjectNotInPrerequisiteStateError as error:  # its operator keeps everybody out (ALLOW_CONNECTIONS)
            raise ConnectionRefusedError("the database does not accept connections") from error
        try:
            await raw.set_type_codec(
                "jsonb", schema="pg_catalog", format="binary", encoder=_to_jsonb, decoder=_from_jsonb
            )
        except BaseException:
            raw.terminate()
            raise
        return raw

    def close(self) -> None:
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


def _to_jsonb(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)  # the binary form is a version and the text (jsonb_send)


def _from_jsonb(value: bytes) -> Any:
    return _DECODER.decode(value[1:])  # a memoryview copies nothing, and takes twice as long up to some KB


def unreachable() -> Unavailable:
    """What is raised where there is no connection to be had; it names no address."""
    return Unavailable("the database cannot be reached")
