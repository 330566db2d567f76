"""Custom roles through their contract."""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateRoleRequest,
    DeleteRoleRequest,
    GetOrganizationRequest,
    ListRolesRequest,
    Role,
    RoleChanged,
    UpdateMemberRequest,
    UpdateRoleRequest,
)
from acme.errors import Conflict, Denied, Invalid, NotFound, Stale
from acme.testing import User as Caller
from tests.offices import Office, narrowed

pytestmark = pytest.mark.every_placement

READ = "organizations.read"
MANAGE = "organizations.roles.manage"


async def make(office: Office, *permissions: str, by: Caller | None = None) -> Role:
    return await office.roles(by).create_role(
        CreateRoleRequest(organization_id=office.id, name="Reader", permissions=list(permissions))
    )


def update(role: Role, *mask: str, if_match: int | None = None, **values: Any) -> UpdateRoleRequest:
    return UpdateRoleRequest(
        organization_id=role.organization_id,
        id=role.id,
        if_match=if_match,
        update_mask=FieldMask(paths=list(mask)),
        **values,
    )


def deletion(role: Role) -> DeleteRoleRequest:
    return DeleteRoleRequest(organization_id=role.organization_id, id=role.id)


async def give(office: Office, user: Caller, role: str) -> None:
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id, user_id=user.id, role=role, update_mask=FieldMask(paths=["role"])
        )
    )


async def roles_of(office: Office, *, size: int, caller: Caller | None = None) -> list[Role]:
    found: list[Role] = []
    token = ""
    while True:
        request = ListRolesRequest(organization_id=office.id, page_size=size, page_token=token)
        reply = await office.roles(caller).list_roles(request)
        assert len(reply.roles) <= size
        found += reply.roles
        token = reply.next_page_token
        if not token:
            return found


async def test_the_built_in_roles_come_first_and_each_includes_the_next(office: Office) -> None:
    found = await roles_of(office, size=50)
    assert [role.id for role in found] == ["owner", "admin", "member", "viewer", "guest"]
    assert all(role.built_in and role.organization_id == office.id for role in found)
    sets = [set(role.permissions) for role in found]
    assert all(upper > lower for upper, lower in pairwise(sets))
    assert all(role.permissions == sorted(role.permissions) for role in found)
    assert "organizations.transfer" in sets[0] - sets[1]
    assert "organizations.invitations.create" in sets[1] - sets[2]
    assert "organizations.leave" in sets[4]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 8, 50])
async def test_pages_of_roles_leave_none_out_and_repeat_none(office: Office, size: int) -> None:
    made = [await make(office, READ) for _ in range(3)]
    found = await roles_of(office, size=size, caller=await office.member("viewer"))
    assert [role.id for role in found] == ["owner", "admin", "member", "viewer", "guest", *(role.id for role in made)]
    assert found[5:] == made


async def test_a_role_has_its_permissions_sorted_and_once(office: Office, admin: Caller) -> None:
    role = await make(office, "projects.read", READ, READ, by=admin)
    assert (role.name, role.permissions, role.version, role.built_in) == ("Reader", [READ, "projects.read"], 1, False)
    assert await office.events() == [
        RoleChanged(organization_id=office.id, role_id=role.id, change="created", changed_at=role.created_at)
    ]


async def test_whoever_has_a_role_may_what_it_includes_and_nothing_else(office: Office, member: Caller) -> None:
    role = await make(office, "organizations.roles.read")
    await give(office, member, role.id)
    assert len(await roles_of(office, size=50, caller=member)) == 6
    with pytest.raises(Denied):
        await office.organizations(member).get_organization(GetOrganizationRequest(id=office.id))
    await office.roles().update_role(update(role, "permissions", permissions=[READ]))
    assert (await office.announced())[-1] == office.id
    assert (await office.organizations(member).get_organization(GetOrganizationRequest(id=office.id))).role == role.id
    with pytest.raises(Denied):
        await roles_of(office, size=50, caller=member)


async def test_an_update_sets_what_the_mask_names(office: Office) -> None:
    role = await make(office, READ)
    told = len(await office.announced())
    changed = await office.roles().update_role(update(role, "name", name="R", permissions=["projects.read"]))
    assert (changed.name, changed.permissions, changed.version) == ("R", [READ], 2)
    assert len(await office.announced()) == told  # a name makes no difference to verifiers
    assert await office.roles().update_role(update(role, "permissions", permissions=[READ, READ])) == changed
    assert [event.change for event in await office.events()] == ["created", "updated"]


