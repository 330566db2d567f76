"""Offers of ownership, as far as no contract shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.transfers import OFFER_LIFE

from acme.contracts.users.v1 import (
    AcceptOrganizationTransferRequest,
    LeaveOrganizationRequest,
    TransferOrganizationRequest,
)
from acme.errors import NotFound
from acme.plugin import Plugin
from acme.testing import Platform
from tests.offices import Office, looking
from tests.waiting import until


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    """The jobs run all the time."""
    return [replace(users_plugin, jobs=tuple(replace(job, every=0.05) for job in users_plugin.jobs))]


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


async def offers(office: Office) -> int:
    count: int = await office.database.fetchval(
        "SELECT count(*) FROM organization_transfers WHERE organization_id = $1", office.id
    )
    return count


async def test_an_offer_that_nobody_took_is_deleted(platform: Platform, office: Office) -> None:
    member = await office.member()
    request = TransferOrganizationRequest(id=office.id, user_id=member.id)
    offered = await office.organizations().transfer_organization(request)
    assert offered.expires_at is not None
    left = offered.expires_at - platform.clock.now()
    assert OFFER_LIFE - timedelta(minutes=1) < left <= OFFER_LIFE
    assert await offers(office) == 1
    platform.clock.advance(OFFER_LIFE)

    async def gone() -> bool:
        return await offers(office) == 0

    await until(gone)


async def test_who_comes_back_finds_the_offer_of_before_gone(office: Office) -> None:
    member = await office.member()
    stub = office.organizations(member)
    await office.organizations().transfer_organization(TransferOrganizationRequest(id=office.id, user_id=member.id))
    await stub.leave_organization(LeaveOrganizationRequest(id=office.id))
    await office.admit(member)
    with pytest.raises(NotFound):
        await stub.accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
