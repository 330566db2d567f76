"""The way to the log's database: made when it is first needed, with a deadline for everything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from acme.drivers import postgres
from acme.drivers.log.schema import migrate
from acme.errors import Unavailable
from acme.ports import Connection, SerializationFailure
from acme.tasks import Tasks
from acme.telemetry import Metrics

T = TypeVar("T")

LIMIT: Final = 10.0
"""Seconds that one operation may take, waiting for others included."""


class Link:
    """A pool of connections to a database that is created and migrated by the first operation."""

    def __init__(self, url: str, *, connections: int, limit: float, tasks: Tasks, metrics: Metrics) -> None:
        self.url: Final = url
        self.state = "ok"
        """The word "ok", or why the last operation failed."""
        self._limit = limit
        self._database = postgres.Pool(postgres.Address(url), connections, tasks, metrics)
        self._prepared = False
        self._preparing = asyncio.Lock()

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, limit: float | None = None) -> T:
        """Awaits `work` with a connection, whole and again while the database cannot put it in an order.

        Raises:
            acme.errors.Unavailable: no connection, or no end within `limit` seconds.
        """
        try:
            async with asyncio.timeout(limit or self._limit):
                await self.prepare()
                done = await self._repeat(work)
        except TimeoutError:
            self.state = "the log's database does not answer in time"
            raise Unavailable(self.state) from None
        except Unavailable as error:
            self.state = error.message
            raise
        self.state = "ok"
        return done

    async def prepare(self) -> None:
        """Creates and migrates the database, once."""
        if self._prepared:
            return
        async with self._preparing:
            if not self._prepared:
                await postgres.ensure_database(self.url)
                await migrate(self._database)
                self._prepared = True

    async def close(self) -> None:
        """Closes all connections."""
        await self._database.close()

    async def _repeat(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        while True:
            try:
                async with self._database.connection() as connection:
                    return await work(connection)
            except SerializationFailure:
                await asyncio.sleep(random.uniform(0.0, 0.02))
