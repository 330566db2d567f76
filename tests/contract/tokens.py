"""Access tokens for programs, for tests: made through their contracts, sent over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from acme.contracts.users.v1 import CreateTokenRequest, NewToken, TokensStub
from acme.testing import Client, Platform, Reply
from acme.testing import User as Caller

AT_ONCE: Final = 1.0
"""Seconds after which everybody has to know."""


async def make(platform: Platform, owner: Caller, *scopes: str, days: int = 30, name: str = "laptop") -> NewToken:
    """A personal token."""
    request = CreateTokenRequest(name=name, scopes=list(scopes or ("*",)), expires_in_days=days)
    return await platform.stub(TokensStub, as_=owner).create_token(request)


def bearing(platform: Platform, owner: Caller, secret: str) -> Client:
    """A client that sends a token."""
    return platform.client(Caller(owner.principal, access_token=secret))


def problem(reply: Reply, status: int, code: str = "") -> None:
    """Checks that a request was refused, and why if said."""
    said = reply.expect(status)
    assert code in ("", said["code"])


async def soon(met: Callable[[], Awaitable[bool]]) -> float:
    """Waits until something is so, and returns after how many seconds the last look began that still saw something else: who
    asks later than that is told the new. How long a look itself takes says nothing of what was known when."""
    began, other = time.monotonic(), 0.0
    while (looked := time.monotonic() - began) < 10 * AT_ONCE:
        if await met():
            return other
        other = looked
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come true")
