"""What verifiers of access tokens need to know: keys, revocations, and whose grants have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from acme import Statements


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A row of `signing_keys`; `private_jwk` is sealed."""

    kid: str
    algorithm: str
    public_jwk: str
    private_jwk: bytes = field(repr=False)
    not_before: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeySet:
    """The signing keys of one moment, oldest first."""

    version: int
    keys: tuple[SigningKey, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the authority's feed. Exactly one of the four names is given."""

    sequence: int
    session_id: str | None
    """Of a session, or of an access token for programs: it has ended."""
    subject: str | None
    """Its access tokens below `epoch` are dead."""
    epoch: int
    grants_of: str | None
    """A subject whose memberships have changed."""
    organization_id: str | None
    """An organisation in which those of many have."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Entries after some sequence number, and the counters of the same moment."""

    entries: tuple[Entry, ...]
    last_sequence: int
    key_version: int


class AuthorityStore:
    """The tables `authority`, `authority_changes` and `signing_keys`."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def announce(
        self,
        *,
        at: datetime,
        session_id: str | None = None,
        subject: str | None = None,
        epoch: int = 0,
        grants_of: str | None = None,
        organization_id: str | None = None,
    ) -> None:
        """Adds an entry to the feed, with the next sequence number. The last statement of its transaction.

        One of these: `session_id`, a session or a token for programs that has ended; `subject`, whose tokens below
        `epoch` are dead; `grants_of`, a subject whose memberships (or teams) this transaction changed;
        `organization_id`, where it changed those of many members at once.

        Not a sequence of PostgreSQL's: that gives out numbers when they are asked for, so a transaction with a lower
        number may commit after one with a higher, and a verifier that has seen the higher would never ask for the lower
        again. Here the counter is a row. Whoever increments it holds its lock until the commit, so the next number goes
        to a transaction that commits later, and whoever sees a number sees every lower one. (A rolled back transaction
        takes its number back.) It costs that revocations commit one at a time, which is why this comes last.
        """
        await self._database.execute(
            """
            WITH counter AS (
                UPDATE authority SET last_sequence = last_sequence + 1 RETURNING last_sequence
            )
            INSERT INTO authority_changes (sequence, session_id, subject, epoch, grants_of, organization_id, created_at)
            SELECT last_sequence, $1, $2, $3, $4, $5, $6 FROM counter
            """,
            session_id,
            subject,
            epoch,
            grants_of,
            organization_id,
            at,
        )

    async def announce_ended(self, ids: Sequence[str], *, at: datetime) -> None:
        """`announce` for several sessions, or tokens for programs, at once; nothing for none."""
        await self._database.execute(
            """
            WITH counter AS (
                UPDATE authority SET last_sequence = last_sequence + cardinality($1::text[])
                WHERE cardinality($1::text[]) > 0 RETURNING last_sequence
            )
            INSERT INTO authority_changes (sequence, session_id, created_at)
            SELECT c.last_sequence - cardinality($1::text[]) + ended.number, ended.id, $2
            FROM counter AS c, unnest($1::text[]) WITH ORDINALITY AS ended (id, number)
            """,
            list(ids),
            at,
        )

    async def feed(self, since: int, *, limit: int) -> Feed:
        """Entries after `since`, oldest first, and the counters: one statement, so one moment."""
        rows = await self._database.fetch(
            """
            SELECT a.last_sequence, a.key_version,
                   c.sequence, c.session_id, c.subject, c.epoch, c.grants_of, c.organization_id
            FROM authority AS a
            LEFT JOIN LATERAL (
                SELECT sequence, session_id, subject, epoch, grants_of, organization_id FROM authority_changes
                WHERE sequence > $1 ORDER BY sequence LIMIT $2
            ) AS c ON true
            ORDER BY c.sequence
            """,
            since,
            limit,
        )
        entries = tuple(Entry(*tuple(row)[2:]) for row in rows if row[2] is not None)
        return Feed(entries, rows[0][0], rows[0][1])

    async def lock_keys(self) -> None:
        """Nobody else changes keys before this transaction ends."""
        await self._database.execute("SELECT FROM authority FOR UPDATE")

    async def keys(self) -> KeySet:
        rows = await self._database.fetch(
            """
            SELECT a.key_version, k.kid, k.algorithm, k.public_jwk, k.private_jwk, k.not_before, k.retired_at
            FROM authority AS a LEFT JOIN signing_keys AS k ON true
            ORDER BY k.not_before
            """
        )
        return KeySet(rows[0][0], tuple(SigningKey(*tuple(row)[1:]) for row in rows if row[1] is not None))

    async def add_key(self, key: SigningKey, *, predecessor_retired_at: datetime) -> None:
        """Adds the youngest key, says when its predecessor retires, and moves the version."""
        await self._database.execute(
            """
            WITH moved AS (
                UPDATE authority SET key_version = key_version + 1
            ), predecessor AS (
                UPDATE signing_keys SET retired_at = $6 WHERE retired_at IS NULL
            )
            INSERT INTO signing_keys (kid, algorithm, public_jwk, private_jwk, not_before)
            VALUES ($1, $2, $3, $4, $5)
            """,
            key.kid,
            key.algorithm,
            key.public_jwk,
            key.private_jwk,
            key.not_before,
            predecessor_retired_at,
        )

    async def delete_keys(self, *, retired_before: datetime) -> None:
        """Deletes keys that have retired, and moves the version when there was one."""
        await self._database.execute(
            """
            WITH gone AS (DELETE FROM signing_keys WHERE retired_at < $1 RETURNING kid)
            UPDATE authority SET key_version = key_version + 1 WHERE EXISTS (SELECT FROM gone)
            """,
            retired_before,
        )

    async def withdraw_keys(self) -> None:
        """Deletes every key, whoever has a token of it, and moves the version."""
        await self._database.execute(
            """
            WITH gone AS (DELETE FROM signing_keys)
            UPDATE authority SET key_version = key_version + 1
            """
        )

    async def purge_changes(self, *, announced_by: datetime, limit: int) -> int:
        """Deletes up to `limit` entries that concern no live token any more, and returns how many it were."""
        status = await self._database.execute(
            """
            DELETE FROM authority_changes WHERE sequence IN (
                SELECT sequence FROM authority_changes WHERE created_at <= $1
                ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
            """,
            announced_by,
            limit,
        )
        return int(status.removeprefix("DELETE "))
