"""Notices every row that is written, so that it can be said of a refusal that it changed nothing.

Triggers note each write within its own transaction: one that was rolled back is none. A comparison of contents would miss a
change that was undone, and cost more the more there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg

ASIDE: Final = {
    "public.account_attempts": "counts attempts",
    "public.address_failures": "counts attempts",
    "public.mail_quotas": "counts mails that were asked for",
    "acme.idempotency": "keeps answers, refusals too",
    "acme.leases": "belongs to jobs",
    "acme.migrations": "belongs to the runtime",
    "public.written": "is the note itself",
}
"""Tables that refusals may write to, and why."""

_PARTS: Final = {
    # Not when it was used last.
    "public.access_tokens": "INSERT OR DELETE OR UPDATE OF subject, digest, name, scopes, expires_at, revoked_at",
    # The loop that delivers goes on with earlier ones.
    "acme.deliveries": "INSERT",
    # Not what went to the bus.
    "acme.outbox": "INSERT",
}
_ROWS: Final = {
    # A denial leaves its audit record.
    "acme.outbox": "WHEN (NEW.topic <> 'acme.audit.log')",
}
_NOTE: Final = """
CREATE TABLE public.written (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text NOT NULL);
CREATE FUNCTION public.note_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.written (what) VALUES (TG_OP || ' of ' || TG_TABLE_NAME); RETURN NULL; END $$;
"""


@dataclass
class Watch:
    """The writes to one database."""

    database: asyncpg.Connection
    seen: int = 0

    async def begin(self) -> None:
        """From now on."""
        await self.database.execute(_NOTE)
        tables = await self.database.fetch(
            "SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('public', 'acme')"
        )
        for (table,) in tables:
            if table not in ASIDE:
                when = _PARTS.get(table, "INSERT OR UPDATE OR DELETE")
                rows = _ROWS.get(table, "")
                await self.database.execute(
                    f"CREATE TRIGGER noted AFTER {when} ON {table} FOR EACH ROW {rows}"
                    " EXECUTE FUNCTION public.note_write()"
                )

    async def writes(self) -> list[str]:
        """What was written since the last time this was asked."""
        rows = await self.database.fetch("SELECT id, what FROM public.written WHERE id > $1 ORDER BY id", self.seen)
        self.seen = max([self.seen, *(row[0] for row in rows)])
        return [row[1] for row in rows]
