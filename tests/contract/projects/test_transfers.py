"""Transfers of ownership through their contract."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.projects.v1 import (
    AcceptProjectTransferRequest,
    ArchiveProjectRequest,
    CancelProjectTransferRequest,
    GetProjectRequest,
    LeaveProjectsRequest,
    Project,
    ProjectMembersStub,
    ProjectTransfer,
    ProjectTransferred,
    TransferProjectRequest,
)
from acme.errors import Conflict, Denied, Invalid, NotFound, Refused
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.crews import Crew
from tests.offices import narrowed

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


async def offer(crew: Crew, to: User, *, by: User | None = None) -> ProjectTransfer:
    projects = crew.projects(crew.fresh(by or crew.maker))
    return await projects.transfer_project(TransferProjectRequest(id=crew.atlas.id, user_id=to.id))


async def accept(crew: Crew, somebody: User) -> Project:
    return await crew.projects(somebody).accept_project_transfer(AcceptProjectTransferRequest(id=crew.atlas.id))


async def cancel(crew: Crew, somebody: User) -> None:
    await crew.projects(somebody).cancel_project_transfer(CancelProjectTransferRequest(id=crew.atlas.id))


async def refused(crew: Crew, somebody: User) -> None:
    """There is no offer for somebody who sees the project, and trying changes nothing."""
    before = await crew.everything()
    with pytest.raises(Conflict) as caught:
        await accept(crew, somebody)
    assert caught.value.reason == "no_offer"
    assert await crew.everything() == before


async def test_an_offer_says_who_may_accept_until_when_and_changes_nothing_yet(crew: Crew) -> None:
    heir = await crew.office.member("guest")
    before = crew.platform.clock.now()
    made = await offer(crew, heir)
    assert (made.project_id, made.user_id) == (crew.atlas.id, heir.id)
    assert made.expires_at is not None
    assert timedelta(hours=24) <= made.expires_at - before < timedelta(hours=24, minutes=1)
    assert await crew.projects().get_project(GetProjectRequest(id=crew.atlas.id)) == crew.atlas


async def test_who_accepts_owns_the_project_and_the_owner_of_before_is_an_admin(crew: Crew) -> None:
    heir = await crew.office.member("guest")
    await offer(crew, heir)
    project = await accept(crew, heir)
    assert (project.id, project.owner_id, project.version) == (crew.atlas.id, heir.id, 2)
    assert await crew.roles() == {crew.maker.id: "admin", heir.id: "owner"}
    assert (await crew.events())[1:] == [
        ProjectTransferred(project_id=crew.atlas.id, project=project, from_user_id=crew.maker.id)
    ]
    await refused(crew, heir)


async def test_a_member_who_accepts_has_one_role_after_it(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await offer(crew, viewer)
    await accept(crew, viewer)
    assert await crew.roles() == {crew.maker.id: "admin", viewer.id: "owner"}


async def test_an_offer_expires_after_a_day(crew: Crew) -> None:
    viewer, guest = await crew.direct("viewer"), await crew.office.member("guest")
    await offer(crew, viewer)
    crew.platform.clock.advance(timedelta(hours=24))
    await refused(crew, viewer)
    await offer(crew, guest)
    crew.platform.clock.advance(timedelta(hours=24))
    with pytest.raises(NotFound):
        await accept(crew, guest)


async def test_a_second_offer_takes_the_place_of_the_first(crew: Crew) -> None:
    first, second = await crew.direct("viewer"), await crew.direct("viewer")
    await offer(crew, first)
    await offer(crew, second)
    await refused(crew, first)
    assert (await accept(crew, second)).owner_id == second.id


async def test_only_the_one_it_was_offered_to_accepts(crew: Crew) -> None:
    heir, admin = await crew.office.member("guest"), await crew.direct("admin")
    await offer(crew, heir)
    for other in (admin, crew.maker, crew.office.owner):
        await refused(crew, other)
    with pytest.raises(NotFound):
        await accept(crew, await crew.office.stranger())


async def test_only_owners_offer_to_those_who_belong_to_the_organisation(crew: Crew) -> None:
    heir, admin = await crew.office.member("guest"), await crew.direct("admin")
    before = await crew.everything()
    for other in (admin, await crew.office.member("admin")):
        with pytest.raises(Denied):
            await offer(crew, heir, by=other)
    for stranger in (await crew.office.stranger(), await crew.expired("viewer")):
        with pytest.raises(Invalid) as caught:
            await offer(crew, stranger)
        assert [fault.pointer for fault in caught.value.faults] == ["/user_id"]
    with pytest.raises(Conflict) as owned:
        await offer(crew, crew.maker)
    assert owned.value.reason == "already_owner"
    after = await crew.everything()
    assert after[0] == before[0]
    assert after[3] == before[3]


async def test_a_log_in_of_long_ago_offers_nothing(crew: Crew) -> None:
    heir = await crew.office.member("guest")
    crew.platform.clock.advance(timedelta(minutes=11))
    with pytest.raises(Refused) as caught:
        await crew.projects().transfer_project(TransferProjectRequest(id=crew.atlas.id, user_id=heir.id))
    assert caught.value.reason == "step_up_required"


async def test_owners_of_the_organisation_offer_for_others_as_long_as_they_are_owners(crew: Crew) -> None:
    heir = await crew.direct("viewer")
    await offer(crew, heir, by=crew.office.owner)
    await crew.office.database.execute("UPDATE memberships SET role = 'admin' WHERE user_id = $1", crew.office.owner.id)
    await refused(crew, heir)
    await crew.office.database.execute(
        "UPDATE memberships SET role = 'owner' WHERE user_id = $1 AND organization_id = $2",
        crew.office.owner.id,
        crew.office.id,
    )
    assert (await accept(crew, heir)).owner_id == heir.id


async def test_who_may_transfer_and_not_all_that_an_owner_may_makes_no_owner(crew: Crew) -> None:
    friend = await crew.custom("projects.read", "projects.transfer", "projects.accept_transfer")
    before = await crew.everything()
    for to in (friend, await crew.office.member("guest")):
        with pytest.raises(Denied) as caught:
            await offer(crew, to, by=friend)
        assert caught.value.reason == "permission_denied"
    assert await crew.everything() == before


async def test_an_offer_of_somebody_who_owns_the_project_no_longer_is_void(crew: Crew) -> None:
    first, second = await crew.direct("viewer"), await crew.direct("viewer")
    await offer(crew, first)
    stub = crew.platform.stub(ProjectMembersStub, as_service="users")
    leaving = LeaveProjectsRequest(
        organization_id=crew.office.id,
        subject_id=crew.maker.id,
        heir_id=second.id,
        left_at=crew.platform.clock.now(),
    )
    await stub.leave_projects(leaving)
    await refused(crew, first)


async def test_whoever_is_offered_it_and_leaves_has_no_offer_when_back(crew: Crew) -> None:
    heir = await crew.direct("viewer")
    await offer(crew, heir)
    stub = crew.platform.stub(ProjectMembersStub, as_service="users")
    leaving = LeaveProjectsRequest(
        organization_id=crew.office.id, subject_id=heir.id, left_at=crew.platform.clock.now()
    )
    await stub.leave_projects(leaving)
    await crew.role(heir.id, "viewer")
    await refused(crew, heir)


async def test_an_offer_is_taken_back_or_declined_and_that_twice_is_once(crew: Crew) -> None:
    heir = await crew.direct("viewer")
    for somebody in (crew.maker, heir, crew.office.owner):
        await offer(crew, heir)
        await cancel(crew, somebody)
        await cancel(crew, somebody)
        await refused(crew, heir)


async def test_an_offer_between_others_is_none_of_ones_business(crew: Crew) -> None:
    heir, admin = await crew.office.member("guest"), await crew.direct("admin")
    await offer(crew, heir)
    with pytest.raises(Denied):
        await cancel(crew, admin)
    with pytest.raises(NotFound):
        await cancel(crew, await crew.office.stranger())
    assert (await accept(crew, heir)).owner_id == heir.id


async def test_an_archived_project_is_not_handed_over(crew: Crew) -> None:
    heir = await crew.direct("viewer")
    await offer(crew, heir)
    await crew.projects().archive_project(ArchiveProjectRequest(id=crew.atlas.id))
    for attempt in (offer(crew, heir), accept(crew, heir), cancel(crew, heir)):
        with pytest.raises(Conflict) as caught:
            await attempt
        assert caught.value.reason == "project_archived"


async def test_a_token_that_does_not_cover_it_accepts_nothing(crew: Crew) -> None:
    heir = await crew.direct("viewer")
    await offer(crew, heir)
    with pytest.raises(Denied):
        await accept(crew, narrowed(heir, "projects.read"))
