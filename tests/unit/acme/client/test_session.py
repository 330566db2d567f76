"""Who calls: nobody, a token, or a session that renews itself. Over real HTTP, to a server that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from acme.client import Client, Problem


class Sessions:
    """Gives tokens that are good until they are said to be dead."""

    def __init__(self) -> None:
        self.good = {"a1"}
        self.refreshes: list[str] = []
        self.seen: list[str] = []

    async def log_in(self, request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return self.tokens("a1", "r1")

    async def refresh(self, request: web.Request) -> web.Response:
        token = (await request.json())["refresh_token"]
        self.refreshes.append(token)
        if token != f"r{len(self.refreshes)}":
            return web.json_response({"code": "session_ended"}, status=401)
        self.good = {f"a{len(self.refreshes) + 1}"}
        return self.tokens(*(f"{kind}{len(self.refreshes) + 1}" for kind in "ar"))

    async def me(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.seen.append(token)
        await asyncio.sleep(0)
        if token not in self.good:
            return web.json_response({"code": "token_expired"}, status=401)
        return web.json_response({"id": "usr_1"})

    @staticmethod
    def tokens(access: str, refresh: str) -> web.Response:
        return web.json_response({"access_token": access, "refresh_token": refresh, "token_type": "Bearer"})


@pytest.fixture
async def served() -> AsyncIterator[tuple[Sessions, Client]]:
    sessions = Sessions()
    app = web.Application()
    app.router.add_post("/v1/sessions", sessions.log_in)
    app.router.add_post("/v1/sessions:refresh", sessions.refresh)
    app.router.add_get("/v1/users/me", sessions.me)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        yield sessions, client


async def test_without_log_in_nobody_calls(served: tuple[Sessions, Client]) -> None:
    sessions, client = served
    with pytest.raises(Problem):
        await client.users.get_me()
    assert sessions.seen == [""]
    assert sessions.refreshes == []


async def test_a_dead_token_is_renewed_once_for_all_who_call(served: tuple[Sessions, Client]) -> None:
    sessions, client = served
    await client.log_in("ann@example.com", "secret")
    sessions.good = set()
    found = await asyncio.gather(*(client.users.get_me() for _ in range(20)))
    assert {user.id for user in found} == {"usr_1"}
    assert sessions.refreshes == ["r1"]


async def test_a_session_is_renewed_again_and_again(served: tuple[Sessions, Client]) -> None:
    sessions, client = served
    await client.log_in("ann@example.com", "secret")
    for _ in range(3):
        sessions.good = set()
        await client.users.get_me()
    assert sessions.refreshes == ["r1", "r2", "r3"]


async def test_a_session_that_has_ended_is_told(served: tuple[Sessions, Client]) -> None:
    sessions, client = served
    await client.log_in("ann@example.com", "secret")
    sessions.good = set()
    sessions.refreshes = ["r1"]  # somebody else has used it
    with pytest.raises(Problem) as caught:
        await client.users.get_me()
    assert caught.value.code == "session_ended"


async def test_a_token_of_ones_own_is_not_renewed() -> None:
    sessions = Sessions()
    app = web.Application()
    app.router.add_get("/v1/users/me", sessions.me)
    async with TestServer(app) as server, Client(str(server.make_url("/")), token="acp_x") as client:
        with pytest.raises(Problem):
            await client.users.get_me()
    assert sessions.seen == ["acp_x"]
