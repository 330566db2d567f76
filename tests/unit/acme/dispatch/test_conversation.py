"""Calls that stream, to workers that misbehave: half a stream is never a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes

from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts
from acme.dispatch import Directory, Pipeline, Remote
from acme.dispatch.exchange import framed
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.drivers.clock import SystemClock
from acme.errors import Conflict, Refused, Unavailable
from tests import blobs
from tests.unit.acme.dispatch.town import QUICK, Town, Wild, asking, hostile, town, until

ONE = b"\x08\x07"
"""Number(value=7)."""


@pytest.fixture(name="here")
async def _here(trial: Contracts, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(Path(tmp_path_factory.mktemp("t"))) as made:
        made.pipeline = Pipeline(trial, Wire(trial), Checks(trial), made.metrics, SystemClock())
        yield made


def client(here: Town, *addresses: str) -> Any:
    remote = Remote(",".join(addresses), here.pipeline, here.cipher, here.metrics, here.tasks, settings=QUICK)
    here.remotes.append(remote)
    directory = Directory(here.pipeline)
    declared = here.pipeline.contracts.services["blobs.v1.Blobs"]
    directory.connect(declared, remote)
    return directory.named("gateway").client(declared.stub)


async def read(numbers: Any) -> tuple[list[int], Refused | None]:
    """What came, and what ended it."""
    got: list[int] = []
    try:
        async for number in numbers:
            got.append(number.value)
    except Refused as refusal:
        return got, refusal
    return got, None


def begun(wild: Wild, stream: int, *, more: bytes = b"") -> None:
    wild.headers(stream)
    wild.data(stream, framed(ONE) + framed(ONE) + more)


def end(wild: Wild, stream: int, *tail: tuple[str, str]) -> None:
    wild.headers(stream, *tail, end=True, first=False)


def whole(wild: Wild, stream: int) -> None:
    begun(wild, stream)
    end(wild, stream, ("grpc-status", "0"))


def cut(wild: Wild, stream: int) -> None:
    begun(wild, stream)
    wild.flush()
    asyncio.get_running_loop().call_later(0.05, wild.drop)


def reset(wild: Wild, stream: int) -> None:
    begun(wild, stream)
    wild.reset(stream, ErrorCodes.INTERNAL_ERROR)


def half(wild: Wild, stream: int) -> None:
    begun(wild, stream, more=framed(ONE)[:-1])
    end(wild, stream, ("grpc-status", "0"))


def without_status(wild: Wild, stream: int) -> None:
    begun(wild, stream)
    wild.data(stream, b"", end=True)


def garbage(wild: Wild, stream: int) -> None:
    begun(wild, stream, more=framed(b"\xff\xff"))
    end(wild, stream, ("grpc-status", "0"))


def compressed(wild: Wild, stream: int) -> None:
    begun(wild, stream, more=b"\1" + framed(ONE)[1:])


def too_much(wild: Wild, stream: int) -> None:
    begun(wild, stream, more=b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("act", [cut, reset, half, without_status, garbage, compressed, too_much])
async def test_half_a_stream_ends_in_an_error_after_what_came(here: Town, act: Any) -> None:
    async with hostile(act) as (address, met):
        stub = client(here, address)
        with asking():
            got, refusal = await read(stub.count(blobs.module().CountRequest(count=2)))
        assert got == [7, 7]
        assert isinstance(refusal, Unavailable)
        assert refusal.reason == "outcome_unknown"
        assert met


async def test_a_refusal_half_way_is_the_callees(here: Town) -> None:
    def act(wild: Wild, stream: int) -> None:
        begun(wild, stream)
        end(wild, stream, ("grpc-status", "10"), ("grpc-message", "No."))

    async with hostile(act) as (address, _):
        with asking():
            got, refusal = await read(client(here, address).count(blobs.module().CountRequest(count=2)))
    assert (got, type(refusal)) == ([7, 7], Conflict)


@pytest.mark.parametrize("many", [0, 2])
async def test_one_reply_is_exactly_one(here: Town, many: int) -> None:
    def act(wild: Wild, stream: int) -> None:
        wild.headers(stream)
        wild.data(stream, framed(ONE) * many)
        end(wild, stream, ("grpc-status", "0"))

    async with hostile(act) as (address, _):
        with asking(), pytest.raises(Unavailable) as caught:
            await client(here, address).sum([])
    assert caught.value.reason == "outcome_unknown"


async def test_a_stream_that_was_not_begun_goes_to_another_address(here: Town) -> None:
    def refuse(wild: Wild, stream: int) -> None:
        wild.reset(stream, ErrorCodes.REFUSED_STREAM)

    async with hostile(refuse) as (bad, _), hostile(whole) as (good, _):
        stub = client(here, bad, good)
        with asking():
            for _ in range(10):
                assert await read(stub.count(blobs.module().CountRequest(count=2))) == ([7, 7], None)


async def test_an_upload_that_has_begun_is_sent_once(here: Town) -> None:
    calls: list[int] = []

    def refuse(wild: Wild, stream: int) -> None:
        calls.append(stream)
        wild.reset(stream, ErrorCodes.REFUSED_STREAM)

    number = blobs.module().Number
    async with hostile(refuse) as (one, _), hostile(refuse) as (other, _):
        with asking(), pytest.raises(Unavailable) as caught:
            await client(here, one, other).sum([number(value=1)])
    assert caught.value.reason == "outcome_unknown"
    assert len(calls) == 1


async def test_who_stops_reading_resets_the_stream(here: Town) -> None:
    async with hostile(begun) as (address, met):
        numbers = client(here, address).count(blobs.module().CountRequest(count=2))
        with asking():
            await anext(numbers)
        await numbers.aclose()
        await until(lambda: any(ErrorCodes.CANCEL in wild.reset_codes.values() for wild in met))
