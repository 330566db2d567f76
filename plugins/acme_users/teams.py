"""Teams: groups of members that can be given roles on projects together.

Who manages teams decides who is in one, and so who has what the team was given on projects: the permission
`organizations.teams.manage` is an administrator's for that reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from acme import Clock, Conflict, NotFound, Pages, authorise, events, new_id, page_size
from acme.contracts.users.v1 import (
    AddTeamMemberRequest,
    CreateTeamRequest,
    DeleteTeamReply,
    DeleteTeamRequest,
    GetTeamRequest,
    ListTeamMembersReply,
    ListTeamMembersRequest,
    ListTeamsReply,
    ListTeamsRequest,
    RemoveTeamMemberReply,
    RemoveTeamMemberRequest,
    TeamChanged,
    TeamMemberChanged,
    TeamsBase,
    UpdateTeamRequest,
)
from acme.contracts.users.v1 import Team as TeamMessage
from acme.contracts.users.v1 import TeamMember as TeamMemberMessage
from acme_users import projects
from acme_users.changes import expect, named
from acme_users.standing import Parties
from acme_users.store import EARLIEST, AuthorityStore, MemberStore, Team, TeamMember, TeamStore

MOST: Final = 500
"""Teams of an organisation; one more is refused (409)."""
MUTABLE: Final = ("name", "description")
"""Fields that an update mask may name."""

_READ: Final = "organizations.teams.read"
_MANAGE: Final = "organizations.teams.manage"


class Teams(TeamsBase):
    """Keeps the contract `acme.users.v1.Teams`."""

    def __init__(
        self,
        store: TeamStore,
        members: MemberStore,
        parties: Parties,
        authority: AuthorityStore,
        clock: Clock,
        pages: Pages,
    ) -> None:
        self._store, self._members, self._parties = store, members, parties
        self._authority, self._clock, self._pages = authority, clock, pages

    async def create_team(self, message: CreateTeamRequest) -> TeamMessage:
        """Raises `Conflict` when the organisation has `MOST` already."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        if await self._store.count(message.organization_id) >= MOST:
            raise Conflict(f"The organisation has {MOST} teams: delete one first.", reason="too_many_teams")
        team = Team(
            id=new_id("tem", self._clock),
            organization_id=message.organization_id,
            name=message.name,
            description=message.description,
            created_at=party.now,
            updated_at=party.now,
            version=1,
        )
        await self._store.add(team)
        _tell(team, "created", party.now)
        return _message(team)

    async def list_teams(self, message: ListTeamsRequest) -> ListTeamsReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        organization_id = message.organization_id
        authorise(_READ, organization=organization_id)
        after = self._pages.open(message.page_token, organization_id) or ""
        size = page_size(message.page_size)
        rows = await self._store.teams(organization_id, after=after, limit=size + 1)
        token = self._pages.seal(rows[size - 1].id, organization_id) if len(rows) > size else ""
        return ListTeamsReply(teams=[_message(row) for row in rows[:size]], next_page_token=token)

    async def get_team(self, message: GetTeamRequest) -> TeamMessage:
        authorise(_READ, organization=message.organization_id)
        return _message(await self._team(message.organization_id, message.id))

    async def update_team(self, message: UpdateTeamRequest) -> TeamMessage:
        """Sets the fields that the mask names; what is as wanted already makes no new version.

        Raises:
            NotFound: the organisation has no such team.
            Invalid: the mask names a field that nobody can set.
            Stale: the team has another version than `if_match`.
        """
        party = await self._parties.enter(_MANAGE, message.organization_id)
        team = await self._team(message.organization_id, message.id)
        wanted = {path: getattr(message, path) for path in named(message.update_mask, MUTABLE)}
        expect(message.if_match, team.version, "team")
        changed = replace(team, **wanted)
        if changed != team:
            await self._store.change(team.id, name=changed.name, description=changed.description, at=party.now)
            changed = await self._team(message.organization_id, message.id)
            _tell(team, "updated", party.now)
        return _message(changed)

    async def delete_team(self, message: DeleteTeamRequest) -> DeleteTeamReply:
        """With what it was given on projects. Raises `NotFound` when the organisation has no such team."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        team = await self._team(message.organization_id, message.id)
        await self._store.delete(team.id)
        _tell(team, "deleted", party.now)
        projects.leave(team.organization_id, team.id, at=party.now)
        await self._authority.announce(organization_id=team.organization_id, at=party.now)
        return DeleteTeamReply()

    async def list_team_members(self, message: ListTeamMembersRequest) -> ListTeamMembersReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        authorise(_READ, organization=message.organization_id)
        team = await self._team(message.organization_id, message.id)
        position = self._pages.open(message.page_token, team.id)
        after = (datetime.fromisoformat(position[0]), str(position[1])) if position else EARLIEST
        size = page_size(message.page_size)
        rows = await self._store.members(team.id, after=after, at=self._clock.now(), limit=size + 1)
        last = rows[size - 1] if len(rows) > size else None
        position = None if last is None else [last.joined_at.isoformat(), last.user_id]
        return ListTeamMembersReply(
            members=[_member(row) for row in rows[:size]],
            next_page_token="" if position is None else self._pages.seal(position, team.id),
        )

    async def add_team_member(self, message: AddTeamMemberRequest) -> TeamMemberMessage:
        """Raises `NotFound` when the organisation has no such team, or no such member."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        team = await self._team(message.organization_id, message.id)
        if await self._members.standing(team.organization_id, message.user_id, at=party.now) is None:
            raise NotFound("The organisation has no such member.", reason="member_not_found")
        new = await self._store.join(team, message.user_id, at=party.now)
        member = await self._member(team, message.user_id, party.now)
        if new:
            await self._changed(member, team, "added", party.now)
        return _member(member)

    async def remove_team_member(self, message: RemoveTeamMemberRequest) -> RemoveTeamMemberReply:
        """Raises `NotFound` when the organisation has no such team, or the team no such member."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        team = await self._team(message.organization_id, message.id)
        member = await self._member(team, message.user_id, party.now)
        await self._store.leave(team.id, member.user_id)
        await self._changed(member, team, "removed", party.now)
        return RemoveTeamMemberReply()

    async def _team(self, organization_id: str, team_id: str) -> Team:
        team = await self._store.team(organization_id, team_id)
        if team is None:
            raise NotFound("The organisation has no such team.", reason="team_not_found")
        return team

    async def _member(self, team: Team, user_id: str, now: datetime) -> TeamMember:
        member = await self._store.member(team.id, user_id, at=now)
        if member is None:
            raise NotFound("The team has no such member.", reason="member_not_found")
        return member

    async def _changed(self, member: TeamMember, team: Team, change: str, now: datetime) -> None:
        events.add(
            TeamMemberChanged(
                organization_id=team.organization_id,
                team_id=team.id,
                user_id=member.user_id,
                change=change,
                changed_at=now,
            )
        )
        await self._authority.announce(grants_of=member.user_id, at=now)


def _tell(team: Team, change: str, now: datetime) -> None:
    events.add(TeamChanged(organization_id=team.organization_id, team_id=team.id, change=change, changed_at=now))


def _message(team: Team) -> TeamMessage:
    return TeamMessage(
        id=team.id,
        organization_id=team.organization_id,
        name=team.name,
        description=team.description,
        created_at=team.created_at,
        updated_at=team.updated_at,
        version=team.version,
    )


def _member(member: TeamMember) -> TeamMemberMessage:
    return TeamMemberMessage(
        team_id=member.team_id,
        user_id=member.user_id,
        display_name=member.display_name,
        joined_at=member.joined_at,
    )
