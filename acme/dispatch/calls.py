"""The caller's half of a call, the same for every placement: from a message to the callee's `Call`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

from acme.context import CALL, Call, Kind, Principal
from acme.contract import Method
from acme.dispatch.messages import Messages
from acme.dispatch.serve import Serve
from acme.dispatch.streams import Streamed
from acme.errors import DeadlineExceeded, Refused
from acme.ids import new_id
from acme.ports import Clock
from acme.work import HERE, Unit

T = TypeVar("T")

LIMIT: Final = 10.0
"""Seconds until the deadline of a call that no call causes, such as a job's."""

GATEWAY: Final = "gateway"


def caller(method: Method, service: str, send: Serve, clock: Clock) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The stub's method for `service` as the caller. Takes grpclib's keyword arguments; metadata is not sent.

    Raises, when called:
        RuntimeError: inside a unit of work.
        Refused: what the callee answered; DeadlineExceeded without a call when there is no time left.
    """
    derive = _deriver(method, service, clock)

    async def call(message: Any, *, timeout: float | None = None, deadline: Any = None, metadata: Any = None) -> Any:
        callee, tighter = derive(timeout, deadline)
        if tighter:
            return await within(callee.deadline, send(callee, message))
        return await send(callee, message)

    return call


def streamer(method: Method, service: str, send: Streamed, clock: Clock) -> Callable[..., Any]:
    """`caller` for a method that streams: an async generator function where the replies do, and a coroutine function where
    only the requests do, as of the generated stub. The call begins when its first reply is asked for.

    Its deadline holds until the last reply. Closing, or dropping, what it returns ends the callee.
    """
    derive = _deriver(method, service, clock)

    async def replies(
        messages: Any, *, timeout: float | None = None, deadline: Any = None, metadata: Any = None
    ) -> AsyncGenerator[Any, None]:
        callee, tighter = derive(timeout, deadline)
        requests = Messages.of(messages if method.client_streaming else (messages,))
        when = callee.deadline
        try:
            async with aclosing(send(callee, requests)) as got:
                while True:
                    if when <= time.monotonic():
                        raise DeadlineExceeded("Time ran out.")
                    step = anext(got)
                    try:
                        reply = await (within(when, step) if tighter else step)
                    except StopAsyncIteration:
                        break
                    yield reply
        except (Refused, asyncio.CancelledError):
            if requests.failure is not None:
                raise requests.failure from None  # the callee could not know why
            raise
        finally:
            await requests.aclose()

    async def one(messages: Any, *, timeout: float | None = None, deadline: Any = None, metadata: Any = None) -> Any:
        async with aclosing(replies(messages, timeout=timeout, deadline=deadline, metadata=metadata)) as got:
            return await anext(got)

    return replies if method.server_streaming else one


def _deriver(method: Method, service: str, clock: Clock) -> Callable[[float | None, Any], tuple[Call, bool]]:
    """Makes the callee's `Call` of the current one, and says whether it has less time: (timeout, grpclib's deadline)."""
    name, permission = method.path[1:], method.permission
    now, get_call, get_here = time.monotonic, CALL.get, HERE.get
    principal = Principal(Kind.SERVICE, service)

    def derive(timeout: float | None, deadline: Any) -> tuple[Call, bool]:
        here = get_here(None)
        if type(here) is Unit:
            raise _inside_unit(here, name)
        source = get_call(None)
        if source is None:
            source = Call("", principal, new_id("req", clock), math.inf)
        trace, number = source.trace, 1
        if trace is not None:
            number = trace.begin()
        if deadline is not None:
            remaining = deadline.time_remaining()
            timeout = remaining if timeout is None else min(timeout, remaining)
        when, tighter = source.deadline, False
        started = now()
        if timeout is not None or when == math.inf:
            wanted = started + (LIMIT if timeout is None else timeout)
            if wanted < when:
                when, tighter = wanted, True
        if when <= started:
            raise DeadlineExceeded("There was no time left for the call.")
        key = source.idempotency
        if key is not None and (source.method or source.service != GATEWAY):
            key = None  # the key is for the call it came with, not for those that follow from it
        callee = Call(  # by position: a keyword more would cost 0.09 µs
            name,
            source.principal,
            source.request_id,
            when,
            service,
            source.address,
            source.traceparent,
            key,
            permission,
            False,
            source.seen,
            {},
            source.credentials,
            (),
            trace,
            number,
            source.span,
        )
        return callee, tighter

    return derive


async def within(when: float, work: Awaitable[T]) -> T:
    """Awaits `work` until `when` (`time.monotonic()`), then cancels it.

    `asyncio.timeout_at` in a third of its time: one timer, and the same care to tell its own cancellation from another.

    Raises:
        DeadlineExceeded: time ran out.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call has to be awaited by a task")
    before = task.cancelling()
    fired = False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(when - time.monotonic(), fire)
    try:
        return await work
    except asyncio.CancelledError:
        if not fired or task.uncancel() > before:
            raise
        fired = False
    finally:
        timer.cancel()
        if fired:
            task.uncancel()  # it ended in another way, in the very moment
    raise DeadlineExceeded("Time ran out.")


def _inside_unit(unit: Unit, name: str) -> RuntimeError:
    method = unit.call.method if unit.call is not None else "a job"
    return RuntimeError(
        f"{method} calls {name} inside a unit of work, and its transaction would wait for another service: "
        "call before or after it, in a method declared WORK_MANUAL"
    )