async def test_an_update_for_another_version_or_field_changes_nothing(office: Office) -> None:
    role = await make(office, READ)
    before = await office.everything()
    with pytest.raises(Stale):
        await office.roles().update_role(update(role, "name", name="R", if_match=2))
    with pytest.raises(Invalid):
        await office.roles().update_role(update(role, "built_in"))
    assert await office.everything() == before


@pytest.mark.parametrize("permission", ["organizations.nonsense", "billing.everything"])
async def test_a_permission_that_no_contract_has_is_refused(office: Office, permission: str) -> None:
    with pytest.raises(Invalid) as caught:
        await make(office, READ, permission)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/permissions", "unknown_permission")]


async def test_nobody_makes_or_changes_a_role_above_their_own(office: Office, admin: Caller) -> None:
    high, low = await make(office, "organizations.transfer"), await make(office, READ)
    stub = office.roles(admin)
    before = await office.everything()
    calls: list[Awaitable[Any]] = [
        make(office, "organizations.transfer", by=admin),
        make(office, "projects.read", by=narrowed(office.owner, MANAGE)),
        stub.update_role(update(low, "permissions", permissions=["organizations.transfer"])),
        stub.update_role(update(high, "permissions", permissions=[])),
        stub.update_role(update(high, "name", name="Mine")),
        stub.delete_role(deletion(high)),
    ]
    for call in calls:
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason in {"role_above_own", "above_own_role"}
    assert await office.everything() == before


async def test_nobody_widens_the_role_they_have_themselves(office: Office, member: Caller) -> None:
    role = await make(office, MANAGE)
    await give(office, member, role.id)
    with pytest.raises(Denied) as caught:
        await office.roles(member).update_role(update(role, "permissions", permissions=[MANAGE, READ]))
    assert caught.value.reason == "role_above_own"


async def test_a_role_that_somebody_has_stays(office: Office, admin: Caller, member: Caller) -> None:
    role = await make(office, READ)
    await give(office, member, role.id)
    with pytest.raises(Conflict) as caught:
        await office.roles(admin).delete_role(deletion(role))
    assert caught.value.reason == "role_in_use"
    await give(office, member, "viewer")
    await office.roles(admin).delete_role(deletion(role))
    assert len(await roles_of(office, size=50)) == 5
    assert [event.change for event in await office.events() if isinstance(event, RoleChanged)] == ["created", "deleted"]
    with pytest.raises(NotFound):
        await office.roles(admin).delete_role(deletion(role))


@pytest.mark.parametrize("role", ["member", "viewer", "guest"])
async def test_below_admin_nobody_manages_roles(office: Office, role: str) -> None:
    stub = office.roles(await office.member(role))
    custom = await make(office)
    before = await office.everything()
    calls: list[Awaitable[Any]] = [
        stub.create_role(CreateRoleRequest(organization_id=office.id, name="Mine")),
        stub.update_role(update(custom, "name", name="Mine")),
        stub.delete_role(deletion(custom)),
    ]
    if role == "guest":
        calls.append(stub.list_roles(ListRolesRequest(organization_id=office.id)))
    for call in calls:
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "permission_denied"
    assert await office.everything() == before


async def test_roles_of_other_organisations_do_not_exist_here(office: Office) -> None:
    other = await office.another()
    theirs = await make(other, READ)
    here = Role(id=theirs.id, organization_id=office.id)
    before = await office.everything()
    stub = office.roles()
    calls: list[Awaitable[Any]] = [stub.list_roles(ListRolesRequest(organization_id=other.id))]
    for role in (theirs, here):
        calls += [stub.update_role(update(role, "name", name="Mine")), stub.delete_role(deletion(role))]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await office.everything() == before


async def test_an_organisation_has_fifty_roles_at_most(office: Office) -> None:
    role = await make(office)
    await office.database.execute(
        """
        INSERT INTO roles (id, organization_id, name, permissions, created_at, updated_at)
        SELECT id || n, organization_id, name, permissions, created_at, updated_at
        FROM roles, generate_series(1, 49) AS n WHERE id = $1
        """,
        role.id,
    )
    with pytest.raises(Conflict) as caught:
        await make(office)
    assert caught.value.reason == "too_many_roles"
