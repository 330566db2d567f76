"""An organisation with a project in it, and people with all kinds of roles: for tests of who may do what."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg

from acme.context import Kind, Membership
from acme.contracts.projects.v1 import (
    AddProjectMemberRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectMembersRequest,
    Project,
    ProjectMember,
    ProjectMembersStub,
    ProjectsStub,
)
from acme.contracts.users.v1 import AddTeamMemberRequest, CreateRoleRequest, CreateTeamRequest
from acme.drivers.mailbox import KeptMail
from acme.errors import NotFound
from acme.ids import new_id
from acme.testing import Platform, User
from tests.offices import Office, narrowed

TABLES: Final = ("projects", "project_members", "project_joins", "project_transfers", "acme.outbox")
"""Audit records are left out: a denial leaves one."""


@dataclass(frozen=True)
class Crew:
    """The people of one organisation. Its default role is "none", so that nobody reaches a project by chance."""

    platform: Platform
    office: Office
    atlas: Project
    """Owned by `maker`."""
    maker: User
    """A member of the organisation."""
    database: asyncpg.Connection
    """A look into the service's own."""

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, platform: Platform, users: asyncpg.Connection, projects: asyncpg.Connection
    ) -> AsyncIterator[Crew]:
        """With connections to both databases, which may be a whole module's."""
        async with Office.opened(platform, users) as office:
            await cls.default(office, "none")
            maker = await office.member("member")
            stub = platform.stub(ProjectsStub, as_=maker)
            atlas = await stub.create_project(CreateProjectRequest(organization_id=office.id, name="Atlas"))
            yield cls(platform, office, atlas, maker, projects)

    @staticmethod
    async def default(office: Office, role: str) -> None:
        """Gives the organisation another default role."""
        await office.database.execute("UPDATE organizations SET default_role = $1 WHERE id = $2", role, office.id)

    # ---- calling ------------------------------------------------------------------------------------------------

    def projects(self, as_: User | None = None, **options: Any) -> ProjectsStub:
        return self.platform.stub(ProjectsStub, as_=as_ or self.maker, **options)

    def members(self, as_: User | None = None, **options: Any) -> ProjectMembersStub:
        return self.platform.stub(ProjectMembersStub, as_=as_ or self.maker, **options)

    async def role(self, subject_id: str, role: str, *, by: User | None = None) -> ProjectMember:
        """Gives somebody a role on the project."""
        request = AddProjectMemberRequest(project_id=self.atlas.id, subject_id=subject_id, role=role)
        member = (await self.members(by).add_project_member(request)).member
        assert member is not None
        return member

    # ---- people -------------------------------------------------------------------------------------------------

    async def direct(self, role: str, *, within: str = "guest") -> User:
        """Somebody with a role on the project itself."""
        somebody = await self.office.member(within)
        await self.role(somebody.id, role)
        return somebody

    async def team(self, *people: User) -> str:
        """A team of these people."""
        teams = self.office.teams()
        team = await teams.create_team(CreateTeamRequest(organization_id=self.office.id, name="Crew"))
        for person in people:
            await teams.add_team_member(
                AddTeamMemberRequest(organization_id=self.office.id, id=team.id, user_id=person.id)
            )
        return team.id

    async def by_team(self, role: str) -> User:
        """Somebody whose team has a role on the project."""
        somebody = await self.office.member("guest")
        await self.role(await self.team(somebody), role)
        return somebody

    async def custom(self, *permissions: str) -> User:
        """Somebody with a custom role of these permissions."""
        made = await self.office.roles().create_role(
            CreateRoleRequest(organization_id=self.office.id, name="Custom", permissions=list(permissions))
        )
        return await self.office.member(made.id)

    async def expired(self, role: str) -> User:
        """Somebody with a role on the project, whose membership in the organisation is over."""
        until = self.platform.clock.now() + timedelta(minutes=1)
        somebody = await self.office.member("guest", expires_at=until)
        await self.role(somebody.id, role)
        self.platform.clock.advance(timedelta(minutes=2))
        return somebody

    async def account(self, role: str = "guest") -> User:
        """A service account of the organisation."""
        somebody = self.platform.somebody()
        principal = dataclasses.replace(
            somebody.principal,
            kind=Kind.SERVICE_ACCOUNT,
            id=new_id("sva", self.platform.clock),
            session=new_id("pat", self.platform.clock),
            organization=self.office.id,
            memberships={self.office.id: Membership(role, default_role=role if role in ("owner", "admin") else "")},
            authenticated_at=0.0,
        )
        await self.office.database.execute(
            "INSERT INTO service_accounts (id, organization_id, name, role, created_at) VALUES ($1, $2, 'Bot', $3, $4)",
            principal.id,
            self.office.id,
            role,
            self.platform.clock.now(),
        )
        return dataclasses.replace(somebody, principal=principal)

    def fresh(self, somebody: User) -> User:
        """The same person, who has just logged in."""
        now = self.platform.clock.time()
        return dataclasses.replace(somebody, principal=dataclasses.replace(somebody.principal, authenticated_at=now))

    def reader(self, somebody: User) -> User:
        """The same person with a token that only reads."""
        return narrowed(somebody, "projects.read", "projects.members.read")

    # ---- looking ------------------------------------------------------------------------------------------------

    async def sees(self, somebody: User) -> bool:
        try:
            await self.projects(somebody).get_project(GetProjectRequest(id=self.atlas.id))
        except NotFound:
            return False
        return True

    async def roles(self) -> dict[str, str]:
        """Role by member, in the order of joining."""
        reply = await self.members().list_project_members(ListProjectMembersRequest(project_id=self.atlas.id))
        return {member.subject_id: member.role for member in reply.members}

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Waits for something that happens after a commit."""
        async with asyncio.timeout(20):
            while not await condition():
                pass  # it asks a service, and gives way to others while it waits

    async def mails(self, email: str, number: int) -> list[KeptMail]:
        """All mails to an address, once there are so many."""
        await self.platform.mailbox.wait(email, number=number)
        return self.platform.mailbox.list(email)

    async def events(self) -> list[Any]:
        return await self.platform.outbox("projects", key=self.atlas.id)

    async def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows of the service's tables, to see that nothing has changed."""
        statements = (
            f"SELECT t::text FROM {table} AS t"  # noqa: S608 - names above
            " WHERE to_jsonb(t) ->> 'topic' IS DISTINCT FROM 'acme.audit.log' ORDER BY 1"
            for table in TABLES
        )
        return [[tuple(row) for row in await self.database.fetch(statement)] for statement in statements]
