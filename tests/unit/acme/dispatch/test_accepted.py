"""The end that answers."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from acme.dispatch import Server
from acme.dispatch.accepted import Accepted
from acme.dispatch.exchange import Exchange, Lost
from acme.dispatch.serve import MESSAGE_LIMIT
from tests.certificates import Authority
from tests.unit.acme.dispatch.pair import ASK, HEAD, OK, pair
from tests.unit.acme.dispatch.town import Town, soon, until
from tests.waiting import BUSY

GOAWAY = GoAwayFrame(0, last_stream_id=2**31 - 1).serialize()
"""Of a server that still serves what is on its way."""


async def test_a_refusal_is_headers_only() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        link.refuse(exchange, [*HEAD, (b"grpc-status", b"5")])

    async with pair(serve) as both:
        exchange = await both.dialed.ask(ASK, b"hello")
        assert dict(exchange.head)[b"grpc-status"] == b"5"
        assert (exchange.tail, exchange.message()) == ((), None)


async def test_a_request_that_is_too_large_is_refused_before_it_is_whole() -> None:
    async with pair() as both, asyncio.timeout(5):
        exchange = await both.dialed.ask(ASK, b"x" * (MESSAGE_LIMIT * 3))
        assert dict(exchange.head)[b"grpc-status"] == b"8"
        assert both.large[0].size < MESSAGE_LIMIT
        assert (await both.dialed.ask(ASK, b"small")).message() == b"small"


async def test_what_nobody_answers_is_reset() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        pass

    async with pair(serve) as both:
        with pytest.raises(Lost) as caught:
            await both.dialed.ask(ASK, b"hello")
        assert caught.value.processed
        assert not both.accepted.exchanges


async def test_a_request_that_does_not_become_whole_is_reset() -> None:
    async with pair(patience=0.05) as both:
        stream = both.dialed.h2.get_next_available_stream_id()
        both.dialed.h2.send_headers(stream, ASK)
        both.dialed.flush()
        await until(lambda: both.accepted.exchanges)
        await until(lambda: not both.accepted.exchanges)
        assert (await both.dialed.ask(ASK, b"hello")).message() == b"hello"


async def test_leaving_serves_what_is_on_its_way_and_then_closes() -> None:
    go = asyncio.Event()

    async def serve(link: Accepted, exchange: Exchange) -> None:
        await go.wait()
        await link.answer(exchange, HEAD, b"late", OK)

    async with pair(serve) as both, asyncio.timeout(5):
        first = soon(both.dialed.ask(ASK, b"1"))
        await until(lambda: both.accepted.exchanges)
        both.accepted.leave()
        both.accepted.leave()
        second = soon(both.dialed.ask(ASK, b"2"))  # sent before the other end has heard of it
        await until(lambda: both.sent_away)
        with pytest.raises(Lost) as caught:
            await both.dialed.ask(ASK, b"3")
        assert not caught.value.processed
        go.set()
        assert {(await first).message(), (await second).message()} == {b"late"}
        await until(lambda: len(both.lost) == 2)


async def test_a_stream_of_messages_ends_with_whoever_listens() -> None:
    ended = asyncio.Event()

    async def numbers() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"1"
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def serve(link: Accepted, exchange: Exchange) -> None:
        await link.stream(exchange, HEAD, numbers(), OK)

    async with pair(serve) as both, asyncio.timeout(5):
        call = soon(both.dialed.ask(ASK, b""))
        await until(lambda: any(exchange.size > 100 for exchange in both.dialed.exchanges.values()))
        call.cancel()
        await ended.wait()


async def test_answers_to_those_who_have_gone_do_no_harm() -> None:
    async def serve(link: Accepted, exchange: Exchange) -> None:
        link.reset(exchange, ErrorCodes.CANCEL)
        await link.answer(exchange, HEAD, b"", OK)
        link.refuse(exchange, HEAD)

    async with pair(serve) as both:
        with pytest.raises(Lost):
            await both.dialed.ask(ASK, b"hello")
        assert not both.accepted.closed


async def test_a_handshake_that_fails_leaves_nothing_behind_that_a_drain_would_wait_for(
    town: Town, tmp_path: Path
) -> None:
    own = Authority().issue(tmp_path, "projects")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["certificate"], own["key"])
    worker = await town.worker("grpcs://127.0.0.1:0", tls=context)
    naive = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", int(worker.address.rpartition(":")[2]), ssl=naive)
    assert len(worker.server._links) == 0
    async with asyncio.timeout(5):
        await worker.server.drain(60.0)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("end", [Server.close, partial(Server.drain, grace=0.0)], ids=["close", "drain"])
async def test_a_connection_that_comes_as_the_server_ends_is_told(
    town: Town, end: Callable[[Server], Awaitable[None]], turns: int
) -> None:
    """Whether nobody has taken it, the loop has, or the server: it takes turns of the loop from one to the next."""
    worker = await town.worker("grpc://127.0.0.1:0")
    host, _, port = worker.address.removeprefix("grpc://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await end(worker.server)
        await asyncio.sleep(0.05)  # until asyncio's own loop has lost what it took (python/cpython#109564)
        gc.collect()
        client.setblocking(False)
        received = b""
        async with asyncio.timeout(BUSY):
            with suppress(ConnectionError):
                while GOAWAY not in received and (data := await asyncio.get_running_loop().sock_recv(client, 65536)):
                    received += data
