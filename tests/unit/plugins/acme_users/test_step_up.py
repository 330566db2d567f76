"""Step-up: what it costs, and what races it."""

from __future__ import annotations

import asyncio

import pytest
from acme_users.passwords import Passwords

from acme import Denied
from acme.contracts.users.v1 import SessionsStub, StepUpRequest
from acme.ports import Database
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.people import OTHER
from tests.unit.plugins.acme_users.test_sessions import waiting


async def test_every_answer_costs_one_computation(platform: Platform, passwords: Passwords, ann: Caller) -> None:
    sessions = platform.stub(SessionsStub, as_=ann)
    before = passwords.computations
    await sessions.step_up(StepUpRequest(password=PASSWORD))
    with pytest.raises(Denied):
        await sessions.step_up(StepUpRequest(password=OTHER))
    assert passwords.computations == before + 2


async def test_a_password_that_is_replaced_meanwhile_gives_nothing(
    platform: Platform, observed: Database, ann: Caller
) -> None:
    async with observed.connection() as connection:
        await connection.begin()
        await connection.execute("UPDATE users SET password_hash = NULL WHERE id = $1", ann.id)
        stepping = asyncio.gather(
            platform.stub(SessionsStub, as_=ann).step_up(StepUpRequest(password=PASSWORD)), return_exceptions=True
        )
        await waiting(observed, 1)
        await connection.commit()
    [outcome] = await stepping
    assert isinstance(outcome, Denied)
    assert outcome.reason == "invalid_credentials"
