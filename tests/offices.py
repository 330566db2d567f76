"""Organisations for tests of the users services: people with accounts made by hand, which takes no password and no mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
from acme_users.addresses import Address
from acme_users.store import (
    AccountStore,
    Invitation,
    MemberStore,
    NewAccount,
    Organization,
    OrganizationStore,
    Role,
    RoleStore,
)

from acme import Statements
from acme.context import Membership
from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    CreateInvitationRequest,
    InvitationsStub,
    ListMembersRequest,
    OrganizationsStub,
    RolesStub,
    TeamsStub,
)
from acme.contracts.users.v1 import Invitation as InvitationMessage
from acme.drivers.clock import SystemClock
from acme.ids import new_id
from acme.testing import Platform
from acme.testing import User as Caller
from tests.people import new_email

CLOCK: Final = SystemClock()
EVERYTHING: Final = (
    "organizations",
    "memberships",
    "roles",
    "teams",
    "team_members",
    "invitations",
    "organization_transfers",
)
"""Tables that a refused call leaves as they were."""


@asynccontextmanager
async def looking(platform: Platform, plugin: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a plugin's database. To open one takes 10 ms of a core, a hundred statements."""
    database = await asyncpg.connect(platform.database(plugin))
    try:
        yield database
    finally:
        await database.close()


