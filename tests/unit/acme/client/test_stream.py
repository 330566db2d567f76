"""One connection's events, as bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from acme.client import stream
from acme.client.problems import Problem, Unreachable
from acme.client.stream import Events


class Canned:
    """A body that comes in these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        self.closed = True


async def read(*pieces: bytes) -> tuple[list[tuple[str, Any]], Events]:
    source = Canned(pieces)
    async with Events(source, json.loads) as events:
        got = [event async for event in events]
    assert source.closed
    return got, events


WHOLE = b'id: 1\ndata: {"a": 1}\n\n:\n\nid: 2\ndata: {"a": 2}\n\nevent: end\ndata: {}\n\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_read_however_they_are_cut(size: int) -> None:
    got, events = await read(*(WHOLE[at : at + size] for at in range(0, len(WHOLE), size)))
    assert got == [("1", {"a": 1}), ("2", {"a": 2})]
    assert events.ended


async def test_lines_may_end_as_something_between_makes_them_end() -> None:
    got, events = await read(WHOLE.replace(b"\n", b"\r\n"))
    assert len(got) == 2
    assert events.ended


async def test_an_event_without_an_id_has_the_one_before() -> None:
    got, _ = await read(b"id: 7\ndata: 1\n\ndata: 2\n\n")
    assert got == [("7", 1), ("7", 2)]


async def test_a_stream_that_only_stops_is_not_over_and_half_an_event_is_none() -> None:
    got, events = await read(b"data: 1\n\nretry: 1500\n\ndata: 2\n")
    assert (got, events.ended, events.retry) == ([("", 1)], False, 1.5)


async def test_a_problem_is_raised() -> None:
    with pytest.raises(Problem) as caught:
        await read(b'data: 1\n\nevent: problem\ndata: {"status":409,"code":"gone","detail":"It has gone."}\n\n')
    assert (caught.value.status, caught.value.code) == (409, "gone")
    with pytest.raises(Problem) as caught:
        await read(b"event: problem\ndata: nonsense\n\n")
    assert caught.value.status == 500


async def test_what_a_later_version_says_is_passed_over() -> None:
    got, events = await read(b"event: new\ndata: {}\nmore: x\n\ndata: 1\n\nretry: soon\n\n")
    assert (got, events.retry) == ([("", 1)], 0.0)


async def test_nobody_fills_the_memory_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 1000)
    with pytest.raises(Unreachable):
        await read(b"data: " + b"x" * 600, b"x" * 600)
