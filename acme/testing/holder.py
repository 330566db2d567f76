"""The process that holds what a test run has one of, PostgreSQL and the plugins' worker processes:
`python -m acme.testing.holder FOLDER`.

Started by the first process of a test run that needs a database (`server.py`), and ended by the last: every user keeps a
connection to `FOLDER/socket` open, which the kernel closes however the user dies. A line on it names a plugin whose worker
is wanted, and is answered with a line of JSON (`Staffed`) once the worker takes orders (`worker.py`). When no user is left,
workers and server are stopped and the folder deleted; only then is the last connection closed, so whoever waits for its end
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

import msgspec

from acme.drivers import processes
from acme.drivers.embedded import EmbeddedPostgres

READY: Final = b"ready\n"
"""What a user reads once it is counted."""
FIRST_USER: Final = 30.0
"""Seconds to wait for somebody to come at all."""
WORKER_START: Final = 30.0
"""Seconds for a worker process to take orders."""
WORKER_STOP: Final = 5.0
"""Seconds for one to end."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
_SETTINGS: Final = {
    # Everything here is thrown away with the run, so nothing waits for a disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_connections": "300",  # several platforms at a time, in as many workers as there are cores
}


class Staffed(msgspec.Struct, frozen=True):
    """A worker process that takes orders, or why there is none."""

    path: str = ""
    """Its socket."""
    pid: int = 0
    error: str = ""


class Staff:
    """The worker processes: one a plugin, started when the first asks for it, again when it has died, ended with us."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Process] = {}
        self._one_at_a_time = asyncio.Lock()

    async def worker(self, name: str) -> Staffed:
        """The process for a plugin; started if need be."""
        if not _NAME.fullmatch(name):
            return Staffed(error=f"{name!r} names no plugin")
        async with self._one_at_a_time:
            path = self._folder / f"{name}.worker"
            process = self._running.get(name)
            if process is None or process.returncode is not None:
                path.unlink(missing_ok=True)
                process = self._running[name] = await self._start(path)
            try:
                async with asyncio.timeout(WORKER_START):
                    while not path.exists() and process.returncode is None:  # noqa: ASYNC110 - it is another process's
                        await asyncio.sleep(0.01)
            except TimeoutError:
                process.kill()
            if not path.exists():
                return Staffed(
                    error=f"the worker process of {name} did not start:\n{_log(path).read_text(errors='replace')}"
                )
            return Staffed(str(path), process.pid)

    async def _start(self, path: Path) -> Process:
        with _log(path).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "acme.testing.worker", str(path)),
                stdin=PIPE,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent(signal.SIGKILL),
            )

    async def stop(self) -> None:
        """Ends them; the end of their standard input tells them to."""
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._running.values():
            try:
                async with asyncio.timeout(WORKER_STOP):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _log(path: Path) -> Path:
    """Where a worker says what went wrong."""
    return path.with_name(f"{path.name}.log")


class Users:
    """Counts the connections of those who need what is held, and answers them."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self.came = asyncio.Event()
        self.gone = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._last: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One user, from its connection to its end. The last one's connection stays open until `close`."""
        self._writers.add(writer)
        self.came.set()
        writer.write(READY)
        try:
            while line := await reader.readline():
                staffed = await self._staff.worker(line.decode().strip())
                writer.write(msgspec.json.encode(staffed) + b"\n")
        except ConnectionError:
            pass  # it died
        finally:
            self._writers.discard(writer)
            if self._writers:
                writer.close()
            else:
                self._last = writer
                self.gone.set()

    def close(self) -> None:
        """Tells the last user that all is gone."""
        if self._last is not None:
            self._last.close()


async def hold(folder: Path, *, first_user: float = FIRST_USER) -> None:
    """Runs a server in `folder` for as long as it has users, and deletes the folder."""
    binaries = os.environ.get("ACME_POSTGRES_BIN")
    server = EmbeddedPostgres(folder, postgres_bin=Path(binaries) if binaries else None, settings=_SETTINGS)
    staff = Staff(folder)
    users = Users(staff)
    try:
        await server.start()
        listener = await asyncio.start_unix_server(users.serve, folder / "socket")
        try:
            await asyncio.wait_for(users.came.wait(), first_user)
            await users.gone.wait()
        except TimeoutError:
            pass  # whoever started us died before it connected
        listener.close()
    finally:
        await staff.stop()
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        users.close()


def sweep(folder: Path) -> None:
    """Deletes what holders that were killed left beside `folder`: nobody holds the file `alive` in there."""
    for other in folder.parent.glob("run-*"):
        if other == folder:
            continue
        try:
            descriptor = os.open(other / "alive", os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def main(folder: Path) -> None:
    """Holds `folder`, which exists and is empty."""
    alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)  # freed by the kernel when we end
    fcntl.flock(alive, fcntl.LOCK_EX)
    sweep(folder)
    asyncio.run(hold(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
