"""Accounts, what proves their addresses, and the organisations they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from acme import Statements
from acme_users.addresses import Address


@dataclass(frozen=True, slots=True)
class Account:
    """A row of `users`, as its holder may see it."""

    id: str
    email: str
    email_verified: bool
    display_name: str
    organization_id: str
    region: str
    created_at: datetime
    updated_at: datetime
    version: int
    avatar_url: str
    locale: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The account that an address leads to."""

    id: str
    email: str
    verified: bool
    password_hash: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """Somebody who signs up, with a personal organisation of its own."""

    id: str
    address: Address
    password_hash: bytes = field(repr=False)
    display_name: str
    organization_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Verification:
    """A token that proves an address, by its digest. `pending` is the password hash and display name of a sign-up."""

    digest: bytes
    address: Address
    user_id: str | None
    pending: tuple[bytes, str] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """What an access token says about its subject."""

    epoch: int
    organization_id: str
    region: str


class AccountStore:
    """The tables `users`, `organizations`, `memberships` and `email_verifications`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def create_account(self, account: NewAccount, *, verified_at: datetime | None, at: datetime) -> bool:
        """Creates account, personal organisation and membership; nothing, and false, when the address has a holder.

        Waits for a transaction that is about to give the address to somebody.
        """
        created = await self._database.fetchval(
            """
            WITH account AS (
                INSERT INTO users (id, email, email_key, password_hash, display_name, organization_id, region,
                                   email_verified_at, created_at, updated_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
                ON CONFLICT (email_key) DO NOTHING
                RETURNING id, display_name, organization_id, region, created_at
            ), organization AS (
                INSERT INTO organizations (id, name, personal, region, created_at)
                SELECT organization_id, display_name, true, region, created_at FROM account
            )
            INSERT INTO memberships (user_id, organization_id, role, joined_at)
            SELECT id, organization_id, 'owner', created_at FROM account
            RETURNING user_id
            """,
            account.id,
            account.address.text,
            account.address.key,
            account.password_hash,
            account.display_name,
            account.organization_id,
            account.region,
            verified_at,
            at,
        )
        return created is not None

    async def account(self, user_id: str) -> Account | None:
        row = await self._database.fetchrow(
            """
            SELECT id, coalesce(email, ''), email_verified_at IS NOT NULL, display_name, organization_id, region,
                   created_at, updated_at, version, avatar_url, locale, time_zone
            FROM users WHERE id = $1
            """,
            user_id,
        )
        return None if row is None else Account(*row)

    async def update(self, user_id: str, values: Mapping[str, str], *, version: int | None, at: datetime) -> bool:
        """Sets fields of the profile, by name. False when the account has another version; `None` is any."""
        status = await self._database.execute(
            """
            UPDATE users
            SET display_name = coalesce($2, display_name), avatar_url = coalesce($3, avatar_url),
                locale = coalesce($4, locale), time_zone = coalesce($5, time_zone),
                updated_at = $7, version = version + 1
            WHERE id = $1 AND version = coalesce($6, version)
            """,
            user_id,
            *(values.get(name) for name in ("display_name", "avatar_url", "locale", "time_zone")),
            version,
            at,
        )
        return status == "UPDATE 1"

    async def holder(self, email_key: str) -> Holder | None:
        row = await self._database.fetchrow(_HOLDER, email_key)
        return None if row is None else Holder(*row)

    async def lock_holder(self, email_key: str) -> Holder | None:
        """As `holder`, and nobody else verifies, strips or signs in to the account before this transaction ends."""
        row = await self._database.fetchrow(_HOLDER + " FOR NO KEY UPDATE", email_key)
        return None if row is None else Holder(*row)

    async def mark_verified(self, user_id: str, *, at: datetime) -> None:
        await self._database.execute(
            "UPDATE users SET email_verified_at = $2, updated_at = $2, version = version + 1 WHERE id = $1", user_id, at
        )

    async def strip(self, user_id: str, *, at: datetime) -> int:
        """Takes address and password from an account, and returns its next epoch."""
        epoch: int = await self._database.fetchval(
            """
            UPDATE users
            SET email = NULL, email_key = NULL, password_hash = NULL, email_verified_at = NULL,
                epoch = epoch + 1, updated_at = $2, version = version + 1
            WHERE id = $1
            RETURNING epoch
            """,
            user_id,
            at,
        )
        return epoch

    async def hold_password(self, user_id: str, password_hash: bytes) -> bool:
        """Whether the account still has this very hash, which it keeps until the transaction ends."""
        found = await self._database.fetchval(
            "SELECT true FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE", user_id, password_hash
        )
        return found is not None

    async def replace_hash(self, user_id: str, old: bytes, new: bytes) -> None:
        """Puts another hash of the same password in the place of `old`, unless that has changed."""
        await self._database.execute(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2", user_id, old, new
        )

    async def identity(self, user_id: str) -> Identity:
        """Of an account that exists: a session's foreign key keeps its holder."""
        row = await self._database.fetchrow("SELECT epoch, organization_id, region FROM users WHERE id = $1", user_id)
        if row is None:
            raise LookupError("there is no such account")
        return Identity(*row)

    # ---- proving an address -------------------------------------------------------------------------------------

    async def add_verification(self, token: Verification, *, expires_at: datetime) -> None:
        password_hash, display_name = token.pending or (None, None)
        await self._database.execute(
            """
            INSERT INTO email_verifications (digest, email, email_key, user_id, password_hash, display_name, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            token.digest,
            token.address.text,
            token.address.key,
            token.user_id,
            password_hash,
            display_name,
            expires_at,
        )

    async def verification(self, digest: bytes, *, at: datetime) -> Verification | None:
        """The token, unless it has expired."""
        row = await self._database.fetchrow(
            """
            SELECT email, email_key, user_id, password_hash, display_name
            FROM email_verifications WHERE digest = $1 AND expires_at > $2
            """,
            digest,
            at,
        )
        if row is None:
            return None
        return Verification(digest, Address(row[0], row[1]), row[2], None if row[3] is None else (row[3], row[4]))

    async def consume_verifications(self, email_key: str) -> set[bytes]:
        """Deletes every token of the address, and returns the digests of those that this transaction deleted."""
        rows = await self._database.fetch(
            "DELETE FROM email_verifications WHERE email_key = $1 RETURNING digest", email_key
        )
        return {row[0] for row in rows}

    async def void_verifications(self, user_id: str) -> None:
        """Deletes the tokens that prove an address for this account."""
        await self._database.execute("DELETE FROM email_verifications WHERE user_id = $1", user_id)

    async def purge_verifications(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` tokens that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM email_verifications WHERE digest IN (
                SELECT digest FROM email_verifications WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))


_HOLDER: Final = """
    SELECT id, email, email_verified_at IS NOT NULL, password_hash FROM users WHERE email_key = $1
"""
