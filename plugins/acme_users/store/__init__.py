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
from acme_users.store.authority import AuthorityStore, Feed, KeySet, Revocation, SigningKey
from acme_users.store.sessions import NEWEST, Session, SessionStore

__all__ = [
    "EARLIEST",
    "NEWEST",
    "Account",
    "AccountStore",
    "AuthorityStore",
    "Feed",
    "Holder",
    "Identity",
    "KeySet",
    "Membership",
    "NewAccount",
    "Revocation",
    "Session",
    "SessionStore",
    "SigningKey",
    "Verification",
]
