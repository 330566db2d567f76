"""What a caller sends, on its own: order, context, failure, end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from acme.dispatch.messages import Messages

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def test_a_plain_iterable_and_an_asynchronous_one_are_the_same() -> None:
    async def made() -> AsyncIterator[int]:
        for value in (1, 2, 3):
            yield value

    for source in ([1, 2, 3], iter([1, 2, 3]), made()):
        messages = Messages.of(source)
        assert not messages.pulled
        assert [message async for message in messages.turned(lambda value: value * 2)] == [2, 4, 6]
        assert messages.pulled


async def test_the_callers_code_runs_in_the_callers_context() -> None:
    async def made() -> AsyncIterator[str]:
        yield WHO.get()
        WHO.set("changed")
        yield WHO.get()

    token = WHO.set("caller")
    messages = Messages.of(made())
    WHO.reset(token)
    assert [message async for message in messages] == ["caller", "changed"]
    assert WHO.get() == "nobody"


@pytest.mark.parametrize("where", ["source", "turn"])
async def test_who_pulls_is_cancelled_by_a_failure_and_never_hears_why(where: str) -> None:
    async def made() -> AsyncIterator[int]:
        yield 0
        if where == "source":
            raise ZeroDivisionError("mine")
        yield 1

    messages = Messages.of(made()).turned(lambda value: 1 // (1 - value) if where == "turn" else value)
    await anext(messages)
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError) as caught:
            await anext(messages)
        assert caught.value.__context__ is None
    assert isinstance(messages.failure, ZeroDivisionError)


async def test_the_end_ends_the_callers_code() -> None:
    ended: list[Any] = []

    async def made() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.append(WHO.get())

    token = WHO.set("caller")
    messages = Messages.of(made())
    WHO.reset(token)
    await anext(messages)
    await messages.aclose()
    assert ended == ["caller"]
