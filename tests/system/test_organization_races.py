"""Two who change an organisation at once: the test holds its row until both wait for it, 200 times for each pair.

Both sides wait at the statement that decides: it locks the organisation, and what follows reads the members again. Who came
first goes first, so the outcome of every round is known.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal

import asyncpg
import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin
from acme_users.store import Invitation, InvitationStore

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    AcceptOrganizationTransferRequest,
    CancelOrganizationTransferRequest,
    CreateRoleRequest,
    DeleteRoleRequest,
    InvitationAccepted,
    LeaveOrganizationRequest,
    RemoveMemberRequest,
    TransferOrganizationRequest,
    UpdateMemberRequest,
)
from acme.errors import Conflict, NotFound
from acme.ids import new_id
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, looking

ROUNDS = 200

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%organizations%FOR NO KEY UPDATE%'
"""


@pytest.fixture(scope="module")
def placement() -> Literal["local"]:
    return "local"


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    """The projects service is told of everybody who leaves."""
    return [users_plugin, projects_plugin]


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


@pytest.fixture
async def holder(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    """The session that holds the row."""
    connection = await asyncpg.connect(platform.database("users"))
    yield connection
    await connection.close()


async def _waiting(connection: asyncpg.Connection, sessions: int) -> None:
    """Not asked by the session that holds the row: inside a transaction pg_stat_activity stays as it was first read."""
    async with asyncio.timeout(10):
        while await connection.fetchval(_WAITING) < sessions:  # noqa: ASYNC110 - PostgreSQL has no event for it
            await asyncio.sleep(0.001)


async def race(office: Office, holder: asyncpg.Connection, *calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Lets calls wait for the organisation's row, one after the other, then lets go; what came of each, in that order."""
    async with asyncio.TaskGroup() as group, holder.transaction():
        await holder.execute("SELECT FROM organizations WHERE id = $1 FOR UPDATE", office.id)
        tasks = []
        for number, call in enumerate(calls, 1):
            tasks.append(group.create_task(_outcome(call)))
            await _waiting(office.database, number)
    return [task.result() for task in tasks]


async def _outcome(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await call()
    except (Conflict, NotFound) as error:
        return error.reason
    except Exception as error:
        return error


def removing(office: Office, by: Caller, whom: Caller) -> Callable[[], Awaitable[Any]]:
    stub, request = office.organizations(by), RemoveMemberRequest(organization_id=office.id, user_id=whom.id)
    return lambda: stub.remove_member(request)


def leaving(office: Office, who: Caller) -> Callable[[], Awaitable[Any]]:
    stub, request = office.organizations(who), LeaveOrganizationRequest(id=office.id)
    return lambda: stub.leave_organization(request)


def role_of(office: Office, by: Caller, whom: Caller, role: str) -> Callable[[], Awaitable[Any]]:
    request = UpdateMemberRequest(
        organization_id=office.id, user_id=whom.id, role=role, update_mask=FieldMask(paths=["role"])
    )
    stub = office.organizations(by)
    return lambda: stub.update_member(request)


def accepting(office: Office, who: Caller, token: str) -> Callable[[], Awaitable[Any]]:
    stub = office.invitations(who)
    return lambda: stub.accept_invitation(AcceptInvitationRequest(token=token))


def taking(office: Office, who: Caller) -> Callable[[], Awaitable[Any]]:
    stub = office.organizations(who)
    return lambda: stub.accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))


def cancelling(office: Office, who: Caller) -> Callable[[], Awaitable[Any]]:
    stub = office.organizations(who)
    return lambda: stub.cancel_organization_transfer(CancelOrganizationTransferRequest(id=office.id))


async def invited(office: Office, who: Caller, inviter: Caller, number: int, role: str = "viewer") -> str:
    """The token of an invitation that was written by hand, to save the mail."""
    token, now = f"aci_{number}{office.id}", office.platform.clock.now()
    invitation = Invitation(
        id=new_id("inv", office.platform.clock),
        organization_id=office.id,
        email=who.email,
        email_key=who.email,
        role=role,
        project_id="",
        project_name="",
        project_role="",
        inviter_id=inviter.id,
        created_at=now,
        expires_at=now + timedelta(days=7),
        membership_expires_at=None,
    )
    await InvitationStore(office.database).add(invitation, hashlib.sha256(token.encode()).digest())
    return token


async def test_two_owners_who_remove_each_other_leave_one(office: Office, holder: asyncpg.Connection) -> None:
    first, lost = office.owner, Counter[str]()
    for _ in range(ROUNDS):
        second = await office.member("owner")
        done, refused = await race(office, holder, removing(office, first, second), removing(office, second, first))
        assert not isinstance(done, (str, Exception)), done
        lost[str(refused)] += 1
        assert await office.members() == {first.id: "owner"}
    assert lost == {"not_found": ROUNDS}  # whoever comes second is no member any more


async def test_two_owners_who_leave_at_once_leave_one(office: Office, holder: asyncpg.Connection) -> None:
    lost, last = Counter[str](), office.owner
    for _ in range(ROUNDS):
        second = await office.member("owner")
        done, refused = await race(office, holder, leaving(office, last), leaving(office, second))
        assert not isinstance(done, (str, Exception)), done
        lost[str(refused)] += 1
        assert await office.members() == {second.id: "owner"}
        last = second
    assert lost == {"last_owner": ROUNDS}


async def test_two_owners_who_demote_each_other_leave_one(office: Office, holder: asyncpg.Connection) -> None:
    outcomes = Counter[str]()
    first, second = office.owner, await office.member("owner")
    for _ in range(ROUNDS):
        one, other = role_of(office, first, second, "admin"), role_of(office, second, first, "admin")
        done, refused = await race(office, holder, one, other)
        outcomes[f"{getattr(done, 'role', done)}, {getattr(refused, 'reason', refused)}"] += 1
        assert await office.members() == {first.id: "owner", second.id: "admin"}
        await role_of(office, first, second, "owner")()
    assert outcomes == {"admin, above_own_role": ROUNDS}


async def test_two_accepts_of_one_invitation_make_one_member(office: Office, holder: asyncpg.Connection) -> None:
    outcomes = Counter[str]()
    for number in range(ROUNDS):
        ann = await office.stranger()
        token = await invited(office, ann, office.owner, number)
        accepted, void = await race(office, holder, *(accepting(office, ann, token) for _ in range(2)))
        assert isinstance(accepted, AcceptInvitationReply), accepted
        outcomes[getattr(void, "reason", str(void))] += 1
        assert (await office.members())[ann.id] == "viewer"
    assert outcomes == {"token_invalid": ROUNDS}
    assert [type(event) for event in await office.events()].count(InvitationAccepted) == ROUNDS
    assert len(await office.members()) == ROUNDS + 1


async def test_who_accepts_after_the_inviter_was_removed_is_no_member_and_who_accepts_before_is(
    office: Office, holder: asyncpg.Connection
) -> None:
    outcomes = Counter[str]()
    for number in range(ROUNDS):
        inviter, ann = await office.member("admin"), await office.stranger()
        accept = accepting(office, ann, await invited(office, ann, inviter, number))
        remove = removing(office, office.owner, inviter)
        accept_first = number % 2 == 0
        results = await race(office, holder, *((accept, remove) if accept_first else (remove, accept)))
        accepted, removed = results if accept_first else results[::-1]
        assert not isinstance(removed, (str, Exception)), removed
        outcomes[getattr(accepted, "role", str(accepted))] += 1
        members = await office.members()
        assert inviter.id not in members
        assert (ann.id in members) == accept_first
    assert outcomes == {"viewer": ROUNDS / 2, "inviter_not_allowed": ROUNDS / 2}


async def test_an_offer_that_is_accepted_and_cancelled_at_once_comes_to_one_of_them(
    office: Office, holder: asyncpg.Connection
) -> None:
    owner, other = office.owner, await office.member("admin")
    for number in range(20):
        await office.organizations(owner).transfer_organization(
            TransferOrganizationRequest(id=office.id, user_id=other.id)
        )
        calls = taking(office, other), cancelling(office, owner)
        results = await race(office, holder, *(calls if number % 2 == 0 else calls[::-1]))
        if number % 2 == 0:
            assert await office.members() == {owner.id: "admin", other.id: "owner"}
            owner, other = other, owner
        else:
            assert results[1] == "no_transfer"
            assert await office.members() == {owner.id: "owner", other.id: "admin"}


async def test_a_role_that_is_given_and_deleted_at_once_is_one_of_them(
    office: Office, holder: asyncpg.Connection
) -> None:
    for number in range(20):
        user = await office.member("viewer")
        role = await office.roles().create_role(CreateRoleRequest(organization_id=office.id, name="R"))
        stub, request = office.roles(), DeleteRoleRequest(organization_id=office.id, id=role.id)

        async def delete(stub: Any = stub, request: DeleteRoleRequest = request) -> Any:
            return await stub.delete_role(request)

        give = role_of(office, office.owner, user, role.id)
        _, second = await race(office, holder, *((give, delete) if number % 2 == 0 else (delete, give)))
        assert second == ("role_in_use" if number % 2 == 0 else "role_not_found")
        assert (await office.members())[user.id] == (role.id if number % 2 == 0 else "viewer")
