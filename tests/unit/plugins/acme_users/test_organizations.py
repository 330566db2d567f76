"""The list of organisations, longer than any method can make it yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from acme import Malformed, new_id
from acme.contracts.users.v1 import ListOrganizationsRequest, OrganizationsStub
from acme.drivers import postgres as driver
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Platform, User
from tests.people import People, new_email


async def join(platform: Platform, user: User, number: int) -> list[str]:
    """Makes the user a member of that many organisations, pairs of which in the same instant; oldest first."""
    made = []
    async with Tasks("test", Metrics()) as tasks:
        pool = await driver.open(platform.database("users"), size=1, tasks=tasks)
        start = platform.clock.now()
        for place in range(number):
            at = start + timedelta(seconds=place // 2)
            organization = new_id("org", platform.clock)
            async with pool.connection() as connection:
                await connection.execute(
                    """
                    WITH made AS (
                        INSERT INTO organizations (id, name, personal, region, created_at)
                        VALUES ($1, 'Team', false, 'local', $2) RETURNING id
                    )
                    INSERT INTO memberships (user_id, organization_id, role, joined_at)
                    SELECT $3, id, 'owner', $2 FROM made
                    """,
                    organization,
                    at,
                    user.id,
                )
            made.append(organization)
            platform.clock.advance(timedelta(milliseconds=2))
        await pool.close()
    return made


async def test_organisations_come_in_the_order_of_joining_on_pages(platform: Platform, people: People) -> None:
    await people.sign_up(email := new_email())
    ann = await people.caller(email)
    joined = [ann.organization, *await join(platform, ann, 6)]
    organizations = platform.stub(OrganizationsStub, as_=ann)
    found: list[str] = []
    token = ""
    while not found or token:
        reply = await organizations.list_organizations(ListOrganizationsRequest(page_size=2, page_token=token))
        assert len(reply.organizations) <= 2
        found += [organization.id for organization in reply.organizations]
        token = reply.next_page_token
    assert found == joined


async def test_a_page_token_is_good_for_its_owner_only(platform: Platform, people: People) -> None:
    await people.sign_up(email := new_email())
    ann = await people.caller(email)
    await join(platform, ann, 2)
    first = await platform.stub(OrganizationsStub, as_=ann).list_organizations(ListOrganizationsRequest(page_size=1))
    bob = platform.stub(OrganizationsStub, as_=platform.somebody())
    with pytest.raises(Malformed):
        await bob.list_organizations(ListOrganizationsRequest(page_token=first.next_page_token))
