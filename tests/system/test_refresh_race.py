"""Many refreshes of one token at once, and an old token that comes back, against the real process and its PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.system.running import Person, Platform, connect, known_within, until_waiting

ROUNDS = 50
AT_ONCE = 50


@pytest.fixture
async def users(running: Platform) -> AsyncIterator[asyncpg.Connection]:
    """A session of the test's own in the users database."""
    connection = await connect(running, "users")
    yield connection
    await connection.close()


async def refresh(client: aiohttp.ClientSession, one: Platform, token: str) -> tuple[int, dict[str, Any]]:
    async with client.post(f"{one.api}/v1/sessions:refresh", json={"refresh_token": token}) as reply:
        return reply.status, await reply.json()


async def race(client: aiohttp.ClientSession, one: Platform, users: asyncpg.Connection, person: Person) -> None:
    """One round: the session's row is held until two refreshes wait for it. The person has the successor afterwards."""
    token, session = person.tokens["refresh_token"], person.tokens["session_id"]
    async with asyncio.TaskGroup() as group, users.transaction():
        await users.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session)
        attempts = [group.create_task(refresh(client, one, token)) for _ in range(AT_ONCE)]
        await until_waiting(users, 2)
    replies = [attempt.result() for attempt in attempts]
    assert {status for status, _ in replies} == {200}
    successors = {reply["refresh_token"] for _, reply in replies}
    assert len(successors) == 1
    assert successors != {token}
    assert {reply["session_id"] for _, reply in replies} == {session}
    person.tokens = replies[0][1]


async def test_keycloak_46054_fifty_refreshes_of_one_token_have_one_successor_and_the_family_lives(
    running: Platform, users: asyncpg.Connection
) -> None:
    person = await asyncio.to_thread(running.join, "race@example.com")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as client, asyncio.timeout(180):
        for _ in range(ROUNDS):
            await race(client, running, users, person)
    listed = running.call("GET", "/v1/sessions", token=person.token)
    assert listed.status == 200
    assert [session["id"] for session in listed.json["sessions"]] == [person.tokens["session_id"]]


def test_keycloak_50999_and_django_oauth_toolkit_1617_an_older_token_ends_the_family_within_a_second_and_for_good(
    running: Platform, measured: Callable[[str, object], None]
) -> None:
    person = running.join("replay@example.com")
    oldest = person.tokens["refresh_token"]
    for _ in range(2):
        reply = running.call("POST", "/v1/sessions:refresh", {"refresh_token": person.tokens["refresh_token"]})
        assert reply.status == 200
        person.tokens = reply.json
    assert running.call("GET", "/v1/users/me", token=person.token).status == 200

    replayed = running.call("POST", "/v1/sessions:refresh", {"refresh_token": oldest})
    assert replayed.status == 401

    seconds = known_within(1.0, lambda: running.call("GET", "/v1/users/me", token=person.token).status)
    measured("seconds until the family was dead", round(seconds, 3))
    newest = {"refresh_token": person.tokens["refresh_token"]}
    assert running.call("POST", "/v1/sessions:refresh", newest).status == 401

    running.kill()
    running.start()
    assert running.call("POST", "/v1/sessions:refresh", newest).status == 401
    assert running.call("GET", "/v1/users/me", token=person.token).status == 401
    again = running.log_in("replay@example.com")
    listed = running.call("GET", "/v1/sessions", token=again.token).json["sessions"]
    assert [session["id"] for session in listed] == [again.tokens["session_id"]]


def test_a_client_that_lost_the_reply_gets_the_same_successor_again(running: Platform) -> None:
    person = running.join("lost@example.com")
    body = {"refresh_token": person.tokens["refresh_token"]}
    first, second = (running.call("POST", "/v1/sessions:refresh", body) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert first.json["refresh_token"] == second.json["refresh_token"]
