"""Passwords and addresses of accounts that exist, and changing them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from acme import Row, Statements
from acme_users.addresses import Address


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account is proved by. An account has some for as long as it has an address."""

    user_id: str
    address: Address
    verified: bool
    password_hash: bytes | None = field(repr=False)
    """`None` after somebody took the account back: the owner sets another one by mail."""
    display_name: str


class CredentialStore:
    """The table `users`, as far as it says who may log in."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def of(self, user_id: str) -> Credentials | None:
        """`None` for an account that has lost its address, too."""
        return _credentials(await self._database.fetchrow(_ACCOUNT, user_id))

    async def lock(self, user_id: str) -> Credentials | None:
        """As `of`, and nobody else changes them, or logs in, before this transaction ends."""
        return _credentials(await self._database.fetchrow(_ACCOUNT + " FOR NO KEY UPDATE", user_id))

    async def lock_with_holder(self, user_id: str, email_key: str) -> tuple[Credentials | None, Credentials | None]:
        """The account, and whichever other one has this address: both locked as by `lock`, in the order of their ids."""
        rows = await self._database.fetch(
            _COLUMNS + " AND (id = $1 OR email_key = $2) ORDER BY id FOR NO KEY UPDATE", user_id, email_key
        )
        found = {one.user_id: one for row in rows if (one := _credentials(row)) is not None}
        own = found.pop(user_id, None)
        return own, next(iter(found.values()), None)

    async def set_password(self, user_id: str, password_hash: bytes, *, at: datetime) -> None:
        await self._database.execute(
            "UPDATE users SET password_hash = $2, updated_at = $3, version = version + 1 WHERE id = $1",
            user_id,
            password_hash,
            at,
        )

    async def move(self, user_id: str, address: Address, *, at: datetime) -> None:
        """Gives the account another address, which is proved.

        Raises:
            UniqueViolation: somebody signed up with it at this moment.
        """
        await self._database.execute(
            """
            UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $4, version = version + 1
            WHERE id = $1
            """,
            user_id,
            address.text,
            address.key,
            at,
        )

    async def take_password(self, user_id: str) -> None:
        """Nobody logs in to the account before it gets another password."""
        await self._database.execute("UPDATE users SET password_hash = NULL WHERE id = $1", user_id)

    async def next_epoch(self, user_id: str) -> int:
        """Moves the account to its next epoch, and returns it: access tokens with a lower one are dead once announced."""
        epoch: int = await self._database.fetchval(
            "UPDATE users SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch", user_id
        )
        return epoch


def _credentials(row: Row | None) -> Credentials | None:
    return None if row is None else Credentials(row[0], Address(row[1], row[2]), *tuple(row)[3:])


_COLUMNS: Final = """
    SELECT id, email, email_key, email_verified_at IS NOT NULL, password_hash, display_name FROM users
    WHERE email_key IS NOT NULL
"""
_ACCOUNT: Final = _COLUMNS + " AND id = $1"
