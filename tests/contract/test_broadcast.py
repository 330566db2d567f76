"""What every driver behind `ports.Broadcast` promises, and how it says that something was missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from acme import drivers
from acme.drivers.subscriptions import ROOM
from acme.ports import LOST, Broadcast, Heard
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer
from tests.waiting import BUSY, sample, until

TURN = 5.0
"""Seconds that anything may take to be heard."""


class Rig:
    """A technology, and those who speak through it."""

    def __init__(self, url: str, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.url = url
        self._tasks, self._stack = tasks, stack
        self._only: Broadcast | None = None

    def broadcast(self, metrics: Metrics | None = None) -> Broadcast:
        """A client: a connection of its own, or the same one where it is this process' own."""
        if self.url.startswith("memory:") and self._only is not None:
            return self._only
        self._only = drivers.open_broadcast(self.url, tasks=self._tasks, metrics=metrics or Metrics(), timeout=TURN)
        self._stack.push_async_callback(self._only.close)
        return self._only


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(params=["memory", "redis"])
async def rig(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Rig]:
    url = "memory:" if request.param == "memory" else server.url()
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        yield Rig(url, tasks, stack)


async def heard(listening: AsyncIterator[Heard], limit: float = TURN) -> Heard:
    """The next thing heard."""
    async with asyncio.timeout(limit):
        return await anext(listening)


async def test_lost_is_heard_first_and_then_what_is_said_in_its_order(rig: Rig) -> None:
    listener, speaker = rig.broadcast(), rig.broadcast()
    async with listener.subscribe("things") as listening:
        assert await heard(listening) is LOST
        said = [str(n).encode() for n in range(100)]
        for message in said:
            await speaker.publish("things", message)
        assert [await heard(listening) for _ in said] == said


async def test_a_process_hears_itself_and_every_one_of_its_listeners_hears(rig: Rig) -> None:
    broadcast = rig.broadcast()
    async with broadcast.subscribe("things") as one, broadcast.subscribe("things") as two:
        assert (await heard(one), await heard(two)) == (LOST, LOST)
        async with broadcast.subscribe("things") as late:
            assert await heard(late) is LOST
            await broadcast.publish("things", b"\x00\xff")
            assert [await heard(each) for each in (one, two, late)] == [b"\x00\xff"] * 3


async def test_topics_are_apart(rig: Rig) -> None:
    broadcast = rig.broadcast()
    async with broadcast.subscribe("things") as things, broadcast.subscribe("thing") as thing:
        assert (await heard(things), await heard(thing)) == (LOST, LOST)
        await broadcast.publish("thing", b"1")
        await broadcast.publish("things", b"2")
        assert (await heard(things), await heard(thing)) == (b"2", b"1")


async def test_whoever_leaves_hears_nothing_more_and_can_come_back(rig: Rig) -> None:
    broadcast, speaker = rig.broadcast(), rig.broadcast()
    for turn in range(20):
        async with broadcast.subscribe("things") as listening:
            assert await heard(listening) is LOST
            await speaker.publish("things", str(turn).encode())
            assert await heard(listening) == str(turn).encode()
    with pytest.raises(StopAsyncIteration):
        await anext(listening)


async def test_saying_it_to_nobody_is_no_error(rig: Rig) -> None:
    metrics = Metrics()
    await rig.broadcast(metrics).publish("things", b"")
    assert sample(metrics, 'acme_broadcast_messages_total{direction="published"}') == 1


async def test_a_slow_listener_is_bounded_and_told_and_hears_what_comes_after(rig: Rig) -> None:
    metrics = Metrics()
    broadcast = rig.broadcast(metrics)
    async with broadcast.subscribe("things") as slow, broadcast.subscribe("things") as quick:
        assert (await heard(slow), await heard(quick)) == (LOST, LOST)
        for n in range(ROOM + 1):
            await broadcast.publish("things", str(n).encode())
            assert await heard(quick) == str(n).encode()
        assert await heard(slow) is LOST
        await broadcast.publish("things", b"after")
        assert (await heard(slow), await heard(quick)) == (b"after", b"after")
    assert sample(metrics, 'acme_broadcast_gaps_total{cause="slow_listener"}') == 1


async def test_topics_and_messages_outside_of_their_limits_are_refused(rig: Rig) -> None:
    broadcast = rig.broadcast()
    await broadcast.publish("t" * 200, bytes(8192))
    for topic, message in (("", b""), ("t" * 201, b""), ("things", bytes(8193))):
        with pytest.raises(ValueError, match="bytes"):
            await broadcast.publish(topic, message)
    with pytest.raises(ValueError, match="topic"):
        async with broadcast.subscribe(""):
            pass


