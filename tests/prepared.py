"""A data folder's PostgreSQL as a first start leaves it: made once a run, and copied for every platform that tests start.

What a first start does beyond every other (initdb, three databases, all migrations) is 0.9 s of a core; a copy is 0.07, and
tests start a hundred platforms and more on new folders. The copy holds nothing but that: no row, no key and no other file of
a data folder. First starts themselves are tested where it says `fresh` (tests/system/running.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WHERE: Final = "ACME_TESTS_PREPARED"
"""Environment variable that names the run's folder for it. Without it (`make bench`) every start is a first one."""

_SETTINGS: Final = {
    "fsync": "off",
    "min_wal_size": "32MB",  # what is not there need not be copied
    "max_wal_size": "32MB",
}


@contextmanager
def offered() -> Iterator[None]:
    """To this process and those it starts."""
    with tempfile.TemporaryDirectory(prefix="acme-prepared-") as folder:
        os.environ[WHERE] = folder
        try:
            yield
        finally:
            del os.environ[WHERE]


def prepare(data: Path) -> Path:
    """Puts PostgreSQL's folder into a data folder that is not there yet, and returns that; does nothing where nobody offers
    one."""
    if (where := os.environ.get(WHERE)) is None or data.exists():
        return data
    made = _made(Path(where))
    data.mkdir(mode=0o700, parents=True)
    # By its own name: the owner stays, who is not ours to be where tests run as root. Holes stay holes.
    sparse = ["--sparse=always"] if sys.platform == "linux" else []
    subprocess.run(["cp", "-a", *sparse, str(made), str(data / "postgres")], check=True)
    return data


def _made(where: Path) -> Path:
    """The folder to copy, made by the first process that needs it."""
    made = where / "made" / "postgres"
    descriptor = os.open(where / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not made.parent.exists():
            draft = where / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            with ThreadPoolExecutor(1) as thread:  # this one may have a running loop
                thread.submit(asyncio.run, _build(draft)).result()
            draft.rename(made.parent)
    finally:
        os.close(descriptor)
    return made


async def _build(data: Path) -> None:
    # Imported here: tests/conftest.py imports this file, in processes too that never build anything.
    from acme.drivers import postgres
    from acme.drivers.clock import SystemClock
    from acme.drivers.embedded import EmbeddedPostgres
    from acme.runtime.discovery import discover
    from acme.runtime.migrations import migrate
    from acme.tasks import Tasks
    from acme.telemetry import Metrics

    server = EmbeddedPostgres(data, settings=_SETTINGS)
    await server.start()
    try:
        async with Tasks("prepared", Metrics()) as tasks:
            for _, plugin in discover().usable():
                await server.create_database(plugin.name)
                pool = await postgres.open(server.url(plugin.name), size=1, tasks=tasks)
                try:
                    await migrate(pool, plugin.name, plugin.package, SystemClock())
                finally:
                    await pool.close()
    finally:
        await server.stop()
