"""What both ends of a connection do alike."""

from __future__ import annotations

import asyncio

import pytest

from acme.dispatch.accepted import Accepted
from acme.dispatch.exchange import Exchange, Lost
from acme.dispatch.http2 import CONNECTION_WINDOW
from acme.dispatch.serve import MESSAGE_LIMIT
from tests.unit.acme.dispatch.pair import ASK, HEAD, OK, pair
from tests.unit.acme.dispatch.town import until


async def test_messages_larger_than_the_windows_wait_for_them() -> None:
    data = bytes(range(256)) * 1000

    async def serve(link: Accepted, exchange: Exchange) -> None:
        assert exchange.message() == data
        await link.answer(exchange, HEAD, data * 10, OK)

    async with pair(serve) as both, asyncio.timeout(10):
        exchanges = await asyncio.gather(*[both.dialed.ask(ASK, data) for _ in range(30)])
        assert {exchange.message() for exchange in exchanges} == {data * 10}
        assert not both.dialed.exchanges


async def test_however_many_messages_are_half_there_they_do_not_wait_for_each_other() -> None:
    """Together they have more than the connection's window, of which their parts would keep all."""
    size = 2_000_000
    data = b"x" * size

    async def serve(link: Accepted, exchange: Exchange) -> None:
        await link.answer(exchange, HEAD, data, OK)

    async with pair(serve, window=2 * size + 10_000) as both, asyncio.timeout(20):
        count = 2 * CONNECTION_WINDOW // size
        exchanges = await asyncio.gather(*[both.dialed.ask(ASK, b"-") for _ in range(count)])
        assert {len(exchange.message() or b"") for exchange in exchanges} == {size}


async def test_a_connection_carries_more_than_its_window() -> None:
    data = b"x" * (MESSAGE_LIMIT - 100)
    async with pair() as both, asyncio.timeout(30):
        for _ in range(40):  # 160 MiB each way
            assert (await both.dialed.ask(ASK, data)).message() == data


async def test_the_end_of_a_connection_is_told_once_with_its_reason() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        link.abort("enough")

    async with pair(serve) as both:
        with pytest.raises(Lost) as caught:
            await both.dialed.ask(ASK, b"hello")
        assert caught.value.processed
        await until(lambda: len(both.lost) == 2)
        assert sorted(both.lost) == ["accepted: enough", f"dialed: {caught.value.why}"]
        both.accepted.connection_lost(None)
        assert len(both.lost) == 2


async def test_a_ping_is_answered_by_whatever_comes() -> None:
    async with pair() as both:
        await both.dialed.ask(ASK, b"hello")
        both.dialed.ping()
        assert both.dialed.pinged > 0
        await until(lambda: both.dialed.pinged == 0)


async def test_a_frame_that_is_too_large_is_refused_by_its_head() -> None:
    async with pair() as both:
        await both.dialed.ask(ASK, b"hello")
        both.dialed.data_received(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
        assert both.dialed.closed
        assert "does not speak HTTP/2: FrameTooLargeError" in both.dialed.why