async def test_closing_ends_those_who_listen_and_is_harmless_when_repeated(rig: Rig) -> None:
    broadcast = rig.broadcast()
    async with broadcast.subscribe("things") as listening:
        assert await heard(listening) is LOST

        async def closing() -> None:
            await broadcast.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(closing())
            with pytest.raises(StopAsyncIteration):
                await heard(listening)
    await broadcast.close()
    await broadcast.publish("things", b"to nobody")


# Redis gone


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, Broadcast, Metrics]]:
    """A Redis of the test's own, and a client of it."""
    server, metrics = RedisServer(tmp_path / "redis"), Metrics()
    server.start()
    async with Tasks("test", Metrics()) as tasks:
        broadcast = drivers.open_broadcast(server.url(), tasks=tasks, metrics=metrics)
        yield server, broadcast, metrics
        await broadcast.close()
    server.kill()


async def test_after_redis_was_killed_the_gap_is_told_and_later_messages_are_heard(
    mortal: tuple[RedisServer, Broadcast, Metrics],
) -> None:
    server, broadcast, metrics = mortal
    async with broadcast.subscribe("things") as listening, broadcast.subscribe("others") as others:
        assert (await heard(listening), await heard(others)) == (LOST, LOST)
        await broadcast.publish("things", b"before")
        assert await heard(listening) == b"before"
        server.kill()
        await broadcast.publish("things", b"into the void")

        async def known() -> bool:
            return sample(metrics, "acme_broadcast_up") == 0

        await until(known, 1.0 + BUSY)
        assert broadcast.state.startswith("it does not answer for ")
        assert sample(metrics, "acme_broadcast_failures_total") == 1
        await asyncio.to_thread(server.start)
        started = time.monotonic()
        assert (await heard(listening), await heard(others)) == (LOST, LOST)
        assert time.monotonic() - started < 2.0 + BUSY

        async def well() -> bool:
            return broadcast.state == "ok"

        await until(well, 2.0 + BUSY)
        await broadcast.publish("things", b"after")
        assert await heard(listening) == b"after"
        assert sample(metrics, 'acme_broadcast_gaps_total{cause="connection"}') == 2


async def test_a_redis_that_hangs_is_a_gap_too(mortal: tuple[RedisServer, Broadcast, Metrics]) -> None:
    server, broadcast, metrics = mortal
    async with broadcast.subscribe("things") as listening:
        assert await heard(listening) is LOST
        server.freeze()

        async def known() -> bool:
            return sample(metrics, 'acme_broadcast_gaps_total{cause="connection"}') == 1

        await until(known, 2.0 + BUSY)
        server.thaw()
        assert await heard(listening, 2.0 + BUSY) is LOST


async def test_a_connection_that_redis_closes_is_a_gap_of_moments(
    mortal: tuple[RedisServer, Broadcast, Metrics],
) -> None:
    server, broadcast, _ = mortal
    async with broadcast.subscribe("things") as listening:
        assert await heard(listening) is LOST
        for _ in range(3):
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            assert await heard(listening, 1.0 + BUSY) is LOST


async def test_a_redis_that_comes_later_is_found(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    async with Tasks("test", Metrics()) as tasks:
        broadcast = drivers.open_broadcast(server.url(), tasks=tasks, metrics=Metrics())
        async with broadcast.subscribe("things") as listening:
            await broadcast.publish("things", b"into the void")
            assert broadcast.state != "ok"
            await asyncio.to_thread(server.start)
            assert await heard(listening, 2.0 + BUSY) is LOST
        await broadcast.close()
    server.kill()


async def test_numbered_databases_of_one_redis_do_not_hear_each_other(server: RedisServer) -> None:
    async with Tasks("test", Metrics()) as tasks, AsyncExitStack() as stack:
        both: list[Any] = []
        for number in (1, 2):
            broadcast = drivers.open_broadcast(server.url(number), tasks=tasks, metrics=Metrics())
            stack.push_async_callback(broadcast.close)
            both.append((broadcast, await stack.enter_async_context(broadcast.subscribe("things"))))
        for _, listening in both:
            assert await heard(listening) is LOST
        for number, (broadcast, _) in enumerate(both):
            await broadcast.publish("things", str(number).encode())
        assert [await heard(listening) for _, listening in both] == [b"0", b"1"]
