"""Drops what is past its time, in small transactions: whole batches from the old end of each partition, and remembered ids.

One process at a time does it, whichever comes first. Topics with `compact` keep everything: to drop the older records of a
key is allowed there, not asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from acme.drivers.log import store
from acme.drivers.log.link import Link
from acme.errors import Unavailable
from acme.ports import Clock, Connection

EVERY: Final = 60.0
"""Seconds between two rounds."""
REMEMBERED: Final = timedelta(days=7)
"""How long an append is known again."""
BATCHES: Final = 200
"""In one transaction; the row of the partition is held meanwhile."""
IDS: Final = 5_000
"""In one transaction."""

_LOCK: Final = 0x61636D65_62757301  # "acmebus", and not the one of migrations


async def tend(link: Link, clock: Clock) -> None:
    """One round; where the database is away, the next one does it."""
    with suppress(Unavailable):
        await sweep(link, clock)


async def sweep(link: Link, clock: Clock) -> None:
    """One round.

    Raises:
        acme.errors.Unavailable: the database cannot be reached.
    """
    now = clock.now()
    for partition, seconds in await link.run(store.limited):
        await _repeat(link, partial(_drop, partition=partition, before=now - timedelta(seconds=seconds)), BATCHES)
    await _repeat(link, lambda connection: store.forget(connection, now - REMEMBERED, IDS), IDS)


async def _drop(connection: Connection, partition: int, before: datetime) -> int:
    return await store.drop(connection, partition, before, BATCHES)


async def _repeat(link: Link, step: Callable[[Connection], Awaitable[int]], most: int) -> None:
    """Takes the step until it finds less than it could take, or another process is at it."""

    async def locked(connection: Connection) -> int:
        await connection.begin()
        done = 0
        if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
            done = await step(connection)
        await connection.commit()
        return done

    while await link.run(locked) >= most:
        pass
