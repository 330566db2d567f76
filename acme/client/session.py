"""Who is calling, and the calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from acme.client.operation import Operation
from acme.client.problems import Problem
from acme.client.services import Services
from acme.client.stream import Events
from acme.client.transport import Request, Transport
from acme.codec.json import Json
from acme.contract import Contracts, Method, load

T = TypeVar("T")

_EXPIRED: Final = frozenset({"token_expired", "token_revoked", "invalid_token"})


class Client(Services):
    """The platform at one address. Safe for any number of tasks of one event loop."""

    def __init__(
        self,
        origin: str,
        *,
        token: str = "",
        timeout: float = 30.0,
        attempts: int = 4,
        connections: int = 100,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`origin` is such as "https://api.example.com"; `token` a personal access token, or an access token that is kept
        fresh elsewhere. `timeout` is in seconds and for all of a call's `attempts` together. `tls` says whom to believe over
        https, where that is another than this machine believes, and which certificate to show, if any.
        """
        super().__init__(self._invoke)
        self._transport = Transport(origin, timeout=timeout, attempts=attempts, connections=connections, tls=tls)
        self._operations: dict[str, Operation] = {}
        self._token, self._refresh_token = token, ""
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. The session that `log_in` has begun stays; `log_out` ends it."""
        await self._transport.close()

    async def log_in(self, email: str, password: str) -> None:
        """Calls as this person from now on. The access token is renewed as long as the session lives.

        Raises:
            Problem: 401 `invalid_credentials`, 429 after too many tries, and others.
        """
        tokens = await self.sessions.create_session(email=email, password=password)
        self._token, self._refresh_token = tokens.access_token, tokens.refresh_token

    async def step_up(self, password: str) -> None:
        """Proves again who is calling, for methods that ask for a fresh log-in (`step_up_required`)."""
        self._token = (await self.sessions.step_up(password=password)).access_token

    async def log_out(self) -> None:
        """Ends the session, and calls as nobody from now on."""
        me = [session async for session in self.sessions.list_sessions() if session.current]
        for session in me:
            await self.sessions.delete_session(session.id)
        self._token = self._refresh_token = ""

    async def _invoke(self, path: str, given: Mapping[str, Any], key: str) -> Any:
        operation = self._operations.get(path)
        if operation is None:
            method, json = _methods()[path], _json()
            operation = self._operations[path] = Operation(method, json)
        request = operation.request(given, key)
        if operation.streams:
            return Events(await self._asked(operation, self._transport.open, request), operation.read)
        return operation.reply(await self._asked(operation, self._transport.send, request))

    async def _asked(self, operation: Operation, send: Callable[[Request, str], Awaitable[T]], request: Request) -> T:
        if operation.public:
            return await send(request, "")
        token = self._token
        try:
            return await send(request, f"Bearer {token}" if token else "")
        except Problem as problem:
            if problem.status != 401 or problem.code not in _EXPIRED or not self._refresh_token:
                raise
        await self._refresh(token)
        return await send(request, f"Bearer {self._token}")

    async def _refresh(self, dead: str) -> None:
        """Gets another access token in the place of a dead one; one call does it for all who wait."""
        async with self._refreshing:
            if self._token == dead:
                tokens = await self.sessions.refresh_session(refresh_token=self._refresh_token)
                self._token, self._refresh_token = tokens.access_token, tokens.refresh_token


@cache
def _contracts() -> Contracts:
    return load("acme.contracts")


@cache
def _json() -> Json:
    return Json(_contracts())


@cache
def _methods() -> Mapping[str, Method]:
    return {method.path: method for service in _contracts().services.values() for method in service.methods}
