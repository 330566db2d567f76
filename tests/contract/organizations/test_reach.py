"""How soon everybody knows: a change of memberships reaches whoever verifies tokens, in a second, and costs no token.

All over HTTP, with one access token from the beginning to the end of a test: in the placement "process" the gateway is one
verifier and the worker another, and a request passes only when both let it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from acme_users.store import AuthorityStore

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateRoleRequest,
    RemoveMemberRequest,
    UpdateMemberRequest,
    UpdateRoleRequest,
)
from acme.testing import Client, Platform
from acme.testing import User as Caller
from tests.contract.tokens import AT_ONCE, bearing, make, problem, soon
from tests.offices import Office

pytestmark = pytest.mark.every_placement


@pytest.fixture
async def ann(platform: Platform) -> Caller:
    """Somebody with a session of her own."""
    return await platform.sign_up()


@pytest.fixture
def client(platform: Platform, ann: Caller) -> Client:
    return platform.client(ann)


async def admitted(office: Office, ann: Caller, role: str) -> None:
    """Makes somebody a member as the contract would: by invitation it takes two mails."""
    async with office.database.transaction():
        await office.admit(ann, role)
        await AuthorityStore(office.database).announce(grants_of=ann.id, at=office.platform.clock.now())


async def becomes(client: Client, office: Office, name: str, status: int) -> float:
    """Seconds until renaming the organisation is answered so."""

    async def met() -> bool:
        return (await client.patch(f"/v1/organizations/{office.id}", {"name": name})).status == status

    return await soon(met)


async def reads(client: Client, office: Office, status: int) -> float:
    async def met() -> bool:
        return (await client.get(f"/v1/organizations/{office.id}")).status == status

    return await soon(met)


async def change(office: Office, ann: Caller, role: str) -> None:
    await office.organizations().update_member(
        UpdateMemberRequest(organization_id=office.id, user_id=ann.id, role=role, update_mask=FieldMask(paths=["role"]))
    )


@pytest.mark.parametrize("opaque", [False, True], ids=["session", "personal token"])
async def test_what_is_given_and_taken_is_known_everywhere_within_a_second(
    platform: Platform, office: Office, ann: Caller, opaque: bool
) -> None:
    token = (await make(platform, ann, "*")).secret if opaque else ann.access_token
    client = bearing(platform, ann, token)
    problem(await client.get(f"/v1/organizations/{office.id}"), 404)
    await admitted(office, ann, "viewer")
    assert await reads(client, office, 200) < AT_ONCE
    problem(await client.patch(f"/v1/organizations/{office.id}", {"name": "Mine"}), 403, "permission_denied")
    await change(office, ann, "admin")
    assert await becomes(client, office, "Ours", 200) < AT_ONCE
    await change(office, ann, "viewer")
    assert await becomes(client, office, "Mine", 403) < AT_ONCE
    await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=ann.id))
    assert await reads(client, office, 404) < AT_ONCE
    (await client.get("/v1/users/me")).expect(200)


async def test_a_custom_role_that_changes_changes_all_who_have_it(office: Office, ann: Caller, client: Client) -> None:
    role = await office.roles().create_role(
        CreateRoleRequest(organization_id=office.id, name="Namer", permissions=["organizations.read"])
    )
    await admitted(office, ann, role.id)
    assert await reads(client, office, 200) < AT_ONCE
    problem(await client.patch(f"/v1/organizations/{office.id}", {"name": "Mine"}), 403, "permission_denied")

    async def grant(*permissions: str) -> None:
        await office.roles().update_role(
            UpdateRoleRequest(
                organization_id=office.id,
                id=role.id,
                permissions=list(permissions),
                update_mask=FieldMask(paths=["permissions"]),
            )
        )

    await grant("organizations.read", "organizations.update")
    assert await becomes(client, office, "Ours", 200) < AT_ONCE
    await grant("organizations.read")
    assert await becomes(client, office, "Mine", 403) < AT_ONCE


async def test_a_membership_that_ends_by_the_clock_ends_everywhere(
    platform: Platform, office: Office, ann: Caller, client: Client
) -> None:
    await admitted(office, ann, "viewer")
    assert await reads(client, office, 200) < AT_ONCE
    until = platform.clock.now() + timedelta(minutes=2)
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id,
            user_id=ann.id,
            expires_at=until,
            update_mask=FieldMask(paths=["expires_at"]),
        )
    )
    (await client.get(f"/v1/organizations/{office.id}")).expect(200)
    platform.clock.advance(timedelta(minutes=2))
    assert await reads(client, office, 404) < AT_ONCE
    (await client.get("/v1/users/me")).expect(200)


async def test_while_roles_go_up_and_down_nobody_ends_up_with_an_old_one(
    office: Office, ann: Caller, client: Client
) -> None:
    """The race of a look-up against the change that it lacks: requests all the time, and ten changes."""
    await admitted(office, ann, "viewer")
    await reads(client, office, 200)
    stopped = asyncio.Event()

    async def ask() -> None:
        while not stopped.is_set():
            await client.get(f"/v1/organizations/{office.id}")

    async def turn() -> None:
        try:
            for role in ("admin", "viewer") * 5:
                await change(office, ann, role)
            assert await becomes(client, office, "Mine", 403) < AT_ONCE
        finally:
            stopped.set()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        tasks.create_task(turn())
    for _ in range(10):
        problem(await client.patch(f"/v1/organizations/{office.id}", {"name": "Mine"}), 403, "permission_denied")
