"""The end that asks."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from h2.settings import SettingCodes

from acme.dispatch.accepted import Accepted
from acme.dispatch.exchange import Exchange, Lost
from acme.errors import Unavailable
from tests.unit.acme.dispatch.pair import ASK, HEAD, OK, pair
from tests.unit.acme.dispatch.town import soon, until


async def test_an_answer_comes_whole() -> None:
    async with pair() as both:
        exchange = await both.dialed.ask(ASK, b"hello")
        assert (exchange.message(), dict(exchange.head)[b":status"]) == (b"hello", b"200")
        assert dict(exchange.tail) == dict(OK)


async def test_whoever_is_cancelled_resets_the_stream() -> None:
    stopped = asyncio.Event()

    async def serve(link: Accepted, exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with pair(serve) as both:
        call = soon(both.dialed.ask(ASK, b"hello"))
        await until(lambda: both.accepted.exchanges)
        call.cancel()
        await asyncio.wait_for(stopped.wait(), 2)
        assert not both.dialed.exchanges


async def test_more_exchanges_than_the_peer_takes_wait_for_a_place() -> None:
    busy = most = 0

    async def serve(link: Accepted, exchange: Exchange) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        await link.answer(exchange, HEAD, b"", OK)

    async with pair(serve) as both, asyncio.timeout(5):
        await both.dialed.ask(ASK, b"")
        both.accepted.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        both.accepted.flush()
        await until(lambda: both.dialed.h2.remote_settings.max_concurrent_streams == 3)
        await asyncio.gather(*[both.dialed.ask(ASK, b"") for _ in range(20)])
        assert most <= 3


async def test_streams_leave_places_for_calls() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        if exchange.inbox is None and exchange.ended:
            await link.answer(exchange, HEAD, b"", OK)

    async with pair(serve) as both, asyncio.timeout(5):
        await both.dialed.ask(ASK, b"")
        both.accepted.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 6})
        both.accepted.flush()
        await until(lambda: both.dialed.h2.remote_settings.max_concurrent_streams == 6)
        streams = [await both.dialed.converse(ASK, None) for _ in range(3)]
        with pytest.raises(Unavailable) as caught:
            await both.dialed.converse(ASK, None)
        assert caught.value.reason == "too_many_streams"
        await both.dialed.ask(ASK, b"")
        both.dialed.leave(streams.pop())
        streams.append(await both.dialed.converse(ASK, None))
        for exchange in streams:
            both.dialed.leave(exchange)


async def test_a_connection_that_has_ended_takes_nothing_and_nothing_was_done() -> None:
    async with pair() as both:
        both.dialed.abort("enough")
        with pytest.raises(Lost) as caught:
            await both.dialed.ask(ASK, b"hello")
        assert not caught.value.processed


async def test_a_retired_connection_ends_with_its_last_answer() -> None:
    go = asyncio.Event()

    async def serve(link: Accepted, exchange: Exchange) -> None:
        await go.wait()
        await link.answer(exchange, HEAD, b"late", OK)

    async with pair(serve) as both, asyncio.timeout(5):
        call = soon(both.dialed.ask(ASK, b"hello"))
        await until(lambda: both.accepted.exchanges)
        both.dialed.retire()
        with pytest.raises(Lost) as caught:
            await both.dialed.ask(ASK, b"hello")
        assert not caught.value.processed
        assert not both.dialed.closed
        go.set()
        assert (await call).message() == b"late"
        await until(lambda: both.dialed.closed)


async def test_a_reply_that_is_too_large_ends_the_exchange_and_not_the_connection() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        size = 8 * 1024 * 1024 if exchange.message() == b"large" else 1
        await link.answer(exchange, HEAD, b"x" * size, OK)

    async with pair(serve) as both, asyncio.timeout(5):
        with pytest.raises(Lost, match="more than"):
            await both.dialed.ask(ASK, b"large")
        assert (await both.dialed.ask(ASK, b"small")).message() == b"x"
        await until(lambda: not both.accepted.exchanges)


async def test_a_ping_tells_how_long_the_way_is_even_if_something_else_comes_first() -> None:
    async with pair() as both:
        assert both.dialed.lag() == 0.0
        cast(asyncio.Transport, both.accepted._transport).pause_reading()
        both.dialed.ping()
        await until(lambda: both.dialed.lag() > 0.05)
        both.dialed.data_received(b"")  # whatever came, the ping itself is owed
        assert (both.dialed.pinged, both.dialed.owed) == (0.0, True)
        cast(asyncio.Transport, both.accepted._transport).resume_reading()
        await until(lambda: not both.dialed.owed)
        assert both.dialed.lag() > 0.05
        both.dialed.ping()
        await until(lambda: not both.dialed.owed)
        assert both.dialed.lag() < 0.05
