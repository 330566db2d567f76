"""All SQL of the users service, one class for the tables of each concern.

Locks are taken in the order account → verification tokens → sessions → organisation → `authority`, and `authority` last of
all in every transaction: two of them never wait for each other, and the one row that everybody who revokes has to pass is
held for one statement and the commit. Whoever changes an organisation, or anything in it, locks its row.
"""

from acme_users.store.accounts import (
    Account,
    AccountStore,
    Holder,
    Identity,
    NewAccount,
    Verification,
)
from acme_users.store.authority import AuthorityStore, Entry, Feed, KeySet, SigningKey
from acme_users.store.credentials import Credentials, CredentialStore
from acme_users.store.grants import Grant, Grants, GrantStore
from acme_users.store.invitations import NEWEST_INVITATION, Invitation, InvitationStore
from acme_users.store.mail_tokens import MailToken, MailTokenStore, Purpose
from acme_users.store.members import EARLIEST, Member, MemberStore, Standing
from acme_users.store.organizations import Joined, Offer, Organization, OrganizationStore
from acme_users.store.roles import Role, RoleStore
from acme_users.store.service_accounts import ServiceAccount, ServiceAccountStore
from acme_users.store.sessions import NEWEST, Session, SessionStore
from acme_users.store.teams import Team, TeamMember, TeamStore
from acme_users.store.throttles import Admission, Crowd, Pauses, ThrottleStore
from acme_users.store.tokens import AccessToken, Bearer, TokenStore

__all__ = [
    "EARLIEST",
    "NEWEST",
    "NEWEST_INVITATION",
    "AccessToken",
    "Account",
    "AccountStore",
    "Admission",
    "AuthorityStore",
    "Bearer",
    "CredentialStore",
    "Credentials",
    "Crowd",
    "Entry",
    "Feed",
    "Grant",
    "GrantStore",
    "Grants",
    "Holder",
    "Identity",
    "Invitation",
    "InvitationStore",
    "Joined",
    "KeySet",
    "MailToken",
    "MailTokenStore",
    "Member",
    "MemberStore",
    "NewAccount",
    "Offer",
    "Organization",
    "OrganizationStore",
    "Pauses",
    "Purpose",
    "Role",
    "RoleStore",
    "ServiceAccount",
    "ServiceAccountStore",
    "Session",
    "SessionStore",
    "SigningKey",
    "Standing",
    "Team",
    "TeamMember",
    "TeamStore",
    "ThrottleStore",
    "TokenStore",
    "Verification",
]