@dataclass(frozen=True)
class Office:
    """An organisation with nobody but its owner, and ways to fill it."""

    platform: Platform
    database: asyncpg.Connection
    id: str
    owner: Caller

    @classmethod
    @asynccontextmanager
    async def opened(cls, platform: Platform, database: asyncpg.Connection) -> AsyncIterator[Office]:
        """With a connection to the users' database (`looking`), which may be a whole module's."""
        owner = await person(platform, database)
        office = cls(platform, database, new_id("org", platform.clock), owner)
        await office._create()
        yield office

    async def another(self) -> Office:
        """Another organisation, of somebody else."""
        owner = await person(self.platform, self.database)
        office = replace(self, id=new_id("org", self.platform.clock), owner=owner)
        await office._create()
        return office

    async def _create(self) -> None:
        now = self.platform.clock.now()
        made = Organization(self.id, "Acme", False, "local", now, 1, "viewer", now)
        await OrganizationStore(self.database).create(made, owner_id=self.owner.id)

    async def stranger(self, *, verified: bool = True) -> Caller:
        """Somebody who has an account, and nothing to do with the organisation."""
        return await person(self.platform, self.database, verified=verified)

    async def member(self, role: str = "member", *, expires_at: datetime | None = None) -> Caller:
        """Somebody who belongs to it."""
        joining = await self.stranger()
        await self.admit(joining, role, expires_at=expires_at)
        return joining

    async def admit(self, joining: Caller, role: str = "member", *, expires_at: datetime | None = None) -> None:
        """Makes somebody a member."""
        at = self.platform.clock.now()
        await MemberStore(self.database).add(self.id, joining.id, role, expires_at=expires_at, at=at)

    # ---- calling ------------------------------------------------------------------------------------------------

    def organizations(self, caller: Caller | None = None) -> OrganizationsStub:
        return self.platform.stub(OrganizationsStub, as_=caller or self.owner)

    def invitations(self, caller: Caller | None = None) -> InvitationsStub:
        return self.platform.stub(InvitationsStub, as_=caller or self.owner)

    def teams(self, caller: Caller | None = None) -> TeamsStub:
        return self.platform.stub(TeamsStub, as_=caller or self.owner)

    def roles(self, caller: Caller | None = None) -> RolesStub:
        return self.platform.stub(RolesStub, as_=caller or self.owner)

    async def invite(
        self, email: str, role: str = "member", *, by: Caller | None = None, until: datetime | None = None
    ) -> InvitationMessage:
        return await self.invitations(by).create_invitation(
            CreateInvitationRequest(organization_id=self.id, email=email, role=role, membership_expires_at=until)
        )

    async def token(self, email: str, *, number: int = 1) -> str:
        """The token in the newest mail to an address, once there are `number` mails."""
        mail = await self.platform.mailbox.wait(email, number=number)
        return parse_qs(urlsplit(mail.links[0]).query)["token"][0]

    # ---- looking ------------------------------------------------------------------------------------------------

    async def members(self) -> dict[str, str]:
        """Role by user, in the order of joining, as the owner of everything sees it: by the database."""
        reply = await MemberStore(self.database).members(
            self.id,
            after=(datetime.fromisoformat("1970-01-01T00:00:00Z"), ""),
            at=self.platform.clock.now(),
            limit=1000,
        )
        return {member.user_id: member.role for member in reply}

    async def events(self) -> list[Any]:
        """What the organisation has published, oldest first."""
        return await self.platform.outbox("users", key=self.id)

    async def announced(self) -> list[str]:
        """Whom verifiers were told about, oldest first: users, and organisations as a whole."""
        reply = await self.platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest(since=0))
        return [change.grants_of or change.organization_id or "" for change in reply.changes]

    async def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows of the tables, to see that nothing has changed."""
        statements = (f"SELECT t::text FROM {table} AS t ORDER BY 1" for table in EVERYTHING)  # noqa: S608 - names above
        return [[tuple(row) for row in await self.database.fetch(statement)] for statement in statements]


async def person(platform: Platform, database: asyncpg.Connection, *, verified: bool = True) -> Caller:
    """Somebody with an account, who calls with the memberships of the moment."""
    caller = platform.somebody()
    email = new_email()
    now = platform.clock.now()
    account = NewAccount(caller.id, Address.parse(email), b"no hash", "Ann", caller.organization, "local")
    await AccountStore(database).create_account(account, verified_at=now if verified else None, at=now)
    return replace(caller, email=email, access_token="made by hand")


def remembered(caller: Caller, **memberships: str) -> Caller:
    """The same person, as a verifier sees it that has not heard of any change yet."""
    known = {name: Membership(role, default_role=role) for name, role in memberships.items()}
    return replace(caller, access_token="", principal=replace(caller.principal, memberships=known))


def narrowed(caller: Caller, *scopes: str) -> Caller:
    """The same person with a token that covers no more than this."""
    return replace(caller, principal=replace(caller.principal, scopes=frozenset(scopes)))


async def invited(
    office: Office, whom: Caller, role: str, *, by: Caller | None = None, until: datetime | None = None
) -> AcceptInvitationReply:
    """Invites somebody, who accepts."""
    before = len(office.platform.mailbox.list(whom.email))
    await office.invite(whom.email, role, by=by, until=until)
    token = await office.token(whom.email, number=before + 1)
    return await office.invitations(whom).accept_invitation(AcceptInvitationRequest(token=token))


async def listed(office: Office, caller: Caller) -> list[Any]:
    """Every member, page by page of two, as somebody sees them."""
    found: list[Any] = []
    token = ""
    while True:
        request = ListMembersRequest(organization_id=office.id, page_size=2, page_token=token)
        reply = await office.organizations(caller).list_members(request)
        found += reply.members
        token = reply.next_page_token
        if not token:
            return found


# ---- rows, for tests of stores ---------------------------------------------------------------------------------------


async def account(database: Statements, at: datetime, *, verified: bool = True) -> NewAccount:
    """A user with a personal organisation."""
    ids = new_id("usr", CLOCK), new_id("org", CLOCK)
    made = NewAccount(ids[0], Address.parse(new_email()), b"no hash", "Ann", ids[1], "local")
    await AccountStore(database).create_account(made, verified_at=at if verified else None, at=at)
    return made


async def founded(database: Statements, owner_id: str, at: datetime) -> Organization:
    """An organisation."""
    made = Organization(new_id("org", CLOCK), "Acme", False, "local", at, 1, "viewer", at)
    await OrganizationStore(database).create(made, owner_id=owner_id)
    return made


async def role(database: Statements, organization_id: str, at: datetime, *permissions: str) -> Role:
    """A custom role."""
    made = Role(new_id("rol", CLOCK), organization_id, "Role", permissions, at, at, 1)
    await RoleStore(database).add(made)
    return made


def invitation(organization_id: str, email: str, at: datetime, **values: Any) -> Invitation:
    """An invitation by nobody, that is good for a day."""
    made = Invitation(
        id=new_id("inv", CLOCK),
        organization_id=organization_id,
        email=email,
        email_key=email,
        role="viewer",
        project_id="",
        project_name="",
        project_role="",
        inviter_id="usr_nobody",
        created_at=at,
        expires_at=at + timedelta(days=1),
        membership_expires_at=None,
    )
    return replace(made, **values)
