"""The processes of a drill, and what happens to them."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from acme.drivers.processes import die_with_parent
from acme.ports import Connection
from tests.oracle.process import Order

LIFE: Final = (2.0, 12.0)
"""Seconds that a process has between two kills, on an average: enough to start and get something done, most often."""
STAY: Final = (2.0, 6.0)
"""Seconds that a member that joins stays, and until it comes back."""
SESSIONS_PAUSE: Final = (0.1, 0.8)
"""Seconds between two rounds in which sessions end."""
STOP_LIMIT: Final = 30.0
_END: Final = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = ANY($1) AND pid <> pg_backend_pid() ORDER BY random() LIMIT $2
) AS chosen
"""


class Process:
    """One that is killed and started again, with a name that stays."""

    def __init__(self, folder: Path, role: str, name: str) -> None:
        self.role, self.name, self._folder = role, name, folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Does not wait for anything."""
        command = [sys.executable, "-m", "tests.oracle.process", self.role, self.name, str(self._folder / "order.json")]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGKILL)
            )

    def kill(self) -> None:
        """kill -9, and waits for the end of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        """Ends it in order."""
        assert self._process is not None
        assert self.runs, f"{self.name} ended by itself: {self.log()[-3000:]}"
        self._process.terminate()
        try:
            status = await asyncio.to_thread(self._process.wait, STOP_LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end: {self.log()[-3000:]}") from None
        # Told to end while it was still starting, it had no ear for it yet.
        assert status in (0, -signal.SIGTERM), f"{self.name} ended with {status}: {self.log()[-3000:]}"

    def log(self) -> str:
        return (self._folder / f"{self.name}.log").read_text(errors="replace")


@dataclass
class Drill:
    """What runs, and what was done to it."""

    folder: Path
    processes: Sequence[Process]
    guest: Process
    """A member that joins and leaves."""
    done: Counter[str] = field(default_factory=Counter)
    """How often which trouble was made."""

    async def kill(self, seconds: float) -> None:
        """Kills one after the other, in an order that is another each time, and starts each again at once."""
        until, order = time.monotonic() + seconds, list[Process]()
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(*LIFE) / len(self.processes))
            order = order or random.sample(self.processes, len(self.processes))
            one = order.pop()
            self.check()
            one.kill()
            one.start()
            self.done[f"{one.role}s killed"] += 1

    async def come_and_go(self, seconds: float) -> None:
        """A member joins, and leaves in order or is killed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.guest.start()
            await asyncio.sleep(random.uniform(*STAY))
            if random.random() < 0.7:
                await self.guest.stop()
            else:
                self.guest.kill()
            self.done["members that joined and left"] += 1
            await asyncio.sleep(random.uniform(*STAY) / 2)

    async def end_sessions(self, seconds: float, server: Connection, databases: Sequence[str]) -> None:
        """Ends some sessions of these databases."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(*SESSIONS_PAUSE))
            self.check()
            self.done["sessions ended"] += await server.fetchval(_END, databases, random.randint(1, 3))

    def check(self, *roles: str) -> None:
        """Nobody ends by himself; of these roles, or of all."""
        for one in self.processes:
            assert one.runs or (roles and one.role not in roles), f"{one.name} ended by itself: {one.log()[-3000:]}"

    async def stop(self, role: str) -> None:
        """Ends the processes of a role in order."""
        for one in self.processes:
            if one.role == role:
                await one.stop()


@asynccontextmanager
async def drill(folder: Path, values: dict[str, Any], *, free_relays: bool) -> AsyncIterator[Drill]:
    """Starts the processes; kills what is left of them in the end. `free_relays`: two that ask for no lease."""
    (folder / "order.json").write_bytes(msgspec.json.encode(Order(str(folder), values)))
    named = [("worker", "worker-1"), ("worker", "worker-2"), ("writer", "writers")]
    named += [("relay", "relay-1"), ("relay", "relay-2")] if free_relays else []
    processes = [Process(folder, role, name) for role, name in named]
    guest = Process(folder, "worker", "guest")
    try:
        for one in processes:
            one.start()
        yield Drill(folder, processes, guest)
    finally:
        for one in (*processes, guest):
            one.kill()
