"""Messages of a stream, as frames bring them, and the window that is given back."""

from __future__ import annotations

import asyncio

import pytest

from acme.dispatch.exchange import framed
from acme.dispatch.inbox import Inbox, TooLong
from acme.dispatch.serve import MESSAGE_LIMIT
from tests.unit.acme.dispatch.town import soon

WINDOW = 1000


def inbox() -> tuple[Inbox, list[int]]:
    credit: list[int] = []
    return Inbox(WINDOW, credit.append), credit


@pytest.mark.parametrize("size", [1, 2, 5, 7, 100, 10_000])
async def test_messages_come_whole_however_frames_cut_them(size: int) -> None:
    box, _ = inbox()
    sent = [b"", b"a", b"b" * 300, b"", b"c" * 600]
    data = b"".join(framed(message) for message in sent)
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        box.feed(piece, len(piece))
    box.end()
    assert [await box.next() for _ in sent] == sent
    assert await box.next() is None
    assert await box.next() is None


async def test_the_window_is_given_back_as_messages_are_read_and_never_more() -> None:
    box, credit = inbox()
    for _ in range(50):
        data = framed(b"x" * 95)
        box.feed(data, len(data) + 3)  # three bytes of padding
    assert credit == []
    for _ in range(50):
        await box.next()
    waiting = soon(_next(box))
    await asyncio.sleep(0)
    assert sum(credit) == 50 * 103
    box.end()
    assert await waiting is None


async def test_a_message_larger_than_the_window_gets_one_of_its_own_once() -> None:
    box, credit = inbox()
    data = framed(b"x" * 5000)
    box.feed(data[:600], 600)
    box.feed(data[600:], len(data) - 600)
    assert credit == [5005]
    assert len(await box.next() or b"") == 5000
    waiting = soon(_next(box))
    await asyncio.sleep(0)
    assert sum(credit) == 5005
    box.end()
    await waiting


async def test_a_reader_that_stands_still_is_sent_no_large_messages_without_an_end() -> None:
    box, credit = inbox()
    data = framed(b"x" * 600) * 20
    window, at = WINDOW, 0
    while window and at < len(data):  # as a sender does who has all the window that it was given
        size = min(window, 100, len(data) - at)
        granted = len(credit)
        box.feed(data[at : at + size], size)
        at += size
        window += sum(credit[granted:]) - size
    assert at <= 2 * WINDOW
    read = 0
    while read < 20:
        granted = len(credit)
        message = soon(_next(box))
        await asyncio.sleep(0)
        window += sum(credit[granted:])
        while not message.done():
            size = min(window, 100, len(data) - at)
            assert size, "sender and reader wait for each other"
            granted = len(credit)
            box.feed(data[at : at + size], size)
            at += size
            window += sum(credit[granted:]) - size
            await asyncio.sleep(0)
        assert await message == b"x" * 600
        read += 1
    waiting = soon(_next(box))
    await asyncio.sleep(0)
    assert sum(credit) == len(data)
    box.end()
    await waiting


async def test_what_came_before_a_failure_is_read_first() -> None:
    box, _ = inbox()
    box.feed(framed(b"a") + b"\0\0", 8)
    box.fail(KeyError("gone"))
    box.fail(ValueError("too late"))
    box.feed(framed(b"b"), 6)
    assert box.over
    assert await box.next() == b"a"
    with pytest.raises(KeyError):
        await box.next()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (framed(b"abc")[:-1], "half a message"),
        (b"\0", "half a message"),
        (b"\1" + framed(b"a")[1:], "a compressed message"),
        (b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4, "big"), "too large"),
    ],
)
async def test_what_is_no_message_is_told(data: bytes, said: str) -> None:
    box, _ = inbox()
    box.feed(data, len(data))
    box.end()
    with pytest.raises(ValueError, match=said) as caught:
        await box.next()
    assert isinstance(caught.value, TooLong) == (said == "too large")


async def _next(box: Inbox) -> bytes | None:
    return await box.next()
