"""The caller's half of a call, the same for every placement: from a message to the callee's `Call`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from acme.context import CALL, Call, Kind, Principal
from acme.contract import Method
from acme.dispatch.serve import Serve
from acme.errors import DeadlineExceeded
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
    name, permission = method.path[1:], method.permission
    now, get_call, get_here = time.monotonic, CALL.get, HERE.get
    principal = Principal(Kind.SERVICE, service)

    async def call(message: Any, *, timeout: float | None = None, deadline: Any = None, metadata: Any = None) -> Any:
        here = get_here(None)
        if type(here) is Unit:
            raise _inside_unit(here, name)
        source = get_call(None)
        if source is None:
            source = Call("", principal, new_id("req", clock), math.inf)
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
        callee = Call(
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
            source.credentials,
        )
        if tighter:
            return await within(when, send(callee, message))
        return await send(callee, message)

    return call


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
