"""Service accounts: what the projects service is told when one goes."""

from __future__ import annotations

import asyncpg
import pytest

from acme.contracts.users.v1 import (
    CreateServiceAccountRequest,
    DeleteServiceAccountRequest,
    ServiceAccountsStub,
)
from acme.testing import Platform

LEAVING = "SELECT count(*) FROM acme.deliveries WHERE kind = 'leave_projects'"


async def test_projects_are_told_once_that_one_is_gone(platform: Platform) -> None:
    ann = await platform.sign_up()
    stub = platform.stub(ServiceAccountsStub, as_=ann)
    request = CreateServiceAccountRequest(organization_id=ann.organization, name="CI", role="member")
    account = await stub.create_service_account(request)
    connection = await asyncpg.connect(platform.database("users"))
    try:
        before = await connection.fetchval(LEAVING)
        for _ in range(2):
            await stub.delete_service_account(
                DeleteServiceAccountRequest(organization_id=ann.organization, id=account.id)
            )
        assert await connection.fetchval(LEAVING) == before + 1
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["owner", "viewer", "guest"])
async def test_a_personal_organisation_may_have_programs(platform: Platform, role: str) -> None:
    ann = await platform.sign_up()
    request = CreateServiceAccountRequest(organization_id=ann.organization, name="CI", role=role)
    account = await platform.stub(ServiceAccountsStub, as_=ann).create_service_account(request)
    assert (account.role, account.version) == (role, 1)
