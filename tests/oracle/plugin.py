"""A plugin that hears versions of aggregates, one by one and in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from acme.contracts.projects.v1 import ProjectSettingsUpdated
from acme.plugin import Consumer, Event, NoSettings, Plugin, Resources

NAME: Final = "oracle"
TOPIC: Final = "acme.projects.events"
CONSUMERS: Final = ("one", "many")
ATTEMPTS: Final = 1000
"""Kills are at random here, and no event is to blame for them."""

# In one statement: the row of the aggregate is held until the end of the transaction.
# All of a version in one statement; the rows of an aggregate are its transaction's own from here on.
HEAR: Final = """
WITH heard AS (SELECT $1::text AS consumer, $2::text AS aggregate, $3::bigint AS version, $4::text AS event_id),
former AS (
    SELECT heard.*, coalesce(followed.version, 0) AS followed FROM heard LEFT JOIN followed USING (consumer, aggregate)
),
inversion AS (
    INSERT INTO inversions (consumer, aggregate, version, followed)
    SELECT consumer, aggregate, version, followed FROM former WHERE version <> followed + 1
),
effect AS (
    INSERT INTO effects (consumer, aggregate, version, event_id) SELECT consumer, aggregate, version, event_id FROM heard
)
INSERT INTO followed (consumer, aggregate, version) SELECT consumer, aggregate, version FROM heard
ON CONFLICT (consumer, aggregate) DO UPDATE SET version = excluded.version
"""


async def hear_one(resources: Resources[NoSettings], event: Event[ProjectSettingsUpdated]) -> None:
    """Notes a version."""
    await _hear(resources, "one", event)


async def hear_many(resources: Resources[NoSettings], events: Sequence[Event[ProjectSettingsUpdated]]) -> None:
    """Notes versions."""
    for event in events:
        await _hear(resources, "many", event)


async def _hear(resources: Resources[Any], consumer: str, event: Event[ProjectSettingsUpdated]) -> None:
    await resources.database.execute(HEAR, consumer, event.aggregate, event.message.version, event.id)


@asynccontextmanager
async def service(resources: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
    """Offers nothing."""
    yield ()


plugin = Plugin(
    name=NAME,
    version="1.0",
    package=__package__ or "",
    contracts=(),
    service=service,
    consumers=(
        Consumer("one", (ProjectSettingsUpdated,), hear_one, attempts=ATTEMPTS),
        Consumer("many", (ProjectSettingsUpdated,), hear_many, batch=50, attempts=ATTEMPTS),
    ),
)
