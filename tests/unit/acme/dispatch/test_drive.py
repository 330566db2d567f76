"""A coroutine driven inside a context of its own behaves as if it were awaited, and its context stays its own."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar

import pytest

from acme.context import ANONYMOUS, CALL, Call
from acme.dispatch.drive import Driven, call_on

VALUE: ContextVar[str] = ContextVar("value")


async def test_it_returns_what_the_coroutine_returns() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)  # a future, not only a yield
        return 7

    assert await Driven(Context(), work()) == 7


async def test_it_raises_what_the_coroutine_raises() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Driven(Context(), work())


async def test_nothing_that_is_set_inside_is_seen_outside_and_the_other_way_round() -> None:
    seen = []

    async def work() -> None:
        seen.append(VALUE.get("unset"))
        VALUE.set("inside")
        await asyncio.sleep(0)
        seen.append(VALUE.get("unset"))

    VALUE.set("outside")
    await Driven(Context(), work())
    assert (seen, VALUE.get()) == (["unset", "inside"], "outside")


async def test_two_in_one_task_keep_apart() -> None:
    async def work(value: str) -> str:
        VALUE.set(value)
        await asyncio.sleep(0)
        return VALUE.get()

    async def outer() -> list[str]:
        return [await Driven(Context(), work("a")), await Driven(Context(), work("b"))]

    assert await Driven(Context(), outer()) == ["a", "b"]


async def test_tasks_made_inside_inherit_the_inner_context() -> None:
    async def look() -> str:
        return VALUE.get("unset")

    async def work() -> tuple[str, str]:
        VALUE.set("inside")
        one, other = await asyncio.gather(look(), look())
        return one, other

    assert await Driven(Context(), work()) == ("inside", "inside")


async def test_cancelling_the_task_cancels_what_is_awaited_inside() -> None:
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cleaned = []

    async def work() -> None:
        VALUE.set("inside")
        try:
            await waited
        finally:
            cleaned.append(VALUE.get())

    async def outer() -> None:
        await Driven(Context(), work())

    # gather makes the task; cancelling it is what a gateway does with a request
    gathered = asyncio.gather(outer())
    await asyncio.sleep(0)
    gathered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathered
    assert waited.cancelled()
    assert cleaned == ["inside"]


async def test_a_timeout_inside_is_the_coroutines_own() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        raise AssertionError

    assert await Driven(Context(), work()) == "in time"


async def test_an_error_thrown_in_can_be_caught_inside() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, ValueError("x"))

    async def work() -> str:
        try:
            await future
        except ValueError:
            await asyncio.sleep(0)
            return "caught"
        raise AssertionError

    assert await Driven(Context(), work()) == "caught"


def test_closing_it_closes_the_coroutine_inside_its_context() -> None:
    closed = []

    async def work() -> None:
        VALUE.set("inside")
        try:
            await asyncio.sleep(0)
        except GeneratorExit:
            closed.append(VALUE.get())
            raise

    async def outer() -> None:
        await Driven(Context(), work())

    coroutine = outer()
    coroutine.send(None)
    coroutine.close()
    assert closed == ["inside"]


async def test_a_stack_tells_the_innermost_call_whose_handler_runs_there() -> None:
    seen: list[Call | None] = []

    def look() -> None:
        """As another thread would: by the frame alone."""
        with ThreadPoolExecutor(1) as threads:
            seen.append(threads.submit(call_on, sys._getframe()).result())

    async def callee() -> None:
        look()
        await asyncio.sleep(0)
        look()

    async def handler() -> None:
        look()
        await Driven(entered(second), callee())
        look()

    def entered(call: Call) -> Context:
        context = Context()
        context.run(CALL.set, call)
        return context

    first, second = (Call(method, ANONYMOUS, "req_1", 0.0) for method in ("a.A/First", "a.A/Second"))
    await Driven(entered(first), handler())
    look()
    await Driven(Context(), callee())
    assert seen == [first, second, second, first, None, None, None]
