"""Users: who somebody is, how they prove it, and which organisations they belong to.

Contracts: `protos/acme/users/v1/users.proto`, one service a resource, and `protos/acme/authority/v1/authority.proto`, which
every process that verifies access tokens follows.

    accounts.py        Users: sign-up, proof of an address, one's own profile
    sessions.py        Sessions: log-in, refresh, list, end          refresh.py   refresh tokens, derived and never stored
    organizations.py   Organizations                                 signing.py   signing keys and access tokens
    members.py, transfers.py   what of it is about members, and about ownership; Membership
    invitations.py, teams.py, roles.py   Invitations, Teams, Roles   standing.py  who may change what in an organisation
    projects.py        what the projects service is told afterwards
    authority.py       Authority: keys and revocations               passwords.py argon2id on threads of its own
    store/             all SQL                                       addresses.py, mails.py
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final

import msgspec

from acme import Delivery, Job, Plugin, Resources
from acme.contracts.authority.v1 import AuthorityBase
from acme.contracts.users.v1 import (
    InvitationsBase,
    MembershipBase,
    OrganizationsBase,
    RolesBase,
    SessionsBase,
    TeamsBase,
    UsersBase,
)
from acme_users import projects
from acme_users.accounts import Users
from acme_users.authority import Authority
from acme_users.invitations import Invitations
from acme_users.mails import Mails
from acme_users.members import Members, Membership, end_expired
from acme_users.organizations import Organizations
from acme_users.passwords import Passwords
from acme_users.refresh import RefreshTokens
from acme_users.roles import Roles
from acme_users.sessions import Policy, Sessions
from acme_users.signing import SPAN, AccessTokens, SigningKeys
from acme_users.standing import Parties
from acme_users.store import (
    AccountStore,
    AuthorityStore,
    GrantStore,
    InvitationStore,
    MemberStore,
    OrganizationStore,
    RoleStore,
    SessionStore,
    TeamStore,
)
from acme_users.teams import Teams
from acme_users.transfers import Transfers

PURGE_BATCH: Final = 1000
"""Rows that one statement of the job `purge` deletes."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugins.users]`."""

    require_verified_email: bool = False
    """True: nobody logs in before the e-mail address is proved."""
    access_token_seconds: Annotated[int, msgspec.Meta(ge=60, le=900)] = 600
    """Life of an access token; at most `tokens.longest_life`."""
    refresh_token_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 30
    """Life of a session, from log-in; refreshing does not extend it."""
    hash_threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Passwords hashed at a time; each takes one core and 19 MiB for about 30 ms, at the lowest priority."""
    hash_queue: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 32
    """Passwords that may wait for a thread; one more is answered 503."""


@asynccontextmanager
async def _service(resources: Resources[Settings]) -> AsyncIterator[Sequence[object]]:
    settings, clock, cipher = resources.settings, resources.clock, resources.cipher
    accounts, sessions = AccountStore(resources.database), SessionStore(resources.database)
    authority = AuthorityStore(resources.database)
    keys = SigningKeys(authority, clock, cipher)
    await keys.rotate()  # the first start makes the first key: without it nobody can log in
    access = AccessTokens(keys, clock, resources.tokens, timedelta(seconds=settings.access_token_seconds))
    policy = Policy(timedelta(days=settings.refresh_token_days), settings.require_verified_email)
    mails = Mails(resources.public_url)
    with Passwords(cipher, threads=settings.hash_threads, queue=settings.hash_queue) as passwords:
        yield (
            Users(accounts, sessions, authority, passwords, mails, clock, resources.region),
            Sessions(
                sessions, accounts, authority, passwords, RefreshTokens(cipher), access, policy, clock, resources.pages
            ),
            *_organizations(resources, authority, mails),
            Authority(authority, GrantStore(resources.database), clock),
        )


def _organizations(resources: Resources[Settings], authority: AuthorityStore, mails: Mails) -> Sequence[object]:
    """The services of organisations, and of everything in them."""
    database, clock, pages = resources.database, resources.clock, resources.pages
    organizations, members, roles = OrganizationStore(database), MemberStore(database), RoleStore(database)
    parties = Parties(organizations, members, roles, clock)
    return (
        Organizations(
            organizations,
            parties,
            Members(members, parties, authority, clock, pages),
            Transfers(organizations, members, parties, authority, mails),
            authority,
            clock,
            pages,
            resources.region,
        ),
        Invitations(InvitationStore(database), organizations, members, parties, authority, mails, clock, pages),
        Teams(TeamStore(database), members, parties, authority, clock, pages),
        Roles(roles, parties, authority, clock, pages),
        Membership(members, clock),
    )


async def _rotate_keys(resources: Resources[Settings]) -> None:
    await SigningKeys(AuthorityStore(resources.database), resources.clock, resources.cipher).rotate()


async def _purge(resources: Resources[Settings]) -> None:
    """Deletes what has expired, in short statements."""
    database, now = resources.database, resources.clock.now()
    accounts, sessions, authority = AccountStore(database), SessionStore(database), AuthorityStore(database)
    await _exhaust(lambda: accounts.purge_verifications(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: sessions.purge_sessions(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: InvitationStore(database).purge(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: OrganizationStore(database).purge_offers(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: authority.purge_changes(announced_by=now - SPAN, limit=PURGE_BATCH))


async def _exhaust(delete: Callable[[], Awaitable[int]]) -> None:
    while await delete() == PURGE_BATCH:
        pass


plugin: Final = Plugin(
    name="users",
    version="0.1.0",
    package=__name__,
    contracts=(
        UsersBase,
        SessionsBase,
        OrganizationsBase,
        InvitationsBase,
        TeamsBase,
        RolesBase,
        MembershipBase,
        AuthorityBase,
    ),
    service=_service,
    settings=Settings,
    deliveries=(Delivery(projects.JOIN, projects.joined), Delivery(projects.LEAVE, projects.left)),
    jobs=(
        Job("signing-keys", every=3600, run=_rotate_keys),
        Job("purge", every=300, run=_purge),
        Job("memberships", every=60, run=end_expired),
    ),
)
