"""One PostgreSQL and one set of worker processes for a whole test run, shared by all of its processes.

    with lease(run_id) as server:
        async with server.database() as url:
            ...

The first process that asks starts a holder (`holder.py`); the others, such as the workers of pytest-xdist, connect to it.
Nothing of it survives the last of them. Asking costs about a second once a run, and nothing when nobody asks.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.ports import Connection
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.holder import READY, Staffed

START_LIMIT: Final = 60.0
"""Seconds for the server to start."""
STOP_LIMIT: Final = 20.0
"""Seconds for the server to end after its last user."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder in it is checked
"""Where Linux has a file system in memory; a container's is often 64 MB."""
_PLENTY: Final = 3 << 30
"""Bytes that have to be free there: a whole run needs less than one GiB."""


class Server:
    """The run's PostgreSQL: makes databases, and drops them. It also has the plugins' worker processes."""

    def __init__(self, folder: Path, holder: socket.socket) -> None:
        """`holder` is a counted connection to the one who holds all this."""
        self.folder: Final = folder
        self._holder = holder
        self._postgres = EmbeddedPostgres(folder)

    def url(self, database: str) -> str:
        """The address of a database, for any process of this user."""
        return self._postgres.url(database)

    def worker(self, plugin: str) -> Staffed:
        """The process that hosts a plugin for the placement "process", one for the run; started by the first who asks.

        Raises:
            AssertionError: it did not start; with what it said.
        """
        self._holder.sendall(plugin.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            more = self._holder.recv(1 << 16)
            if not more:
                raise AssertionError(f"the holder of {self.folder} has gone")
            answer += more
        staffed = msgspec.json.decode(answer, type=Staffed)
        if staffed.error:
            raise AssertionError(staffed.error)
        return staffed

    @asynccontextmanager
    async def connection(self, database: str = "postgres") -> AsyncIterator[Connection]:
        """A connection of one's own, for looking and for administration."""
        async with Tasks("testing", Metrics()) as tasks:
            pool = await postgres.open(self.url(database), size=1, tasks=tasks)
            try:
                async with pool.connection() as connection:
                    yield connection
            finally:
                await pool.close()

    @asynccontextmanager
    async def database(self, *, template: str | None = None) -> AsyncIterator[str]:
        """The name of a fresh database, a copy of `template` if given; dropped at the end, whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        await self._postgres.create_database(name, template=template)
        try:
            yield name
        finally:
            async with self.connection() as connection:
                await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @asynccontextmanager
    async def building(self, name: str) -> AsyncIterator[str | None]:
        """Builds the template database `name` once a run: yields the name of an empty database to fill, or `None` when it
        is built already. It becomes the template when the block ends well. Who asks for it meanwhile waits."""
        async with self.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", name)
            if await connection.fetchval(postgres.DATABASE_EXISTS, name):
                yield None
                return
            async with self.database() as draft:
                yield draft
                await connection.execute(f"ALTER DATABASE {draft} RENAME TO {name}")


@contextmanager
def lease(run: str) -> Iterator[Server]:
    """The server of the test run `run` (letters, digits, `-`), started if need be; kept alive until the block ends.

    Raises:
        RuntimeError: it did not start; with what it said.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", run):
        raise ValueError(f"{run!r} cannot name a test run")
    home = _home()
    folder = home / f"run-{run}"
    with _locked(home / "lock"):
        connection = _connect(folder) or _start(folder)
    try:
        yield Server(folder, connection)
    finally:
        # Under the lock: whoever connects next finds either a server that stays, or none.
        # That it is gone already, or does not end, is no concern of tests that are over.
        with _locked(home / "lock"), connection, suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(STOP_LIMIT)
            connection.recv(1)


def roomy() -> Path:
    """For what lives as long as a test: memory, where there is plenty. To make and drop a database, 300 files, takes 80 ms
    of a core on ext4, here 12; and a mail waits for no disk."""
    with suppress(OSError):
        room = os.statvfs(_MEMORY)
        if room.f_bavail * room.f_frsize >= _PLENTY and os.access(_MEMORY, os.W_OK | os.X_OK):
            return _MEMORY
    return Path(tempfile.gettempdir())


def _home() -> Path:
    """A folder that is ours alone: its name can be guessed, so its owner is checked."""
    home = roomy() / f"acme-tests-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise RuntimeError(f"{home} belongs to somebody else, or is open to others: remove it")
    return home


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _connect(folder: Path) -> socket.socket | None:
    """A counted connection to the holder; `None` when there is none that stays."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(START_LIMIT)
    try:
        connection.connect(str(folder / "socket"))
        if connection.recv(len(READY)) == READY:
            return connection
    except (FileNotFoundError, ConnectionError):
        pass
    connection.close()
    return None


def _start(folder: Path) -> socket.socket:
    until = time.monotonic() + START_LIMIT
    _gone(folder, until)
    folder.mkdir(mode=0o700)
    log = folder / "log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C is for the tests, which still want to tidy up.
        holder = subprocess.Popen(  # noqa: S603 - our own module, in a folder we just made
            [sys.executable, "-m", "acme.testing.holder", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while (connection := _connect(folder)) is None:
        if holder.poll() is not None or time.monotonic() > until:
            holder.kill()
            holder.wait()
            said = log.read_text(errors="replace")
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeError(f"the PostgreSQL of the tests did not start:\n{said}")
        time.sleep(0.01)
    # The holder outlives the process that started it, if others need it: nobody waits for it as a child.
    holder.returncode = 0
    return connection


def _gone(folder: Path, until: float) -> None:
    """Waits for a holder that is on its way out, whose last user was killed; removes what a killed one left."""
    try:
        descriptor = os.open(folder / "alive", os.O_RDWR)
    except FileNotFoundError:
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise RuntimeError(f"the holder of {folder} does not end") from None
                time.sleep(0.01)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
