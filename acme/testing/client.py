"""An HTTP client that speaks as somebody: JSON in, JSON out, and a Bearer token.

reply = await client.post("/v1/projects", {"name": "Atlas"})
project = reply.expect(201)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from acme.testing.loops import Loop

TIMEOUT: Final = 15.0
"""Seconds for a whole request: more than the gateway takes, so that its answer is the one that tests see."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By name in any case; the last one wins."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; `None` for an empty one."""
        return json.loads(self.body) if self.body else None

    def expect(self, status: int) -> Any:
        """The body as JSON, if the status is this one.

        Raises:
            AssertionError: with the status and the body, which most often is a problem that says why.
        """
        if self.status != status:
            raise AssertionError(f"expected {status}, got {self.status}: {self.body.decode(errors='replace')}")
        return self.json


class Client:
    """Sends requests to one origin, with one token or none. An async context manager; `Platform.client` closes its own."""

    def __init__(self, origin: str, token: str = "", loop: Loop | None = None) -> None:
        """`loop` is the event loop that the origin's server shares with the test, if it does."""
        self.origin: Final = origin
        self._loop = loop
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Reply:
        """Sends one request: `json_body` as JSON, or `body` as it is. Follows no redirect, keeps no cookie."""
        if self._loop is not None:
            self._loop.check()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
            )
        sent = dict(self._headers)
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        async with self._session.request(
            method, self.origin + path, data=body, headers=sent, params=query, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None, **query: str | int) -> Reply:
        """GET, with query parameters as keywords."""
        return await self.request("GET", path, headers=headers, query=query)

    async def post(self, path: str, json_body: Any = None, *, headers: Mapping[str, str] | None = None) -> Reply:
        """POST."""
        return await self.request("POST", path, json_body, headers=headers)

    async def patch(self, path: str, json_body: Any, *, headers: Mapping[str, str] | None = None) -> Reply:
        """PATCH."""
        return await self.request("PATCH", path, json_body, headers=headers)

    async def put(self, path: str, json_body: Any, *, headers: Mapping[str, str] | None = None) -> Reply:
        """PUT."""
        return await self.request("PUT", path, json_body, headers=headers)

    async def delete(self, path: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """DELETE."""
        return await self.request("DELETE", path, headers=headers)
