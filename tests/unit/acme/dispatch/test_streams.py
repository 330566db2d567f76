"""Streams, in every placement: order, back-pressure, ends of every kind, and who may call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from acme import current
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import ANONYMOUS, CALL, Kind, Principal
from acme.contract import Contracts
from acme.dispatch import Directory, Host, Pipeline, Server
from acme.dispatch.http2 import WINDOW
from acme.dispatch.remote import Remote
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.errors import (
    Code,
    Conflict,
    DeadlineExceeded,
    Denied,
    Invalid,
    Refused,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests import blobs
from tests.services import ANN
from tests.unit.acme.dispatch.town import QUICK, Believing, asking, soon, until

NARROW = Principal(Kind.USER, "usr_bob", scopes=frozenset({"blobs.write"}))


class Rig:
    """A service that streams, and its client."""

    def __init__(self, service: Any, client: Any, pipeline: Pipeline, directory: Directory, server: Server) -> None:
        self.service, self.client, self.pipeline = service, client, pipeline
        self.directory, self.server = directory, server
        self.m = blobs.module()
        self.metrics: Metrics

    def count(self, many: int, size: int = 0) -> AsyncIterator[Any]:
        found: AsyncIterator[Any] = self.client.count(self.m.CountRequest(count=many, size=size))
        return found

    def numbers(self, many: int) -> list[Any]:
        return [self.m.Number(value=value) for value in range(many)]


async def read(numbers: AsyncIterator[Any], got: list[int] | None = None) -> None:
    """Reads to the end; keeps values in `got`."""
    async for number in numbers:
        if got is not None:
            got.append(number.value)


@pytest.fixture(params=["local", "loopback", "grpc"], name="rig")
async def _rig(
    request: pytest.FixtureRequest, trial: Contracts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rig]:
    metrics, service = Metrics(), blobs.make()
    cipher = Vault(b"a master secret for the tests, 32+")
    pipeline = Pipeline(trial, Wire(trial), Checks(trial), metrics, SystemClock())
    directory, tokens = Directory(pipeline), Believing()
    tokens.known["bob's"] = NARROW
    async with Tasks("streams", metrics) as tasks:
        server = Server(pipeline, cipher, tokens, metrics, tasks)
        path = Path(tmp_path_factory.mktemp("s")) / "s"
        remote = Remote(await server.start(f"grpc+unix://{path}"), pipeline, cipher, metrics, tasks, settings=QUICK)
        directory.through(server, remote)
        declared = trial.services["blobs.v1.Blobs"]
        directory.host(Host(declared, service, "blobs"), request.param)
        rig = Rig(service, directory.named("gateway").client(declared.stub), pipeline, directory, server)
        rig.metrics = metrics
        try:
            yield rig
        finally:
            await remote.close()
            await server.close()


@pytest.fixture(autouse=True)
def _calling() -> Iterator[None]:
    with asking():
        yield


async def test_replies_come_in_their_order_and_end(rig: Rig) -> None:
    assert [number.value async for number in rig.count(2000)] == list(range(2000))
    assert rig.service.ended == ["whole"]
    assert [number async for number in rig.count(0)] == []


async def test_requests_come_in_their_order_from_any_iterable(rig: Rig) -> None:
    async def made() -> AsyncIterator[Any]:
        for number in rig.numbers(1000):
            yield number

    assert (await rig.client.sum(made())).value == sum(range(1000))
    assert (await rig.client.sum(rig.numbers(10))).value == 45
    assert (await rig.client.sum([])).value == 0


async def test_both_ways_at_once_each_reply_may_follow_its_request(rig: Rig) -> None:
    said: list[int] = []

    asked: list[int] = []

    async def ask() -> AsyncIterator[Any]:
        for value in range(50):
            await until(lambda: len(said) == len(asked))
            asked.append(value)
            yield rig.m.Number(value=value)

    async for number in rig.client.double(ask()):
        said.append(number.value)
    assert said == [2 * value for value in range(50)]


async def test_messages_of_every_size_pass_up_to_the_limit(rig: Rig) -> None:
    for size in (0, 1, 16_383, 70_000, WINDOW - 100, WINDOW, 3_000_000, MESSAGE_LIMIT - 100):
        assert [len(number.padding) async for number in rig.count(3, size)] == [size] * 3
        assert (await rig.client.sum([rig.m.Number(value=1, padding=b"x" * size)] * 3)).value == 3


async def test_who_makes_replies_gets_no_further_than_who_reads_them(rig: Rig) -> None:
    size = 100_000
    async with aclosing(rig.count(1000, size)) as numbers:  # type: ignore[type-var]  # the client's class is not known
        for _ in range(5):
            await anext(numbers)
        made = -1
        while made != rig.service.produced:
            made = rig.service.produced
            await asyncio.sleep(0.1)
    assert 5 <= made < 60  # of 1000: a window of HTTP/2 and the buffers of a socket, in one process none


async def test_who_makes_requests_gets_no_further_than_who_takes_them(rig: Rig) -> None:
    made = 0
    gate = asyncio.Event()

    async def make() -> AsyncIterator[Any]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield rig.m.Number(value=1, padding=b"x" * 100_000)

    async def hook(value: int) -> None:
        if rig.service.taken == 5:
            await gate.wait()

    rig.service.hook = hook
    call = soon(rig.client.sum(make()))
    await until(lambda: rig.service.taken == 5)
    seen = -1
    while made != seen:
        seen = made
        await asyncio.sleep(0.1)
    assert 5 <= made < 60
    gate.set()
    assert (await call).value == 1000
    assert made == 1000


async def test_who_stops_reading_ends_who_makes(rig: Rig) -> None:
    async with aclosing(rig.count(10**6, 1000)) as numbers:  # type: ignore[type-var]  # the client's class is not known
        await anext(numbers)
    await until(lambda: rig.service.ended)
    assert rig.service.ended[0] in ("GeneratorExit", "CancelledError")
    assert rig.service.produced < 10**5


async def test_a_loop_that_is_left_ends_who_makes(rig: Rig) -> None:
    async for _ in rig.count(10**6, 1000):
        break
    await until(lambda: rig.service.ended)


async def test_cancelling_the_reader_cancels_what_the_handler_waits_for(rig: Rig) -> None:
    async def hang(value: int) -> None:
        if value == 3:
            await asyncio.Event().wait()

    rig.service.hook = hang
    got: list[int] = []

    task = soon(read(rig.count(10), got))
    await until(lambda: len(got) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: rig.service.ended == ["CancelledError"])


async def test_cancelling_an_upload_ends_both_sides(rig: Rig) -> None:
    ended: list[str] = []

    async def endless() -> AsyncIterator[Any]:
        try:
            yield rig.m.Number(value=1)
            await asyncio.Event().wait()
        finally:
            ended.append("source")

    task = soon(rig.client.sum(endless()))
    await until(lambda: rig.service.taken == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: rig.service.ended == ["CancelledError"] and ended == ["source"])


async def test_an_error_half_way_comes_after_the_replies_before_it(rig: Rig) -> None:
    rig.service.fail_at = 700
    got: list[int] = []
    with pytest.raises(Conflict) as caught:
        await read(rig.count(1000), got)
    assert got == list(range(700))
    assert (caught.value.reason, caught.value.retry_after) == ("no_more", 2)


async def test_a_refusal_ends_an_upload_before_its_end(rig: Rig) -> None:
    rig.service.fail_at, ended = 3, []

    async def endless() -> AsyncIterator[Any]:
        try:
            for value in range(4):
                yield rig.m.Number(value=value)
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(Conflict, match="Enough"):
        await rig.client.sum(endless())
    assert ended == [True]


async def test_an_unexpected_error_says_nothing(rig: Rig) -> None:
    async def burst(value: int) -> None:
        if value == 2:
            raise KeyError("a secret")

    rig.service.hook = burst
    got: list[int] = []
    with pytest.raises(Refused) as caught:
        await read(rig.count(10), got)
    assert (len(got), caught.value.code, caught.value.message) == (2, Code.INTERNAL, "internal error")


async def test_an_error_of_who_makes_requests_is_its_own_and_no_whole_upload(rig: Rig) -> None:
    async def broken() -> AsyncIterator[Any]:
        yield rig.m.Number(value=1)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await rig.client.sum(broken())
    await until(lambda: rig.service.ended)
    assert rig.service.ended == ["CancelledError"]


async def test_the_deadline_holds_for_the_whole_stream(rig: Rig) -> None:
    async def slowly(value: int) -> None:
        await asyncio.sleep(0.06)  # each reply takes its time, and all of them too much

    rig.service.hook = slowly
    got: list[int] = []
    with pytest.raises(DeadlineExceeded):
        await read(rig.client.count(rig.m.CountRequest(count=1000), timeout=0.6), got)
    assert 1 <= len(got) < 15
    await until(lambda: rig.service.ended)


async def test_a_reader_that_comes_back_too_late_gets_no_more(rig: Rig) -> None:
    numbers = rig.client.count(rig.m.CountRequest(count=1000), timeout=0.5)
    await anext(numbers)
    await asyncio.sleep(0.55)  # longer than the whole call may take
    with pytest.raises(DeadlineExceeded):
        await read(numbers)
    await until(lambda: rig.service.ended)


async def test_an_upload_has_a_deadline_too(rig: Rig) -> None:
    async def endless() -> AsyncIterator[Any]:
        yield rig.m.Number(value=1)
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await rig.client.sum(endless(), timeout=0.5)
    await until(lambda: rig.service.ended == ["CancelledError"])


async def test_nothing_leaves_a_handler_that_asked_nobody(rig: Rig) -> None:
    rig.service.decides = False
    for many in (0, 5):
        got: list[int] = []
        with pytest.raises(Refused) as caught:
            await read(rig.client.guarded(rig.m.CountRequest(count=many)), got)
        assert (got, caught.value.code) == ([], Code.INTERNAL)
    rig.service.decides = True
    assert len([n async for n in rig.client.guarded(rig.m.CountRequest(count=5))]) == 5


async def test_who_lacks_the_permission_reaches_no_handler(rig: Rig) -> None:
    for principal, token, error in ((ANONYMOUS, "", Unauthenticated), (NARROW, "bob's", Denied)):
        with asking(principal, token=token), pytest.raises(error):
            await read(rig.client.guarded(rig.m.CountRequest(count=1)))
    stub = rig.pipeline.contracts.services["blobs.v1.Blobs"].stub
    stranger: Any = rig.directory.named("users").client(stub)
    with pytest.raises(Denied) as caught:
        await read(stranger.double([]))
    assert caught.value.reason == "internal_method"
    assert rig.service.produced == 0


async def test_rules_hold_for_each_request(rig: Rig) -> None:
    with pytest.raises(Invalid) as caught:
        await rig.client.sum([rig.m.Number(value=1), rig.m.Number(value=10**9)])
    assert caught.value.faults[0].pointer == "/value"
    assert rig.service.taken == 1


async def test_what_a_wire_could_not_carry_is_refused_as_a_message_too_large_is(rig: Rig) -> None:
    with pytest.raises(Invalid) as caught:
        await rig.client.sum([rig.m.Number(value=2**70)])
    assert caught.value.reason == "not_carried"
    with pytest.raises(TooLarge) as large:
        await rig.client.sum([rig.m.Number(padding=b"x" * MESSAGE_LIMIT)])
    assert large.value.reason == "request_too_large"
    with pytest.raises(TooLarge) as large:
        await read(rig.count(1, MESSAGE_LIMIT))
    assert large.value.reason == "reply_too_large"


async def test_each_side_runs_in_its_own_context(rig: Rig) -> None:
    seen: list[Any] = []

    async def mine() -> AsyncIterator[Any]:
        for number in rig.numbers(3):
            seen.append(current())
            yield number

    before = current()
    await rig.client.sum(mine())
    assert seen == [before] * 3
    assert {call.method for call in rig.service.contexts} == {"blobs.v1.Blobs/Sum"}
    assert [call.principal for call in rig.service.contexts] == [ANN] * 3
    async for _ in rig.count(3):
        assert CALL.get() is before


async def test_streams_are_measured_once_at_their_end(rig: Rig) -> None:
    async for _ in rig.count(3):
        pass
    rig.service.fail_at = 1
    with pytest.raises(Conflict):
        await read(rig.count(3))
    async with aclosing(rig.count(3)) as numbers:  # type: ignore[type-var]  # the client's class is not known
        await anext(numbers)
        with pytest.raises(Conflict):
            await anext(numbers)
    text = rig.metrics.render().decode()
    lines = [x for x in text.splitlines() if x.startswith("rpc_server_call_duration_seconds_count") and "Count" in x]
    assert sorted(float(line.rpartition(" ")[2]) for line in lines) == [1, 2]


async def test_many_streams_at_a_time_do_not_disturb_each_other(rig: Rig) -> None:
    async def add_up() -> int:
        return sum([number.value async for number in rig.count(200, 5000)])

    assert await asyncio.gather(*(add_up() for _ in range(20))) == [sum(range(200))] * 20


async def test_a_service_that_is_gone_is_unreachable(rig: Rig) -> None:
    rig.directory.withdraw(rig.pipeline.contracts.services["blobs.v1.Blobs"])
    for call in (read(rig.count(1)), rig.client.sum([])):
        with pytest.raises(Unavailable, match="not running"):
            await call


async def test_a_stream_that_nobody_reads_stops_no_other(rig: Rig) -> None:
    stalled = [rig.count(1000, 200_000) for _ in range(30)]
    for numbers in stalled:
        await anext(numbers)
    assert len([n async for n in rig.count(100, 100_000)]) == 100
    for numbers in stalled:
        await numbers.aclose()  # type: ignore[attr-defined]  # the client's class is not known
