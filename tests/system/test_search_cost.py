"""What a list or a search reads grows with what it shows, not with what there is.

1,000 organisations, one of them large: the same questions, with 10 times as many projects in the large one, read 3 times
as many pages of the database at most, and no plan walks a whole table. `make soak` does it with 10,000 and 100,000 projects,
the ordinary run with a tenth.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from acme_projects import plugin as projects_plugin
from acme_projects.store import ListStore, Wanted
from acme_projects.store.lists import CANDIDATES

from acme import Scope, filters
from acme.contract import ROLES
from acme.plugin import Plugin
from acme.ports import Row
from acme.testing.databases import FreshDatabase, fresh
from acme.testing.server import Server
from tests.soaking import soaking

BIG: Final = "org_big"
SMALL: Final = "org_0007"
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROWS: Final = 5000
"""Rows that one statement inserts."""

QUERIES: Final = {
    "project": "in every description",
    "pro": "the beginning of many words, as short as can be",
    "apollo": "in the name of every 10th",
    "apolo": "the same, misspelt",
    "telemetry": "in the description of every 100th",
    "apollo telemetry": "both words, each in another field",
    "zanzibar": "in three names",
    "zansibar": "the same, misspelt",
    "telemetri": "misspelt, and only in descriptions",
    "xyzzyq": "nowhere",
}
"""What is looked for, and where it is."""

ASKED: Final[dict[str, Wanted]] = {query: Wanted(query=query) for query in QUERIES} | {
    "newest": Wanted(),
    "by name": Wanted(order=(filters.Order("name"),)),
    "last updated": Wanted(order=(filters.Order("updated_at", descending=True),)),
    "with a label": Wanted(where=filters.Comparison("labels", "=", "prod", "env")),
    "deleted, too": Wanted(deleted=True),
    "a search with deleted ones": Wanted(query="apollo", deleted=True),
}


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [projects_plugin]


PROPORTIONAL: Final = frozenset({"with a label"})
"""What reads as much as matches: a filter that chooses a twentieth, by the index of labels."""


class Explaining:
    """Statements that are explained instead of being answered."""

    def __init__(self, database: FreshDatabase) -> None:
        self._database = database
        self.buffers = 0
        """Pages that the last statement read, from memory or not."""
        self.rows = 0
        self.nodes: list[dict[str, Any]] = []

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        found = await self._database.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
        plan = json.loads(found)[0]["Plan"] if isinstance(found, str) else found[0]["Plan"]
        self.buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.rows = int(plan["Actual Rows"])
        self.nodes = list(_nodes(plan))
        return ()

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        raise NotImplementedError

    async def fetchval(self, sql: str, *args: Any) -> Any:
        raise NotImplementedError

    async def execute(self, sql: str, *args: Any) -> str:
        raise NotImplementedError

    @property
    def walked(self) -> set[str]:
        """Tables that were read whole."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _vocabulary(chance: random.Random) -> list[str]:
    syllables = [
        f"{first}{second}" for first in "bcdfghjklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "or")
    ]
    return ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(4000)]


