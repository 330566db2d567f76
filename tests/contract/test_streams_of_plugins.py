"""What the README promises to authors of plugins that stream, kept by one with a table, in the placements of one process.

What belongs to dispatch and to HTTP alone is in tests/unit/acme/dispatch/test_streams.py and
tests/unit/acme/gateway/test_transfers.py; processes that die half-way are in tests/system/test_transfers.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from acme import Plugin, Resources, authorise, work
from acme.contract import Contracts
from acme.errors import Refused
from acme.testing import Platform, Server
from tests import blobs
from tests.trial import trial, trial_folder
from tests.unit.acme.dispatch.town import until
from tests.unit.acme.runtime.plugins import made

__all__ = ["trial", "trial_folder"]  # fixtures

PLACEMENTS = ("local", "loopback", "grpc")
FAULTS = ("clean", "duplicated", "slow", "crash")
SUMS = "SELECT total FROM sums ORDER BY total"


def plugin(ended: list[str]) -> Plugin:
    """Keeps sums, and gives numbers out. Notes in `ended` how its streams ended."""
    m = blobs.module()

    class Blobs(m.BlobsBase):  # type: ignore[misc, name-defined]  # generated while the tests run
        def __init__(self, database: Any) -> None:
            self._database = database

        async def sum(self, message: AsyncIterator[Any]) -> Any:
            total = 0
            try:
                async for number in message:
                    total += number.value
            except BaseException as error:
                ended.append(type(error).__name__)
                raise
            async with work(last=True):
                await self._database.execute("INSERT INTO sums (total) VALUES ($1)", total)
            return m.Number(value=total)

        async def guarded(self, message: Any) -> AsyncIterator[Any]:
            authorise.own("blobs.read")
            async with work(last=True):
                await self._database.execute("INSERT INTO sums (total) VALUES ($1)", message.count)
            try:
                for value in range(message.count):
                    yield m.Number(value=value)
                ended.append("whole")
            finally:
                ended.append("over")

        async def double(self, message: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for number in message:
                yield m.Number(value=number.value * 2)

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        async with work():
            await resources.database.execute("CREATE TABLE IF NOT EXISTS sums (total bigint PRIMARY KEY)")
        yield (Blobs(resources.database),)

    return made("blobs", contracts=(m.BlobsBase,), service=service)


class Streaming:
    """A running platform with the plugin."""

    def __init__(self, platform: Platform, server: Server, ended: list[str]) -> None:
        self.platform, self.ended, self._server = platform, ended, server
        self.m = blobs.module()
        self.client: Any = platform.stub(self.m.BlobsStub, as_=platform.somebody())

    def numbers(self, *values: int) -> list[Any]:
        return [self.m.Number(value=value) for value in values]

    async def sums(self) -> list[int]:
        """What was committed."""
        name = self.platform.database("blobs").split("/")[-1].split("?")[0]
        async with self._server.connection(name) as connection:
            return [row["total"] for row in await connection.fetch(SUMS)]


@asynccontextmanager
async def streaming(postgres: Server, placement: Any, fault: Any = "clean") -> AsyncIterator[Streaming]:
    ended: list[str] = []
    async with Platform.start([plugin(ended)], placement=placement, fault=fault, server=postgres) as platform:
        yield Streaming(platform, postgres, ended)


@pytest.fixture(params=PLACEMENTS, name="one")
async def _one(request: pytest.FixtureRequest, trial: Contracts, postgres: Server) -> AsyncIterator[Streaming]:
    async with streaming(postgres, request.param) as one:
        yield one


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("placement", PLACEMENTS)
async def test_streams_of_every_shape_mean_the_same_in_every_placement_and_with_every_fault(
    trial: Contracts, postgres: Server, placement: str, fault: str
) -> None:
    async with streaming(postgres, placement, fault) as one:
        assert (await one.client.sum(one.numbers(1, 2, 3))).value == 6
        assert [n.value async for n in one.client.guarded(one.m.CountRequest(count=3))] == [0, 1, 2]
        assert await one.sums() == [3, 6]


async def test_a_stream_of_requests_that_breaks_off_is_never_taken_for_whole(one: Streaming) -> None:
    async def source() -> AsyncIterator[Any]:
        yield one.m.Number(value=1)
        raise RuntimeError("the caller's own trouble")

    with pytest.raises(RuntimeError, match="own trouble"):
        await one.client.sum(source())
    assert await one.sums() == []
    assert one.ended == ["CancelledError"]


async def test_a_reader_that_leaves_ends_the_handler_and_what_was_committed_stays(one: Streaming) -> None:
    async with aclosing(one.client.guarded(one.m.CountRequest(count=1_000_000))) as numbers:
        async for number in numbers:
            if number.value == 3:
                break
    await until(lambda: one.ended)
    assert one.ended == ["over"]
    assert await one.sums() == [1_000_000]


async def test_nothing_of_a_stream_is_made_before_somebody_reads_it(one: Streaming) -> None:
    one.client.guarded(one.m.CountRequest(count=3))
    assert await one.sums() == []


async def test_who_may_not_call_gets_no_reply_at_all(one: Streaming) -> None:
    nobody: Any = one.platform.stub(one.m.BlobsStub)
    with pytest.raises(Refused) as caught:
        await anext(nobody.guarded(one.m.CountRequest(count=1)))
    assert caught.value.code.value == "unauthenticated"
    assert await one.sums() == []


async def test_a_message_of_a_stream_keeps_the_rules_of_the_contract(one: Streaming) -> None:
    with pytest.raises(Refused) as caught:
        await one.client.sum(one.numbers(1, 1_000_001))
    assert [fault.pointer for fault in caught.value.faults] == ["/value"]
    assert await one.sums() == []


async def test_a_key_for_a_stream_is_refused_by_the_kit(one: Streaming) -> None:
    keyed: Any = one.platform.stub(one.m.BlobsStub, as_=one.platform.somebody(), idempotency_key="once")
    with pytest.raises(ValueError, match="no Idempotency-Key makes a stream safe"):
        await keyed.sum(one.numbers(1))
    with pytest.raises(ValueError, match="no Idempotency-Key makes a stream safe"):
        await anext(keyed.guarded(one.m.CountRequest(count=1)))


async def test_both_ways_at_once_a_reply_may_come_before_the_next_request(one: Streaming) -> None:
    got: list[int] = []
    sent: list[int] = []

    async def source() -> AsyncIterator[Any]:
        for value in (1, 2, 3):
            await until(lambda: len(got) == len(sent))
            sent.append(value)
            yield one.m.Number(value=value)

    async for number in one.client.double(source()):
        got.append(number.value)
    assert got == [2, 4, 6]
