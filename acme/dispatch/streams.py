"""The callee's half of a call that streams, the same for every placement: `serve.py`, for more than one message.

A call takes a stream of requests and gives a stream of replies; where the contract says one, the stream has one. Whoever
wants the next reply pulls it, and so drives the handler, which pulls its requests: nothing runs ahead, and nothing lies
between them in this process. A placement with a wire adds what its windows hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from contextvars import Context
from typing import Any, TypeAlias

from acme.context import CALL, Call
from acme.contract import Method, Work
from acme.dispatch.drive import Driven
from acme.dispatch.messages import Messages
from acme.dispatch.serve import Carriage, Host, Pipeline, admit, not_carried, undecided
from acme.dispatch.status import guarded_stream
from acme.errors import Invalid, Refused
from acme.work import HERE, Entry, Scope, denies, trail_of

Streamed: TypeAlias = Callable[[Call, Messages], AsyncGenerator[Any, None]]
"""A served method that streams: (call, requests as the placement carries them) → replies likewise. Close what it returns."""


def streams(method: Method) -> bool:
    """Whether a method streams, either way."""
    return method.client_streaming or method.server_streaming


def serve_stream(pipeline: Pipeline, host: Host, method: Method, carriage: Carriage) -> Streamed:
    """Compiles one method that streams. `carriage.receive` and `answer` are for single messages."""
    handler: Any = getattr(host.instance, method.attr)
    check = pipeline.checks.check(method.request)
    receive, answer, carrier = carriage.receive, carriage.answer, carriage.carrier
    permission, units = method.permission, host.work
    trail = trail_of(method) if units is not None else None

    def message_of(raw: Any) -> Any:
        try:
            message = receive(raw)
        except ValueError as error:
            raise not_carried(error) from error
        if check is not None and (faults := check(message)):
            raise Invalid("The request breaks rules of its contract.", faults=faults)
        return message

    async def argument(requests: Messages, entry: Entry | None) -> Any:
        if method.client_streaming:
            return _Received(requests, message_of)
        message = message_of(await anext(requests))
        if entry is not None:
            entry.asked(message)
        return message

    def entered(call: Call, here: Scope | None) -> Context:
        context = Context()
        context.run(CALL.set, call)
        if here is not None:
            context.run(HERE.set, here)
        return context

    def check_end(call: Call, requests: Messages) -> None:
        if requests.failure is not None:
            raise asyncio.CancelledError  # whatever the handler made of it
        if permission and not call.decided:
            raise undecided(call)

    async def one(call: Call, requests: Messages, here: Scope | None, entry: Entry | None) -> Any:
        reply = await Driven(entered(call, here), handler(await argument(requests, entry)))
        check_end(call, requests)
        if entry is not None:
            entry.reply = reply
        return answer(reply)

    async def many(
        call: Call, requests: Messages, here: Scope | None, entry: Entry | None
    ) -> AsyncGenerator[Any, None]:
        context = entered(call, here)
        replies = context.run(handler, await argument(requests, entry))
        try:
            while True:
                try:
                    reply = await Driven(context, replies.__anext__())
                except StopAsyncIteration:
                    break
                if permission and not call.decided:
                    raise undecided(call)
                if here is not None and here.pending is not None and units is not None:
                    await units.settle(here)  # nothing leaves before what it tells of is there to stay
                await told(entry)
                yield answer(reply)
            check_end(call, requests)
            await told(entry)
        finally:
            await Driven(context, replies.aclose())

    async def told(entry: Entry | None) -> None:
        """Nothing leaves before it is recorded that somebody read it."""
        if entry is not None and entry.trail.reads and units is not None:
            await units.tell(entry)

    async def perform(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
        entry = trail.entry(call, None) if trail is not None else None
        try:
            admit(pipeline, method, call)
            async with aclosing(performed(call, requests, entry)) as replies:
                async for reply in replies:
                    yield reply
        except Refused as refusal:
            if entry is not None and units is not None and denies(call, refusal):
                await units.deny(entry, refusal)
            raise

    async def performed(call: Call, requests: Messages, entry: Entry | None) -> AsyncGenerator[Any, None]:
        if units is None or method.work is Work.NONE:
            here = None if units is None else units.reading
            if not method.server_streaming:
                reply = await one(call, requests, here, entry)
                await told(entry)
                yield reply
                return
            async with aclosing(many(call, requests, here, entry)) as replies:
                async for reply in replies:
                    yield reply
        elif not method.server_streaming:
            yield await units.manual(call, False, lambda scope: one(call, requests, scope, entry), carrier, entry)
        else:
            async with units.stream(call, entry) as scope, aclosing(many(call, requests, scope, entry)) as replies:
                async for reply in replies:
                    yield reply

    return guarded_stream(method, carriage.system, perform, pipeline.measures)


class _Received(AsyncIterator[Any]):
    """What a handler iterates over. Ends as it ended, however often it is asked."""

    __slots__ = ("_ended", "_message_of", "_requests")

    def __init__(self, requests: Messages, message_of: Callable[[Any], Any]) -> None:
        self._requests, self._message_of = requests, message_of
        self._ended: BaseException | None = None

    async def __anext__(self) -> Any:
        if self._ended is not None:
            raise self._ended
        try:
            return self._message_of(await anext(self._requests))
        except BaseException as error:
            self._ended = error
            raise
