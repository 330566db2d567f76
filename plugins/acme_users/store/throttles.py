"""What keeps others from guessing passwords and from flooding mailboxes. Every name in here is a MAC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from acme import Statements


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an attempt to prove a password may be looked at."""

    admitted: bool
    attempts: int
    """Since the last success, before this one; exact only where it was refused."""
    blocked_until: datetime | None
    """When the account's next attempt may come; of the moment before this one."""
    crowded_since: datetime | None
    """Set when the client address failed on too many accounts: the oldest of the failures that count."""


class ThrottleStore:
    """The tables `account_attempts`, `address_failures` and `mail_quotas`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def admit(
        self,
        account: bytes,
        address: bytes | None,
        *,
        at: datetime,
        since: datetime,
        most: int,
        delays: Sequence[float],
    ) -> Admission:
        """Counts an attempt on an account, before it is looked at, unless it is not to be looked at.

        `delays[n - 1]` are the seconds that the next one has to wait for after the n-th; there is none after the last.
        Nothing is admitted from an address that failed on `most` accounts after `since`. One statement: of many attempts
        at once each sees those before it.
        """
        row = await self._database.fetchrow(
            """
            WITH recent AS (
                SELECT failed_at FROM address_failures
                WHERE address = $2 AND failed_at > $4 ORDER BY failed_at DESC LIMIT $5
            ), crowd AS (
                SELECT min(failed_at) AS since FROM recent HAVING count(*) >= $5
            ), admitted AS (
                INSERT INTO account_attempts AS kept (account, attempts, blocked_until, attempted_at)
                SELECT $1, 1, $3::timestamptz + ($6::float8[])[1] * interval '1 second', $3
                WHERE NOT EXISTS (SELECT FROM crowd)
                ON CONFLICT (account) DO UPDATE
                SET attempts = kept.attempts + 1, attempted_at = $3,
                    blocked_until = $3::timestamptz + ($6::float8[])[kept.attempts + 1] * interval '1 second'
                WHERE kept.blocked_until <= $3 AND kept.attempts < array_length($6, 1)
                RETURNING true
            )
            SELECT EXISTS (SELECT FROM admitted), coalesce(kept.attempts, 0), kept.blocked_until,
                   (SELECT since FROM crowd)
            FROM (VALUES ($1)) AS asked (account) LEFT JOIN account_attempts AS kept USING (account)
            """,
            account,
            address,
            at,
            since,
            most,
            delays,
        )
        if row is None:
            raise RuntimeError("a query that always has one row had none")
        return Admission(*row)

    async def take_back(self, account: bytes, *, at: datetime) -> None:
        """An admitted attempt was not looked at after all."""
        await self._database.execute(
            "UPDATE account_attempts SET attempts = attempts - 1, blocked_until = $2 WHERE account = $1 AND attempts > 0",
            account,
            at,
        )

    async def forget(self, account: bytes) -> None:
        """Somebody proved to be the account's holder: nothing counts any more."""
        await self._database.execute("DELETE FROM account_attempts WHERE account = $1", account)

    async def add_failure(self, address: bytes, account: bytes, *, at: datetime) -> None:
        await self._database.execute(
            """
            INSERT INTO address_failures (address, account, failed_at) VALUES ($1, $2, $3)
            ON CONFLICT (address, account) DO UPDATE SET failed_at = excluded.failed_at
            """,
            address,
            account,
            at,
        )

    async def take_mail(self, recipient: bytes, *, at: datetime, since: datetime, most: int) -> bool:
        """Counts a mail, unless the recipient got `most` of them after `since`; then nothing, and false."""
        taken = await self._database.fetchval(
            """
            INSERT INTO mail_quotas AS kept (recipient, sent_at) VALUES ($1, ARRAY[$2::timestamptz])
            ON CONFLICT (recipient) DO UPDATE SET sent_at = (ARRAY[$2::timestamptz] || kept.sent_at)[:$4]
            WHERE coalesce(kept.sent_at[$4] <= $3, true)
            RETURNING true
            """,
            recipient,
            at,
            since,
            most,
        )
        return taken is True

    async def purge_attempts(self, *, attempted_by: datetime, limit: int) -> int:
        """Deletes up to `limit` accounts whose last attempt is that old, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM account_attempts WHERE account IN (
                SELECT account FROM account_attempts WHERE attempted_at <= $1
                ORDER BY attempted_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            attempted_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))

    async def purge_failures(self, *, failed_by: datetime, limit: int) -> int:
        """Deletes up to `limit` failures that are that old, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM address_failures WHERE (address, account) IN (
                SELECT address, account FROM address_failures WHERE failed_at <= $1
                ORDER BY failed_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            failed_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))

    async def purge_mail_quotas(self, *, sent_by: datetime, limit: int) -> int:
        """Deletes up to `limit` recipients whose youngest mail is that old, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM mail_quotas WHERE recipient IN (
                SELECT recipient FROM mail_quotas WHERE sent_at[1] <= $1
                ORDER BY sent_at[1] LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            sent_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
