"""What the kernel knows of processes: who holds a data folder, who lives in a folder, who dies with whom."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"
TICK: Final = 0.005
"""Seconds between two looks at a process that starts or stops."""
_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


class DataFolderInUse(Exception):
    """Another process runs on this data folder. `pid` is 0 when it is not known."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"{path} is in use by process {pid or 'unknown'}: stop it, or choose another data folder")
        self.path = path
        self.pid = pid


def hold(data: Path) -> int:
    """Holds `DATA/lock` for as long as the returned descriptor is open; the kernel closes it when we die.

    No child inherits it, so the folder is free at once after kill -9, whatever children do.

    Raises:
        DataFolderInUse: another process holds it.
    """
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).strip()
        os.close(descriptor)
        raise DataFolderInUse(data, int(owner) if owner.isdigit() else 0) from None
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def living_in(folder: Path, program: str) -> Iterator[int]:
    """Processes of `program` whose working directory is `folder`. Linux only."""
    here = folder.stat()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            there = os.stat(f"/proc/{pid}/cwd")
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue  # ended meanwhile, or another user's
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) and name == program:
            yield pid


def die_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel sends the child `how` when we die, however we die. `None` where it cannot.

    `preexec_fn` runs after Popen has changed the account, which would clear the request.
    """
    if not LINUX:
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was made
            os.kill(os.getpid(), signal.SIGKILL)

    return arm


async def ended(process: subprocess.Popen[bytes], limit: float) -> None:
    """Returns when the process has ended or `limit` seconds are over."""
    until = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 - a process has no event we could await
        await asyncio.sleep(TICK)
