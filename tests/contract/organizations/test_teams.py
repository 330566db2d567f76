"""Teams through their contract."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from acme.contracts.authority.v1 import AuthorityStub, GrantsRequest
from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    AddTeamMemberRequest,
    CreateTeamRequest,
    DeleteTeamRequest,
    GetTeamRequest,
    ListTeamMembersRequest,
    ListTeamsRequest,
    RemoveMemberRequest,
    RemoveTeamMemberRequest,
    Team,
    TeamChanged,
    TeamMember,
    TeamMemberChanged,
    UpdateTeamRequest,
)
from acme.errors import Conflict, Denied, Invalid, NotFound, Stale
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office

pytestmark = pytest.mark.every_placement


@pytest.fixture
async def crew(office: Office) -> Team:
    return await office.teams().create_team(
        CreateTeamRequest(organization_id=office.id, name="Crew", description="On deck")
    )


def update(team: Team, *mask: str, if_match: int | None = None, **values: str) -> UpdateTeamRequest:
    return UpdateTeamRequest(
        organization_id=team.organization_id,
        id=team.id,
        if_match=if_match,
        update_mask=FieldMask(paths=list(mask)),
        **values,
    )


def addition(team: Team, user: Caller) -> AddTeamMemberRequest:
    return AddTeamMemberRequest(organization_id=team.organization_id, id=team.id, user_id=user.id)


def removal(team: Team, user: Caller) -> RemoveTeamMemberRequest:
    return RemoveTeamMemberRequest(organization_id=team.organization_id, id=team.id, user_id=user.id)


def get(team: Team) -> GetTeamRequest:
    return GetTeamRequest(organization_id=team.organization_id, id=team.id)


async def crew_of(office: Office, team: Team, caller: Caller | None = None) -> list[TeamMember]:
    """Every member of a team, page by page of two."""
    found: list[TeamMember] = []
    token = ""
    while True:
        request = ListTeamMembersRequest(
            organization_id=team.organization_id, id=team.id, page_size=2, page_token=token
        )
        reply = await office.teams(caller).list_team_members(request)
        found += reply.members
        token = reply.next_page_token
        if not token:
            return found


async def teams_of(platform: Platform, office: Office, user: Caller) -> list[str]:
    """The teams that verifiers hear of."""
    reply = await platform.stub(AuthorityStub, as_service="tokens").grants(GrantsRequest(subject=user.id))
    return [team for entry in reply.memberships if entry.organization_id == office.id for team in entry.teams]


async def test_a_team_is_made_and_read(office: Office, crew: Team, admin: Caller) -> None:
    assert (crew.organization_id, crew.name, crew.description, crew.version) == (office.id, "Crew", "On deck", 1)
    viewer = await office.member("viewer")
    assert await office.teams(viewer).get_team(get(crew)) == crew
    assert await office.events() == [
        TeamChanged(organization_id=office.id, team_id=crew.id, change="created", changed_at=crew.created_at)
    ]
    assert (await office.teams(admin).create_team(CreateTeamRequest(organization_id=office.id, name="B"))).name == "B"


async def test_teams_come_oldest_first_on_pages(office: Office) -> None:
    stub = office.teams()
    made = [
        await stub.create_team(CreateTeamRequest(organization_id=office.id, name=f"No. {number}"))
        for number in range(5)
    ]
    found, token = [], ""
    for _ in range(3):
        reply = await stub.list_teams(ListTeamsRequest(organization_id=office.id, page_size=2, page_token=token))
        found += reply.teams
        token = reply.next_page_token
    assert found == made
    assert token == ""


async def test_an_update_sets_what_the_mask_names(platform: Platform, office: Office, crew: Team) -> None:
    platform.clock.advance(timedelta(seconds=1))
    changed = await office.teams().update_team(update(crew, "name", name="Band", description="Ignored"))
    assert (changed.name, changed.description, changed.version) == ("Band", "On deck", 2)
    assert await office.teams().get_team(get(crew)) == changed
    assert (await office.events())[-1] == TeamChanged(
        organization_id=office.id, team_id=crew.id, change="updated", changed_at=changed.updated_at
    )
    assert await office.teams().update_team(update(crew, "name", name="Band")) == changed


async def test_an_update_for_another_version_or_field_changes_nothing(office: Office, crew: Team) -> None:
    before = await office.everything()
    with pytest.raises(Stale):
        await office.teams().update_team(update(crew, "name", name="B", if_match=2))
    with pytest.raises(Invalid):
        await office.teams().update_team(update(crew, "organization_id"))
    assert await office.everything() == before


async def test_whoever_is_added_is_in_the_team_once_and_verifiers_hear_of_it(
    platform: Platform, office: Office, crew: Team, admin: Caller, member: Caller
) -> None:
    stub = office.teams(admin)
    added = await stub.add_team_member(addition(crew, member))
    assert (added.team_id, added.user_id, added.display_name) == (crew.id, member.id, "Ann")
    platform.clock.advance(timedelta(seconds=1))
    assert await stub.add_team_member(addition(crew, member)) == added
    assert await crew_of(office, crew, member) == [added]
    assert (await office.events())[1:] == [
        TeamMemberChanged(
            organization_id=office.id, team_id=crew.id, user_id=member.id, change="added", changed_at=added.joined_at
        )
    ]
    assert (await office.announced())[-1] == member.id
    assert await teams_of(platform, office, member) == [crew.id]


async def test_members_of_a_team_come_in_the_order_of_joining(office: Office, crew: Team) -> None:
    people = [await office.member() for _ in range(5)]
    for user in reversed(people):
        await office.teams().add_team_member(addition(crew, user))
    assert [entry.user_id for entry in await crew_of(office, crew)] == [user.id for user in reversed(people)]


async def test_whoever_is_taken_out_is_out(platform: Platform, office: Office, crew: Team, member: Caller) -> None:
    await office.teams().add_team_member(addition(crew, member))
    await office.teams().remove_team_member(removal(crew, member))
    assert await crew_of(office, crew) == []
    assert await teams_of(platform, office, member) == []
    assert [event.change for event in (await office.events())[1:]] == ["added", "removed"]
    assert (await office.announced())[-2:] == [member.id, member.id]
    with pytest.raises(NotFound):
        await office.teams().remove_team_member(removal(crew, member))


async def test_who_leaves_the_organisation_leaves_its_teams(
    platform: Platform, office: Office, crew: Team, member: Caller
) -> None:
    late = await office.member(expires_at=platform.clock.now() + timedelta(minutes=1))
    for user in (member, late):
        await office.teams().add_team_member(addition(crew, user))
    await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=member.id))
    assert [entry.user_id for entry in await crew_of(office, crew)] == [late.id]
    platform.clock.advance(timedelta(minutes=1))
    assert await crew_of(office, crew) == []
    with pytest.raises(NotFound):
        await office.teams().add_team_member(addition(crew, late))


async def test_a_deleted_team_is_gone_and_verifiers_hear_of_it(
    platform: Platform, office: Office, crew: Team, admin: Caller, member: Caller
) -> None:
    await office.teams().add_team_member(addition(crew, member))
    request = DeleteTeamRequest(organization_id=office.id, id=crew.id)
    await office.teams(admin).delete_team(request)
    assert (await office.events())[-1].change == "deleted"
    assert (await office.announced())[-1] == office.id
    assert await teams_of(platform, office, member) == []
    for call in (office.teams().get_team(get(crew)), office.teams().delete_team(request)):
        with pytest.raises(NotFound):
            await call


@pytest.mark.parametrize("role", ["member", "viewer", "guest"])
async def test_below_admin_nobody_manages_teams_and_guests_see_none(office: Office, crew: Team, role: str) -> None:
    caller = await office.member(role)
    stub = office.teams(caller)
    before = await office.everything()
    calls: list[Awaitable[Any]] = [
        stub.create_team(CreateTeamRequest(organization_id=office.id, name="Mine")),
        stub.update_team(update(crew, "name", name="Mine")),
        stub.delete_team(DeleteTeamRequest(organization_id=office.id, id=crew.id)),
        stub.add_team_member(addition(crew, caller)),
        stub.remove_team_member(removal(crew, caller)),
    ]
    if role == "guest":
        calls += [
            stub.get_team(get(crew)),
            stub.list_teams(ListTeamsRequest(organization_id=office.id)),
            crew_of(office, crew, caller),
        ]
    for call in calls:
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "permission_denied"
    assert await office.everything() == before


async def test_teams_and_people_of_other_organisations_do_not_exist_here(office: Office, crew: Team) -> None:
    other = await office.another()
    theirs = await other.teams().create_team(CreateTeamRequest(organization_id=other.id, name="Theirs"))
    stranger = await other.member()
    there = await other.teams().get_team(get(theirs))
    here = Team(id=theirs.id, organization_id=office.id)  # their team's id under our organisation
    before = await office.everything()
    stub = office.teams()
    calls: list[Awaitable[Any]] = [stub.add_team_member(addition(crew, stranger))]
    for team in (there, here):
        calls += [
            stub.get_team(get(team)),
            stub.update_team(update(team, "name", name="Mine")),
            stub.delete_team(DeleteTeamRequest(organization_id=team.organization_id, id=team.id)),
            stub.add_team_member(addition(team, office.owner)),
            stub.remove_team_member(removal(team, stranger)),
            crew_of(office, team),
        ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await office.everything() == before


async def test_an_organisation_has_five_hundred_teams_at_most(office: Office, crew: Team) -> None:
    await office.database.execute(
        """
        INSERT INTO teams (id, organization_id, name, description, created_at, updated_at)
        SELECT id || n, organization_id, name, description, created_at, updated_at
        FROM teams, generate_series(1, 499) AS n WHERE id = $1
        """,
        crew.id,
    )
    with pytest.raises(Conflict) as caught:
        await office.teams().create_team(CreateTeamRequest(organization_id=office.id, name="One too many"))
    assert caught.value.reason == "too_many_teams"