def _rows(organizations: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    """Projects with words as frequent as in a language: some are everywhere, most are rare (Zipf)."""
    chance = random.Random(7)
    words = _vocabulary(chance)
    weights = [1 / (rank + 3) for rank in range(len(words))]
    number = 0
    for organization, count in organizations.items():
        for index in range(count):
            number += 1
            name = " ".join(chance.choices(words, weights, k=2)).title() + f" {index}"
            told = " ".join(chance.choices(words, weights, k=chance.randint(4, 30))) + " project"
            if index % 10 == 0:
                name = f"Apollo {name}"
            if index % 100 == 0:
                told += " telemetry"
            if organization == BIG and index in (17, count // 2, count - 100):
                name = f"Zanzibar {name}"
            labels = {"env": "prod" if index % 20 == 0 else "test"}
            at = AT + timedelta(seconds=number)
            yield f"prj_{number:010}", organization, "usr_maker", name, told, labels, False, "local", at, at, 1


async def _fill(database: FreshDatabase, organizations: dict[str, int]) -> None:
    """Inserts them all; the index of searches is built at the end, which takes a tenth of the time."""
    index = await database.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'projects_search'")
    await database.execute("DROP INDEX projects_search")
    rows = list(_rows(organizations))
    for begin in range(0, len(rows), ROWS):
        batch = [
            dict(zip(("id", "organization_id", "owner_id", "name", "description", "labels"), row, strict=False))
            | {"created_at": row[8].isoformat(), "updated_at": row[9].isoformat()}
            for row in rows[begin : begin + ROWS]
        ]
        await database.execute(
            """
            WITH made AS (
                INSERT INTO projects (id, organization_id, owner_id, name, description, labels, archived, region,
                                      created_at, updated_at, version)
                SELECT id, organization_id, owner_id, name, description, labels, false, 'local', created_at, updated_at, 1
                FROM jsonb_to_recordset($1::jsonb) AS row(
                    id text, organization_id text, owner_id text, name text, description text, labels jsonb,
                    created_at timestamptz, updated_at timestamptz)
                RETURNING *
            )
            INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
            SELECT id, owner_id, organization_id, 'owner', created_at, 1 FROM made
            """,
            batch,
        )
    await database.execute(
        """
        INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
        SELECT id, 'usr_guest', organization_id, 'viewer', created_at, 1 FROM projects
        WHERE organization_id = $1 AND name LIKE '%7'  ORDER BY id LIMIT 30
        """,
        BIG,
    )
    await database.execute(index)
    await database.execute("VACUUM ANALYZE projects")
    await database.execute("VACUUM ANALYZE project_members")


@asynccontextmanager
async def filled(postgres: Server, number: int, organizations: int) -> AsyncIterator[FreshDatabase]:
    """1,000 organisations (or fewer), and one with this number of projects."""
    async with fresh(postgres, projects_plugin) as database:
        await _fill(database, {f"org_{one:04}": 5 for one in range(organizations)} | {BIG: number})
        yield database


def whole(*organizations: str) -> Scope:
    """Somebody who reaches all projects of organisations."""
    return Scope("usr_reader", ("usr_reader",), organizations, organizations, ROLES[1:])


CALLERS: Final = {
    "who reaches the large organisation": whole(BIG),
    "who reaches a small organisation": whole(SMALL),
    "who reaches both": whole(BIG, SMALL),
    "a guest with 30 projects": Scope("usr_guest", ("usr_guest",), (), (BIG,), ROLES[1:]),
}


async def measured(database: FreshDatabase) -> dict[tuple[str, str], tuple[int, int]]:
    """(caller, question) → pages read, rows shown."""
    explaining = Explaining(database)
    store = ListStore(explaining)
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for caller, scope in CALLERS.items():
        for name, wanted in ASKED.items():
            await store.list(wanted, read=scope, deleted=scope, at=AT, after=None, limit=51)
            assert not explaining.walked & {"projects", "project_members"}, f"{caller}: {name}"
            found[caller, name] = explaining.buffers, explaining.rows
    return found


@pytest.mark.drill
@pytest.mark.soak
async def test_ten_times_as_many_projects_take_three_times_the_pages_at_most(
    postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,000 and 10,000 projects; with the profile of `make soak` ten times as many, and of organisations."""
    few, organizations = (10_000, 1_000) if soaking() else (1_000, 100)
    async with filled(postgres, few, organizations) as database:
        before = await measured(database)
    async with filled(postgres, 10 * few, organizations) as database:
        after = await measured(database)
    with capsys.disabled():
        print(f"\npages read with {few} and {10 * few} projects in one of {organizations + 1} organisations, and rows:")
        for key, (pages, rows) in after.items():
            print(f"  {key[0]:36} {key[1]:28} {before[key][0]:6} {pages:6}   {rows:3}")
    for key, (pages, _) in after.items():
        if key[1] in PROPORTIONAL:
            continue
        assert pages <= 3 * before[key][0], f"{key}: {before[key][0]} → {pages}"
    for query in QUERIES:
        rows = after["who reaches the large organisation", query][1]
        least, most = {"zanzibar": (3, 3), "zansibar": (3, 10), "xyzzyq": (0, 0)}.get(query, (51, 51))
        assert least <= rows <= most, query
    assert CANDIDATES == 200, "the promise of the contract (ListProjectsRequest.query)"
