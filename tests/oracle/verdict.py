"""What is there in the end, beside what should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acme.ports import Statements
from tests.oracle.plugin import CONSUMERS

_COMMITTED: Final = "SELECT id, version FROM aggregates"
_WAITING: Final = "SELECT count(*) FROM acme.outbox"
_HEARD: Final = "SELECT count(*) FROM effects WHERE consumer = $1"
_FOLLOWED: Final = "SELECT aggregate, version FROM followed WHERE consumer = $1"
_INVERSIONS: Final = "SELECT consumer, aggregate, version, followed FROM inversions LIMIT 20"
_REPEATED: Final = (
    "SELECT consumer, aggregate, version, count(*) FROM effects GROUP BY 1, 2, 3 HAVING count(*) > 1 LIMIT 20"
)
_MISSING: Final = """
SELECT id, number FROM aggregates, generate_series(1, version) AS number
WHERE NOT EXISTS (SELECT FROM effects WHERE consumer = $1 AND aggregate = id AND effects.version = number) LIMIT 20
"""
_UNFOUNDED: Final = """
SELECT aggregate, effects.version FROM effects JOIN aggregates ON id = aggregate
WHERE consumer = $1 AND effects.version > aggregates.version LIMIT 20
"""
_LETTERS: Final = "SELECT consumer, event_id, error FROM acme.dead_letters LIMIT 20"


@dataclass
class Journal:
    """What the writers were told of their commits."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """The highest version of each aggregate."""
    units: dict[str, int] = field(default_factory=dict)
    """How many units of work ended otherwise, by how."""


def journal(folder: Path) -> Journal:
    """Read from the writers' files. The last line of a writer that was killed may be torn."""
    found = Journal()
    for file in folder.glob("*.journal"):
        for line in file.read_text().splitlines(keepends=True):
            words = line.split()
            if line.endswith("\n") and len(words) == 3 and words[0] == "ok":
                found.acknowledged[words[1]] = max(found.acknowledged.get(words[1], 0), int(words[2]))
            elif len(words) == 1:
                found.units[words[0]] = found.units.get(words[0], 0) + 1
    return found


async def committed(database: Statements) -> dict[str, int]:
    """The last version of each aggregate: so many events it must have had."""
    return {row[0]: row[1] for row in await database.fetch(_COMMITTED)}


async def everybody_hears(database: Statements) -> bool:
    """Whether each consumer has heard something."""
    return all([await database.fetchval(_HEARD, consumer) for consumer in CONSUMERS])


async def drained(database: Statements) -> bool:
    """Whether as many versions were heard as were committed, by each consumer, and nothing waits."""
    total = sum((await committed(database)).values())
    heard = [await database.fetchval(_HEARD, consumer) for consumer in CONSUMERS]
    return min(heard) >= total and not await database.fetchval(_WAITING)


async def faults(database: Statements, told: Journal) -> list[str]:
    """Everything that is not as it should be, some of each kind."""
    found = [f"not the next one: {tuple(row)}" for row in await database.fetch(_INVERSIONS)]
    found += [f"twice: {tuple(row)}" for row in await database.fetch(_REPEATED)]
    found += [f"dead letter: {tuple(row)}" for row in await database.fetch(_LETTERS)]
    there = await committed(database)
    found += [
        f"acknowledged and not there: {aggregate} {version}"
        for aggregate, version in told.acknowledged.items()
        if there.get(aggregate, 0) < version
    ]
    for consumer in CONSUMERS:
        found += [f"lost for {consumer}: {tuple(row)}" for row in await database.fetch(_MISSING, consumer)]
        found += [f"never committed: {consumer} {tuple(row)}" for row in await database.fetch(_UNFOUNDED, consumer)]
        last = {row[0]: row[1] for row in await database.fetch(_FOLLOWED, consumer)}
        found += [
            f"{consumer} stands at {last.get(aggregate, 0)} of {aggregate}, not {version}"
            for aggregate, version in there.items()
            if last.get(aggregate, 0) != version
        ]
    if waiting := await database.fetchval(_WAITING):
        found.append(f"{waiting} events wait in the outbox")
    return found
