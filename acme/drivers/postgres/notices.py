"""LISTEN: a connection of its own that hears what others NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from asyncpg import exceptions as pg

from acme.drivers.postgres.address import CONNECT_LIMIT, LOST, Address
from acme.errors import Unavailable

CHECK: Final = 15.0
"""Seconds between two questions whether the server is there: a network that swallows everything says nothing by itself."""


async def listen(address: Address, channel: str, heard: Callable[[str | None], None]) -> None:
    """Listens until the connection is lost: calls `heard` with None once it stands, then with the text of each notification.

    Raises:
        acme.errors.Unavailable: there is no connection, or none any more. What was notified meanwhile is lost.
    """
    ended = asyncio.Event()
    try:
        raw = await address.connect()
        try:
            raw.add_termination_listener(lambda _connection: ended.set())
            await raw.add_listener(channel, lambda _connection, _pid, _channel, text: heard(text))
            heard(None)
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), CHECK)
                await raw.fetchval("SELECT 1", timeout=CONNECT_LIMIT)
        finally:
            raw.terminate()
    # An InternalClientError is what asyncpg makes of a session that ends while it sends.
    except (*LOST, pg.InterfaceError, pg.InternalClientError, pg.InvalidCatalogNameError) as error:
        raise Unavailable("the connection that listens was lost") from error
