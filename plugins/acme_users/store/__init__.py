"""All SQL of the users service, one class for the tables of each concern.

Locks are taken in the order account → verification tokens → sessions → `authority`, and `authority` last of all in every
transaction: two of them never wait for each other, and the one row that everybody who revokes has to pass is held for one
statement and the commit.
"""

from acme_users.store.accounts import (
    EARLIEST,
    Account,
    AccountStore,
    Holder,
    Identity,
    Membership,
    NewAccount,
    Verification,
)
from acme_users.store.authority import AuthorityStore, Entry, Feed, KeySet, SigningKey
from acme_users.store.credentials import Credentials, CredentialStore
from acme_users.store.grants import Grant, Grants, GrantStore
from acme_users.store.mail_tokens import MailToken, MailTokenStore, Purpose
from acme_users.store.sessions import NEWEST, Session, SessionStore
from acme_users.store.throttles import Admission, ThrottleStore
from acme_users.store.tokens import AccessToken, Bearer, TokenStore

__all__ = [
    "EARLIEST",
    "NEWEST",
    "AccessToken",
    "Account",
    "AccountStore",
    "Admission",
    "AuthorityStore",
    "Bearer",
    "CredentialStore",
    "Credentials",
    "Entry",
    "Feed",
    "Grant",
    "GrantStore",
    "Grants",
    "Holder",
    "Identity",
    "KeySet",
    "MailToken",
    "MailTokenStore",
    "Membership",
    "NewAccount",
    "Purpose",
    "Session",
    "SessionStore",
    "SigningKey",
    "ThrottleStore",
    "TokenStore",
    "Verification",
]
