"""Jobs that run in one process at a time, however many equal ones there are: a lease in the plugin's own database.

The holder renews it every `RENEW` seconds. When it is killed, hangs or is cut off, its lease runs out, and another takes
the job over within `TAKEOVER` seconds; when it stops in order, it gives the lease back. A holder that could not renew in
time ends its run before another may begin, as far as the run can be cancelled: a job is at-least-once, and its statements
are the database's to order.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from acme.errors import Refused
from acme.ports import Clock, Statements
from acme.tasks import Tasks
from acme.telemetry import logger
from acme.work import store

log: Final = logger(__name__)

TAKEOVER: Final = 15.0
"""Seconds after the death of a job's process in which another one has begun it."""
LIFE: Final = 10.0
"""Seconds that a lease lasts when nobody renews it."""
RENEW: Final = 3.0
"""Seconds between two renewals, and between two attempts to get a lease that is another's."""
LONGEST_PAUSE: Final = 30.0
"""Seconds at most before a run that failed is repeated."""


class Lease:
    """One name in one database, for one process."""

    def __init__(
        self, database: Statements, clock: Clock, name: str, *, life: float = LIFE, renew: float = RENEW
    ) -> None:
        self.name: Final = name
        self.holder: Final = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._database, self._clock, self._life = database, clock, life
        self.renewal: Final = renew

    async def take(self) -> bool:
        """Takes it, or renews it. False: another has it."""
        now = self._clock.now()
        return await store.lease(self._database, self.name, self.holder, now + timedelta(seconds=self._life), now)

    async def give_back(self) -> None:
        """Lets another have it at once."""
        await store.release(self._database, self.name, self.holder)

    async def keep(self, lost: Callable[[], None]) -> None:
        """Renews until it is lost, and then calls `lost`."""
        until = time.monotonic() + self._life
        while time.monotonic() + self.renewal < until:
            await asyncio.sleep(self.renewal)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.renewal):
                    if not await self.take():
                        break
                until = began + self._life
            except (Refused, TimeoutError):
                log.warning("a lease could not be renewed", lease=self.name, left=round(until - time.monotonic(), 1))
        lost()


class Singleton:
    """One job, in whichever process holds its lease."""

    def __init__(self, lease: Lease, run: Callable[[], Awaitable[None]], every: float, tasks: Tasks) -> None:
        self._lease, self._run, self._every, self._tasks = lease, run, every, tasks

    def start(self) -> None:
        """Tries for the lease, and runs the job while it is ours, until the tasks stop."""
        self._tasks.loop(self._lease.name, self._turn, pause=self._lease.renewal)

    async def _turn(self) -> None:
        if not await self._lease.take():
            return
        task, lost = asyncio.current_task(), False

        def end() -> None:
            nonlocal lost
            lost = True
            if task is not None:
                task.cancel()

        keeper = self._tasks.spawn(f"{self._lease.name}.lease", self._lease.keep(end))
        try:
            await self._repeat()
        except asyncio.CancelledError:
            if not lost or (task is not None and task.uncancel() > 0):
                raise
            log.warning("a job's lease was lost", job=self._lease.name)
        finally:
            keeper.cancel()
            if not lost:
                await self._lease.give_back()

    async def _repeat(self) -> None:
        failed = 0
        while True:
            error = await self._tasks.outcome(self._lease.name, self._run())
            failed = 0 if error is None else failed + 1
            pause = self._every if error is None else min(2.0**failed, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
            await asyncio.sleep(pause)
