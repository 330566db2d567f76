"""Sends requests, and sends them again where that is safe.

A request is repeated when there was no answer, or one of 429, 502, 503 and 504, if it is a read, is declared idempotent or
carries an Idempotency-Key: then it is done once however often it arrives. Anything else is repeated after 429 only, which
says that nothing was done. Between two tries there are 0.1, 0.2, 0.4 … 2 seconds, each times a random part, or what
Retry-After says; after the call's deadline there is none.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from acme.client.problems import Problem, Unreachable

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0

SILENCE: Final = 60.0
"""Seconds in which nothing comes, after which a stream is lost: the platform sends a comment each 15."""

_AGAIN: Final = frozenset({429, 502, 503, 504})
_BUSY: Final = "idempotency_in_flight"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    verb: str
    path: str
    """With its query, escaped."""
    headers: Mapping[str, str]
    body: bytes | None
    repeatable: bool
    """Whether twice is the same as once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and is a success."""

    body: bytes
    headers: Mapping[str, str]


class Body:
    """An answer of which the body is still coming."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes.

        Raises:
            Unreachable: it breaks off, or nothing came for `SILENCE`.
        """
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except TimeoutError as error:
            raise Unreachable(f"nothing came for {SILENCE:g} seconds") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Unreachable(f"the stream broke off: {error}") from error

    def close(self) -> None:
        """Ends the connection, if there is more to come."""
        self._response.close()


class Transport:
    """One origin, over a pool of connections."""

    def __init__(
        self, origin: str, *, timeout: float, attempts: int, connections: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """`timeout` is in seconds and for all attempts of a call together. `tls`: whom to believe over https, and which
        certificate to show; None: whom this machine believes."""
        self._origin, self._timeout, self._attempts = origin.rstrip("/"), timeout, attempts
        self._connections, self._tls = connections, tls
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, authorization: str) -> Answer:
        """The answer to a request.

        Raises:
            Problem: it is no success, at the last attempt.
            Unreachable: there is none.
        """
        deadline = time.monotonic() + self._timeout
        pause = FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            wait = pause * random.uniform(0.5, 1.0)
            try:
                return await self._once(request, authorization, deadline)
            except Problem as problem:
                busy = problem.status == 409 and problem.code == _BUSY
                again = problem.status == 429 or (request.repeatable and (problem.status in _AGAIN or busy))
                wait = wait if problem.retry_after is None else max(wait, problem.retry_after)
                if not again or attempt == self._attempts or time.monotonic() + wait >= deadline:
                    raise
            except Unreachable:
                if not request.repeatable or attempt == self._attempts or time.monotonic() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    async def open(self, request: Request, authorization: str) -> Body:
        """The answer to a request as soon as it begins. It is sent once: who listens knows what to ask for again.

        Raises:
            Problem: it is no success.
            Unreachable: there is none.
        """
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._open().request(
                    request.verb,
                    self._origin + request.path,
                    data=request.body,
                    headers=self._headers(request, authorization),
                    timeout=aiohttp.ClientTimeout(total=None, sock_read=SILENCE),
                    allow_redirects=False,
                )
                if not 200 <= response.status < 300:
                    said = await response.read()
                    raise Problem.of(response.status, said, response.headers.get("Retry-After"))
        except TimeoutError as error:
            raise Unreachable(f"no answer from {self._origin} within {self._timeout:g} seconds") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"no answer from {self._origin}: {error}") from error
        return Body(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, request: Request, authorization: str, deadline: float) -> Answer:
        left = deadline - time.monotonic()
        headers = self._headers(request, authorization) | {"X-Request-Timeout": f"{max(left, 0.001):.3f}"}
        try:
            async with self._open().request(
                request.verb,
                self._origin + request.path,
                data=request.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=max(left, 0.001)),
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except TimeoutError as error:
            raise Unreachable(f"no answer from {self._origin} within {self._timeout:g} seconds") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"no answer from {self._origin}: {error}") from error
        if not 200 <= response.status < 300:
            raise Problem.of(response.status, body, response.headers.get("Retry-After"))
        return Answer(body, response.headers)

    def _headers(self, request: Request, authorization: str) -> dict[str, str]:
        return {**request.headers, "Authorization": authorization} if authorization else dict(request.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls or True),
                skip_auto_headers=("Content-Type",),
            )
        return self._session
