"""Calls by contract, as somebody: what the gateway does, without HTTP.

A stub made here carries the principal, a request id, a deadline and an Idempotency-Key, as a request that came through the
gateway would. Tests of services use it because it is typed and because a refusal arrives as the error it is.
"""

from __future__ import annotations

import hashlib
import inspect
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

from acme.context import CALL, Call, IdempotencyKey, Principal
from acme.dispatch.drive import Driven
from acme.ports import Directory
from acme.testing.loops import Loop

T = TypeVar("T")

TIMEOUT: Final = 10.0
"""Seconds a call may take, unless it says less (`timeout=`)."""

_NO_KEY: Final = "no Idempotency-Key makes a stream safe to repeat: call without one"


def speaking(
    directory: Directory,
    stub: type[T],
    who: Callable[[], Awaitable[tuple[Principal, str]]],
    loop: Loop,
    *,
    idempotency_key: str,
    address: str,
) -> T:
    """A client of `stub` whose every call is that of `who`, asked anew: the principal, and a token to prove it. `directory`
    is the one that the gateway holds, `loop` the event loop it lives in."""
    return cast(T, _Speaking(directory.client(stub), who, loop, idempotency_key, address))


class _Speaking:
    """A stub's methods, each inside a call of its own."""

    def __init__(
        self, client: Any, who: Callable[[], Awaitable[tuple[Principal, str]]], loop: Loop, key: str, address: str
    ) -> None:
        self._client, self._who, self._loop = client, who, loop
        self._key, self._address = key, address

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if inspect.isasyncgenfunction(method):
            return self._stream(method)

        async def call(message: Any, **options: Any) -> Any:
            self._loop.check()
            token = CALL.set(self._call(message, *await self._who()))
            try:
                return await method(message, **options)
            finally:
                CALL.reset(token)

        return call

    def _stream(self, method: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncGenerator[Any, None]]:
        """A method whose replies are a stream: every step of it is taken inside the call, and none of the test's own."""

        async def stream(message: Any, **options: Any) -> AsyncGenerator[Any, None]:
            self._loop.check()
            if self._key:
                raise ValueError(_NO_KEY)
            context = copy_context()
            principal, credentials = await self._who()
            context.run(CALL.set, self._call(message, principal, credentials))
            replies = context.run(method, message, **options)
            try:
                while True:
                    try:
                        reply = await Driven(context, replies.__anext__())
                    except StopAsyncIteration:
                        return
                    yield reply
            finally:
                await Driven(context, replies.aclose())

        return stream

    def _call(self, message: Any, principal: Principal, credentials: str) -> Call:
        key = None
        if self._key and (hasattr(message, "__iter__") or hasattr(message, "__aiter__")):
            raise ValueError(_NO_KEY)
        if self._key:
            key = IdempotencyKey(self._key, hashlib.sha256(bytes(message)).digest())
        return Call(
            method="",
            principal=principal,
            request_id=f"test-{secrets.token_hex(8)}",
            deadline=time.monotonic() + TIMEOUT,
            service="gateway",
            address=self._address,
            idempotency=key,
            credentials=credentials,
        )
