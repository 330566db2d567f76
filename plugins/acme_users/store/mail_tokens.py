"""Tokens in mails to people who have an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from acme import Statements
from acme_users.addresses import Address


class Purpose(StrEnum):
    """What a token in a mail is good for, and for nothing else."""

    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose
    CHANGE_EMAIL = "change_email"
    UNDO_EMAIL_CHANGE = "undo_email_change"


@dataclass(frozen=True, slots=True)
class MailToken:
    """A row of `mail_tokens`."""

    digest: bytes
    purpose: Purpose
    user_id: str | None
    """`None`: of an address that leads to no account."""
    address: Address
    """Where it was sent."""
    expires_at: datetime


class MailTokenStore:
    """The table `mail_tokens`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def add(self, token: MailToken) -> None:
        await self._database.execute(
            """
            INSERT INTO mail_tokens (digest, purpose, user_id, email, email_key, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            token.digest,
            token.purpose,
            token.user_id,
            token.address.text,
            token.address.key,
            token.expires_at,
        )

    async def find(self, digest: bytes, purpose: Purpose, *, at: datetime) -> MailToken | None:
        """The token, if it is for this purpose and has not expired."""
        row = await self._database.fetchrow(
            """
            SELECT user_id, email, email_key, expires_at FROM mail_tokens
            WHERE digest = $1 AND purpose = $2 AND expires_at > $3 AND user_id IS NOT NULL
            """,
            digest,
            purpose,
            at,
        )
        return None if row is None else MailToken(digest, purpose, row[0], Address(row[1], row[2]), row[3])

    async def consume(self, digest: bytes) -> bool:
        """Deletes a token. False: somebody else did."""
        return await self._database.execute("DELETE FROM mail_tokens WHERE digest = $1", digest) == "DELETE 1"

    async def void(self, user_id: str) -> None:
        """Deletes the account's tokens, but for those that undo a change of its address.

        Those are what its owner has in hand against somebody who got in, moved the account, and does all else an owner may.
        """
        await self._database.execute(
            "DELETE FROM mail_tokens WHERE user_id = $1 AND purpose <> $2", user_id, Purpose.UNDO_EMAIL_CHANGE
        )

    async def void_undos(self, user_id: str, *, since: datetime) -> None:
        """Deletes the account's tokens that undo a change of its address and expire at `since` or later."""
        await self._database.execute(
            "DELETE FROM mail_tokens WHERE user_id = $1 AND purpose = $2 AND expires_at >= $3",
            user_id,
            Purpose.UNDO_EMAIL_CHANGE,
            since,
        )

    async def void_address(self, email_key: str) -> None:
        """Deletes every token that was sent to this address, whosever it is."""
        await self._database.execute("DELETE FROM mail_tokens WHERE email_key = $1", email_key)

    async def former_holder(self, email_key: str, *, at: datetime) -> str | None:
        """The account that had this address and may still be given back to it; of several, the one that left last."""
        holder: str | None = await self._database.fetchval(
            """
            SELECT user_id FROM mail_tokens WHERE email_key = $1 AND purpose = $2 AND expires_at > $3
            ORDER BY expires_at DESC LIMIT 1
            """,
            email_key,
            Purpose.UNDO_EMAIL_CHANGE,
            at,
        )
        return holder

    async def purge(self, *, expired_by: datetime, limit: int) -> int:
        """Deletes up to `limit` tokens that have expired, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM mail_tokens WHERE digest IN (
                SELECT digest FROM mail_tokens WHERE expires_at <= $1
                ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            expired_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
