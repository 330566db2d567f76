"""How an answer leaves its connection."""

from __future__ import annotations

import asyncio

from acme.gateway.sending import UNSENT
from tests.unit.acme.gateway.rig import Rig


async def test_an_answer_that_nobody_reads_is_counted_until_it_is_read(rig: Rig) -> None:
    """What a socket takes at once is not: so it is asked for until that is full."""
    peers = rig.gateway.doors.peers
    async with rig.connection() as connection:
        count = 0
        while not peers.unsent:
            connection.send(rig.request("GET", "/v1/openapi.json"))
            count += 1
            await asyncio.sleep(0)
            assert count < 2000
        assert peers.unsent > UNSENT
        for _ in range(count):
            assert (await connection.answer()).status == 200
        assert not peers.unsent
