"""Users: who somebody is, how they prove it, and which organisations they belong to.

Contracts: `protos/acme/users/v1/users.proto`, one service a resource, and `protos/acme/authority/v1/authority.proto`, which
every process that verifies access tokens follows.

    accounts.py        Users: sign-up, proof of an address           profile.py   what people say about themselves
    recovery.py        of it: another password, by hand or by mail   emails.py    another address, and back
    choice.py          which passwords may be chosen                 blocklist.py those that everybody has
    sessions.py        Sessions: log-in, refresh, list, end          refresh.py   refresh tokens, derived and never stored
    step_up.py         of it: proving again who is there             signout.py   ending what gives access
    proof.py           the one place where passwords are compared    throttles.py how often somebody may try
    organizations.py   Organizations                                 signing.py   signing keys and access tokens
    members.py, transfers.py   what of it is about members, and about ownership; Membership
    invitations.py, acceptances.py, teams.py, roles.py   Invitations, Teams, Roles
    standing.py        who may change what in an organisation
    projects.py        what the projects service is told afterwards
    tokens.py, service_accounts.py   Tokens, ServiceAccounts         minting.py   access tokens for programs, whosesoever
    authority.py       Authority: keys, changes, grants              passwords.py argon2id on threads of its own
    commands.py        what operators call
    store/             all SQL                                       addresses.py, mail_tokens.py
    mails.py, account_mails.py, reset_mails.py                       what is mailed, and when
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from acme import Command, Delivery, Job, Plugin, Resources
from acme.contracts.authority.v1 import AuthorityBase
from acme.contracts.users.v1 import (
    InvitationsBase,
    MembershipBase,
    OrganizationsBase,
    RolesBase,
    ServiceAccountsBase,
    SessionsBase,
    TeamsBase,
    TokensBase,
    UsersBase,
)
from acme_users import commands, projects, reset_mails
from acme_users.acceptances import Acceptances
from acme_users.account_mails import AccountMails
from acme_users.accounts import Users
from acme_users.authority import Authority
from acme_users.blocklist import Blocklist, installed
from acme_users.choice import SHORTEST, Choice
from acme_users.emails import EmailChanges
from acme_users.invitations import Invitations
from acme_users.mail_tokens import MailTokens
from acme_users.mails import Mails
from acme_users.members import Members, Membership, end_expired
from acme_users.minting import Minting
from acme_users.organizations import Organizations
from acme_users.passwords import Passwords
from acme_users.proof import Proof
from acme_users.recovery import Recovery
from acme_users.refresh import RefreshTokens
from acme_users.roles import Roles
from acme_users.service_accounts import ServiceAccounts
from acme_users.sessions import Policy, Sessions
from acme_users.signing import SPAN, AccessTokens, SigningKeys
from acme_users.signout import SignOut
from acme_users.standing import Parties
from acme_users.step_up import StepUp
from acme_users.store import (
    AccountStore,
    AuthorityStore,
    CredentialStore,
    GrantStore,
    InvitationStore,
    MailTokenStore,
    MemberStore,
    OrganizationStore,
    RoleStore,
    ServiceAccountStore,
    SessionStore,
    TeamStore,
    ThrottleStore,
    TokenStore,
)
from acme_users.teams import Teams
from acme_users.throttles import KEPT, MAIL_WINDOW, WINDOW, Throttles
from acme_users.tokens import Tokens
from acme_users.transfers import Transfers

PURGE_BATCH: Final = 1000
"""Rows that one statement of the job `purge` deletes."""

REMEMBERED: Final = timedelta(days=30)
"""For so long a deleted service account is told from one that never was."""


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
    authority = AuthorityStore(resources.database)
    blocklist = await asyncio.to_thread(installed, SHORTEST)  # without it nobody can choose a password: fail now
    keys = SigningKeys(authority, clock, cipher)
    await keys.rotate()  # the first start makes the first key: without it nobody can log in
    access = AccessTokens(keys, clock, resources.tokens, timedelta(seconds=settings.access_token_seconds))
    mails = Mails(resources.public_url)
    with Passwords(cipher, threads=settings.hash_threads, queue=settings.hash_queue) as passwords:
        yield (
            *_people(resources, authority, blocklist, passwords, access, mails),
            *_organizations(resources, authority, mails),
            *_programs(resources, authority),
            Authority(authority, GrantStore(resources.database), TokenStore(resources.database), clock),
        )


def _people(
    resources: Resources[Settings],
    authority: AuthorityStore,
    blocklist: Blocklist,
    passwords: Passwords,
    access: AccessTokens,
    mails: Mails,
) -> Sequence[object]:
    """The services of accounts and sessions."""
    database, clock, cipher, settings = resources.database, resources.clock, resources.cipher, resources.settings
    accounts, credentials, sessions = AccountStore(database), CredentialStore(database), SessionStore(database)
    token_store, throttles = MailTokenStore(database), Throttles(ThrottleStore(database), cipher, clock)
    tokens, account_mails, proof = (
        MailTokens(token_store),
        AccountMails(resources.public_url),
        Proof(throttles, passwords),
    )
    choice = Choice(blocklist, [urlsplit(url).netloc for url in (resources.public_url, resources.tokens.issuer)])
    sign_out = SignOut(accounts, credentials, sessions, TokenStore(database), authority)
    recovery = Recovery(
        credentials,
        token_store,
        tokens,
        sign_out,
        choice,
        passwords,
        proof,
        throttles,
        account_mails,
        clock,
    )
    emails = EmailChanges(accounts, credentials, token_store, tokens, sign_out, throttles, account_mails, clock)
    step_up = StepUp(accounts, credentials, sessions, proof, access, clock)
    policy = Policy(timedelta(days=settings.refresh_token_days), settings.require_verified_email)
    return (
        Users(
            accounts,
            token_store,
            choice,
            passwords,
            throttles,
            sign_out,
            recovery,
            emails,
            mails,
            account_mails,
            clock,
            resources.region,
        ),
        Sessions(
            sessions,
            accounts,
            authority,
            passwords,
            proof,
            RefreshTokens(cipher),
            access,
            step_up,
            sign_out,
            policy,
            clock,
            resources.pages,
        ),
    )


def _organizations(resources: Resources[Settings], authority: AuthorityStore, mails: Mails) -> Sequence[object]:
    """The services of organisations, and of everything in them."""
    database, clock, pages = resources.database, resources.clock, resources.pages
    organizations, members, roles = OrganizationStore(database), MemberStore(database), RoleStore(database)
    invitations, parties = InvitationStore(database), Parties(organizations, members, roles, clock)
    throttles = Throttles(ThrottleStore(database), resources.cipher, clock)
    acceptances = Acceptances(invitations, organizations, members, parties, authority, clock)
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
        Invitations(invitations, members, parties, acceptances, throttles, mails, clock, pages),
        Teams(TeamStore(database), members, parties, authority, clock, pages),
        Roles(roles, parties, authority, clock, pages),
        Membership(members, GrantStore(database), clock),
    )


def _programs(resources: Resources[Settings], authority: AuthorityStore) -> Sequence[object]:
    """The services of access tokens for programs, and of programs that have an account."""
    database, clock, pages = resources.database, resources.clock, resources.pages
    parties = Parties(OrganizationStore(database), MemberStore(database), RoleStore(database), clock)
    tokens = TokenStore(database)
    minting = Minting(tokens, authority, clock, pages)
    return (
        Tokens(minting, tokens, SessionStore(database)),
        ServiceAccounts(ServiceAccountStore(database), minting, tokens, parties, authority, clock, pages),
    )


async def _rotate_keys(resources: Resources[Settings]) -> None:
    await SigningKeys(AuthorityStore(resources.database), resources.clock, resources.cipher).rotate()


async def _purge(resources: Resources[Settings]) -> None:
    """Deletes what has expired, in short statements."""
    database, now = resources.database, resources.clock.now()
    accounts, sessions, authority = AccountStore(database), SessionStore(database), AuthorityStore(database)
    throttles = ThrottleStore(database)
    await _exhaust(lambda: accounts.purge_verifications(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: MailTokenStore(database).purge(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: throttles.purge_attempts(attempted_by=now - KEPT, limit=PURGE_BATCH))
    await _exhaust(lambda: throttles.purge_failures(failed_by=now - WINDOW, limit=PURGE_BATCH))
    await _exhaust(lambda: throttles.purge_mail_quotas(sent_by=now - MAIL_WINDOW, limit=PURGE_BATCH))
    await _exhaust(lambda: sessions.purge_sessions(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: InvitationStore(database).purge(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: OrganizationStore(database).purge_offers(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: TokenStore(database).purge(expired_by=now, limit=PURGE_BATCH))
    await _exhaust(lambda: ServiceAccountStore(database).purge(deleted_by=now - REMEMBERED, limit=PURGE_BATCH))
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
        TokensBase,
        ServiceAccountsBase,
        AuthorityBase,
    ),
    service=_service,
    settings=Settings,
    deliveries=(
        Delivery(projects.JOIN, projects.joined),
        Delivery(projects.LEAVE, projects.left),
        Delivery(reset_mails.RESET, reset_mails.asked),
    ),
    commands=(Command("rotate-keys", "Makes a new key that signs access tokens.", commands.rotate_keys_command),),
    jobs=(
        Job("signing-keys", every=3600, run=_rotate_keys),
        Job("purge", every=300, run=_purge),
        Job("memberships", every=60, run=end_expired),
    ),
)
