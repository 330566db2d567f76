"""Making a personal token against taking the account back: whoever comes second knows of the first."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from acme.contracts.users.v1 import CreateTokenRequest, TokensStub
from acme.errors import Unauthenticated
from acme.testing import Platform

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_token_that_is_made_while_the_account_is_taken_back_is_not_made(platform: Platform) -> None:
    ann = await platform.sign_up()
    connection = await asyncpg.connect(platform.database("users"))
    try:
        async with asyncio.TaskGroup() as tasks, connection.transaction():
            # As a password reset does: the account first, then its sessions.
            await connection.execute("UPDATE users SET epoch = epoch + 1 WHERE id = $1", ann.id)
            request = CreateTokenRequest(name="late", scopes=["*"], expires_in_days=1)
            making = tasks.create_task(refused(platform.stub(TokensStub, as_=ann).create_token(request)))
            deadline = time.monotonic() + 5
            while not await connection.fetchval(WAITING):
                assert time.monotonic() < deadline, "nobody waits for the account"
                await asyncio.sleep(0.005)
            await connection.execute(
                "UPDATE sessions SET revoked_at = $2 WHERE user_id = $1", ann.id, platform.clock.now()
            )
        assert making.result() == "token_revoked"
        assert await connection.fetchval("SELECT count(*) FROM access_tokens WHERE subject = $1", ann.id) == 0
    finally:
        await connection.close()


async def refused(call: object) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await call  # type: ignore[misc]  # a coroutine of the stub's
    return caught.value.reason
