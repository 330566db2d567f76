"""Streams of events from a real gateway: to the end, over connections that break, with tokens that expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from acme.client import feed
from acme.client.feed import Feed
from acme.client.operation import Operation
from acme.client.problems import Problem, Unreachable
from acme.client.stream import Events
from acme.client.transport import Transport
from acme.codec.json import Json
from acme.contract import Contracts
from tests.unit.acme.dispatch.town import until
from tests.unit.acme.gateway.streaming import running


@pytest.fixture(name="rig")
async def _rig(trial: Contracts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(feed, "PAUSE", 0.01)
    async with running(trial) as rig:
        yield rig


@pytest.fixture(name="listen")
async def _listen(rig: Any, trial: Contracts) -> AsyncIterator[Callable[..., Callable[[str], Awaitable[Events]]]]:
    """Makes what a generated method gives its feed: (count of ticks)."""
    method = next(m for m in trial.services["blobs.v1.Blobs"].methods if m.name == "Watch")
    operation = Operation(method, Json(trial))
    transport = Transport(f"http://127.0.0.1:{rig.port}", timeout=5.0, attempts=4, connections=4)

    def made(count: int) -> Callable[[str], Awaitable[Events]]:
        async def listen(last: str) -> Events:
            request = operation.request({"count": count, "after": last})
            return Events(await transport.open(request, f"Bearer {rig.authority.token()}"), operation.read)

        return listen

    yield made
    await transport.close()


def ids(replies: list[Any]) -> list[int]:
    return [int(reply.id) for reply in replies]


async def test_a_feed_is_read_to_its_end_and_again_from_its_beginning(listen: Any) -> None:
    ticks: Feed[Any] = Feed(listen(3), resumes=True)
    for _ in range(2):
        assert ids([tick async for tick in ticks]) == [1, 2, 3]
    assert ids([tick async for tick in ticks.after("1")]) == [2, 3]


async def test_a_connection_that_breaks_goes_on_where_it_was(rig: Any, listen: Any) -> None:
    broken: list[int] = []

    async def cut(value: int) -> None:
        if value in (2, 4) and value not in broken:
            broken.append(value)
            for exchange in tuple(rig.gateway._active):
                exchange.connection.transport.abort()
            await asyncio.Event().wait()

    rig.projects.hook = cut
    assert ids([tick async for tick in Feed[Any](listen(5), resumes=True)]) == [1, 2, 3, 4, 5]
    assert broken == [2, 4]


async def test_a_gateway_that_sends_listeners_away_is_asked_again(rig: Any, listen: Any) -> None:
    sent: list[int] = []

    async def away(value: int) -> None:
        if value == 2 and not sent:
            sent.append(value)
            rig.gateway._streams.drain()
            await asyncio.Event().wait()

    rig.projects.hook = away
    assert ids([tick async for tick in Feed[Any](listen(3), resumes=True)]) == [1, 2, 3]


async def test_a_token_that_expires_is_replaced_and_nothing_is_missed(rig: Any, listen: Any) -> None:
    async def later(value: int) -> None:
        if value == 2:
            rig.authority.clock.advance(3600)

    rig.projects.hook = later
    assert ids([tick async for tick in Feed[Any](listen(4), resumes=True)]) == [1, 2, 3, 4]


async def test_what_cannot_go_on_where_it_was_says_that_something_may_be_missing(rig: Any, listen: Any) -> None:
    async def away(value: int) -> None:
        if value == 2:
            rig.gateway._streams.drain()
            await asyncio.Event().wait()

    rig.projects.hook = away
    got: list[Any] = []

    async def read() -> None:
        async for tick in Feed[Any](listen(3), resumes=False):
            got.append(tick)

    with pytest.raises(Unreachable, match="interrupted"):
        await read()
    assert ids(got) == [1, 2]


async def test_a_refusal_is_raised_at_once_whenever_it_comes(rig: Any, listen: Any) -> None:
    for fail_at in (1, 2):
        rig.projects.fail_at = fail_at
        with pytest.raises(Problem) as caught:
            [tick async for tick in Feed[Any](listen(3), resumes=True)]
        assert (caught.value.status, caught.value.code) == (409, "no_more")


async def test_somebody_unknown_is_told_so_without_a_second_try(rig: Any, listen: Any) -> None:
    asked: list[str] = []

    async def refused(last: str) -> Events:
        asked.append(last)
        events: Events = await listen(1)(last)
        return events

    rig.authority.token = lambda: "nonsense"
    with pytest.raises(Problem) as caught:
        [tick async for tick in Feed[Any](refused, resumes=True)]
    assert (caught.value.status, len(asked)) == (401, 1)


async def test_a_platform_that_is_gone_is_given_up_in_the_end(
    rig: Any, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "ATTEMPTS", 3)
    await rig.gateway.close()
    with pytest.raises(Unreachable):
        [tick async for tick in Feed[Any](listen(3), resumes=True)]


async def test_leaving_ends_the_stream(rig: Any, listen: Any) -> None:
    async with aclosing(aiter(Feed[Any](listen(1_000_000), resumes=True))) as ticks:  # type: ignore[type-var]  # no generator in name
        async for _ in ticks:
            break
    await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
