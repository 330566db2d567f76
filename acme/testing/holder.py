"""The process that holds the test run's PostgreSQL: `python -m acme.testing.holder FOLDER`.

Started by the first process of a test run that needs a database (`server.py`), and ended by the last: every user keeps a
connection to `FOLDER/socket` open, which the kernel closes however the user dies. When none is left, the server is
stopped and the folder deleted; only then is the last connection closed, so whoever waits for its end leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from acme.drivers.embedded import EmbeddedPostgres

READY: Final = b"ready\n"
"""What a user reads once it is counted."""
FIRST_USER: Final = 30.0
"""Seconds to wait for somebody to come at all."""
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


class Users:
    """Counts the connections of those who need the server."""

    def __init__(self) -> None:
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
            await reader.read()
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
    users = Users()
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
