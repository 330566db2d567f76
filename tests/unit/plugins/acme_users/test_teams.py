"""Teams over random histories: who is in one belongs to the organisation, and verifiers hear the same."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin
from hypothesis import given, settings
from hypothesis import strategies as st

from acme.contracts.authority.v1 import AuthorityStub, GrantsRequest
from acme.contracts.users.v1 import (
    AddTeamMemberRequest,
    CreateTeamRequest,
    DeleteTeamRequest,
    ListTeamMembersRequest,
    ListTeamsRequest,
    RemoveMemberRequest,
    RemoveTeamMemberRequest,
)
from acme.errors import NotFound
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, looking

PEOPLE: Final = 3
TEAMS: Final = 2

steps: Final = st.tuples(
    st.sampled_from(("add", "add", "remove", "join", "leave", "delete")),
    st.integers(0, PEOPLE - 1),
    st.integers(0, TEAMS - 1),
)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest.fixture(scope="module")
def placement() -> Literal["local"]:
    return "local"


async def act(office: Office, what: str, who: Caller, team: str, members: set[str]) -> None:
    stub = office.teams()
    if what == "add":
        await stub.add_team_member(AddTeamMemberRequest(organization_id=office.id, id=team, user_id=who.id))
    elif what == "remove":
        await stub.remove_team_member(RemoveTeamMemberRequest(organization_id=office.id, id=team, user_id=who.id))
    elif what == "delete":
        await stub.delete_team(DeleteTeamRequest(organization_id=office.id, id=team))
    elif what == "leave":
        await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=who.id))
    elif who.id not in members:
        await office.admit(who)


async def seen(platform: Platform, office: Office, people: list[Caller]) -> tuple[set[tuple[str, str]], ...]:
    """Who is in which team, by the lists and by what verifiers hear."""
    listed: set[tuple[str, str]] = set()
    for team in (await office.teams().list_teams(ListTeamsRequest(organization_id=office.id))).teams:
        request = ListTeamMembersRequest(organization_id=office.id, id=team.id)
        listed |= {(team.id, member.user_id) for member in (await office.teams().list_team_members(request)).members}
    heard: set[tuple[str, str]] = set()
    authority = platform.stub(AuthorityStub, as_service="tokens")
    for user in people:
        for grant in (await authority.grants(GrantsRequest(subject=user.id))).memberships:
            heard |= {(team, user.id) for team in grant.teams}
    return listed, heard


@settings(max_examples=30)
@given(history=st.lists(steps, min_size=3, max_size=12))
async def test_a_team_holds_those_who_were_added_and_still_belong_to_the_organisation(
    platform: Platform, history: list[tuple[str, int, int]]
) -> None:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        people = [await office.member() for _ in range(PEOPLE)]
        made = [
            await office.teams().create_team(CreateTeamRequest(organization_id=office.id, name="T"))
            for _ in range(TEAMS)
        ]
        teams, members = {team.id for team in made}, {user.id for user in people}
        expected: set[tuple[str, str]] = set()
        for what, person, number in history:
            who, team = people[person], made[number].id
            possible = {
                "add": team in teams and who.id in members,
                "remove": (team, who.id) in expected,
                "delete": team in teams,
                "leave": who.id in members,
                "join": True,
            }[what]
            if possible:
                await act(office, what, who, team, members)
            else:
                with pytest.raises(NotFound):
                    await act(office, what, who, team, members)
                continue
            if what == "add":
                expected.add((team, who.id))
            elif what == "remove":
                expected.remove((team, who.id))
            elif what == "delete":
                teams.remove(team)
                expected = {place for place in expected if place[0] != team}
            elif what == "leave":
                members.remove(who.id)
                expected = {place for place in expected if place[1] != who.id}
            else:
                members.add(who.id)
            assert await seen(platform, office, people) == (expected, expected)
