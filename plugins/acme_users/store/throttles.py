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
    """When the account's next attempt may come, as of the moment before this one; `None`: at once."""
    crowded_since: datetime | None
    """Set when the client address failed on too many accounts: the oldest of the failures that count."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """When an account's next attempt may be looked at."""

    delays: Sequence[float]
    """Seconds of pause after the first failure, the second … the last; after as many attempts none is looked at."""
    free: int
    """Failures up to which attempts are looked at beside each other; after that, one at a time."""
    at_once: int
    """Attempts that may be looked at beside each other."""
    lost_by: datetime
    """Whoever looked at an attempt of that time or before is gone."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """When nothing is looked at from an address of a client: it failed on `most` accounts after `since`."""

    most: int
    since: datetime


class ThrottleStore:
    """The tables `account_attempts`, `address_failures` and `mail_quotas`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def admit(
        self, account: bytes, address: bytes | None, *, at: datetime, crowd: Crowd, pauses: Pauses
    ) -> Admission:
        """Counts an attempt on an account before it is looked at, unless it is not to be looked at: see `throttles.py`.

        One statement: of many attempts at once each sees those before it.
        """
        row = await self._database.fetchrow(
            """
            WITH recent AS (
                SELECT failed_at FROM address_failures
                WHERE address = $2 AND failed_at > $4 ORDER BY failed_at DESC LIMIT $5
            ), crowd AS (
                SELECT min(failed_at) AS since FROM recent HAVING count(*) >= $5
            ), admitted AS (
                INSERT INTO account_attempts AS kept (account, attempts, attempted_at)
                SELECT $1, 1, $3 WHERE NOT EXISTS (SELECT FROM crowd)
                ON CONFLICT (account) DO UPDATE
                SET attempts = kept.attempts + 1, attempted_at = $3,
                    blocked_until = CASE WHEN kept.failures < $7 THEN kept.blocked_until
                        ELSE $3::timestamptz + ($6::float8[])[kept.failures + 1] * interval '1 second' END
                WHERE coalesce(kept.blocked_until <= $3, true) AND kept.attempts < array_length($6, 1)
                    AND (kept.attempts < $8 OR kept.failures >= $7 OR kept.attempted_at <= $9)
                RETURNING true
            )
            SELECT EXISTS (SELECT FROM admitted), coalesce(kept.attempts, 0), kept.blocked_until,
                   (SELECT since FROM crowd)
            FROM (VALUES ($1)) AS asked (account) LEFT JOIN account_attempts AS kept USING (account)
            """,
            account,
            address,
            at,
            crowd.since,
            crowd.most,
            pauses.delays,
            pauses.free,
            pauses.at_once,
            pauses.lost_by,
        )
        if row is None:
            raise RuntimeError("a query that always has one row had none")
        return Admission(*row)

    async def take_back(self, account: bytes) -> None:
        """An admitted attempt was not looked at after all."""
        await self._database.execute(
            "UPDATE account_attempts SET attempts = attempts - 1, blocked_until = NULL WHERE account = $1 AND attempts > 0",
            account,
        )

    async def forget(self, account: bytes) -> None:
        """Somebody proved to be the account's holder: nothing counts any more."""
        await self._database.execute("DELETE FROM account_attempts WHERE account = $1", account)

    async def fail(self, account: bytes, address: bytes | None, *, at: datetime, pauses: Pauses) -> None:
        """An attempt was looked at and found wrong; `address` is where it came from, if that is known."""
        await self._database.execute(
            """
            WITH failed AS (
                UPDATE account_attempts
                SET failures = failures + 1, blocked_until = greatest(blocked_until, $3::timestamptz + interval '1 second'
                    * nullif(($4::float8[])[least(failures + 1, array_length($4, 1))], 0))
                WHERE account = $1
            )
            INSERT INTO address_failures (address, account, failed_at)
            SELECT $2, $1, $3 WHERE $2::bytea IS NOT NULL
            ON CONFLICT (address, account) DO UPDATE SET failed_at = excluded.failed_at
            """,
            account,
            address,
            at,
            pauses.delays,
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
