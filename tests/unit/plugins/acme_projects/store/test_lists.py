"""Lists and searches as statements. What they find is tested through the contract, what they cost in tests/system."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from acme_projects.store import ListStore, ProjectStore, Wanted
from acme_projects.store.lists import CANDIDATES, WORDS

from acme import filters
from acme.contracts.projects.v1 import Project
from acme.testing.databases import FreshDatabase
from tests.unit.plugins.acme_projects.store.test_projects import AT, NOWHERE, of, project


@pytest.fixture
async def kept(database: FreshDatabase) -> list[Project]:
    """Three projects of one organisation, and nothing else."""
    await database.execute("DELETE FROM projects")
    first = project(id="prj_1", name="Atlas")
    rest = [
        project(
            id=f"prj_{number}",
            name=f"Atlas {number}",
            organization_id=first.organization_id,
            owner_id=first.owner_id,
            created_at=AT + timedelta(seconds=number),
        )
        for number in (2, 3)
    ]
    for each in (first, *rest):
        await ProjectStore(database).insert(each)
    return [first, *rest]


async def ids(database: FreshDatabase, wanted: Wanted, kept: list[Project], **other: Any) -> list[str]:
    scope = other.pop("scope", of(kept[0]))
    listed = await ListStore(database).list(
        wanted, read=scope, deleted=scope, at=AT, after=other.get("after"), limit=other.get("limit", 10)
    )
    return [one.project.id for one in listed]


async def test_a_list_goes_on_after_a_position(database: FreshDatabase, kept: list[Project]) -> None:
    assert await ids(database, Wanted(), kept) == ["prj_3", "prj_2", "prj_1"]
    assert await ids(database, Wanted(), kept, after=["prj_3"], limit=1) == ["prj_2"]
    by_name = Wanted(order=(filters.Order("name"),))
    assert await ids(database, by_name, kept, after=["Atlas 2", "prj_2"]) == ["prj_3"]


async def test_a_position_is_what_comes_back_with_each_project(database: FreshDatabase, kept: list[Project]) -> None:
    scope = of(kept[0])
    for wanted in (Wanted(), Wanted(query="atlas"), Wanted(order=(filters.Order("created_at"),))):
        whole = await ids(database, wanted, kept)
        listed = await ListStore(database).list(wanted, read=scope, deleted=scope, at=AT, after=None, limit=1)
        assert await ids(database, wanted, kept, after=listed[0].position) == whole[1:]


async def test_who_is_a_member_twice_sees_a_project_once(database: FreshDatabase, kept: list[Project]) -> None:
    await database.execute(
        "INSERT INTO project_members SELECT id, 'tem_a', organization_id, 'viewer', created_at, 1 FROM projects"
    )
    mine = of(kept[0])
    both = type(mine)(mine.user, (mine.user, "tem_a"), (), mine.memberships, mine.roles)
    all_of_it = type(mine)(mine.user, (mine.user, "tem_a"), mine.memberships, mine.memberships, mine.roles)
    for scope in (both, all_of_it):
        for wanted in (Wanted(), Wanted(query="atlas")):
            assert sorted(await ids(database, wanted, kept, scope=scope)) == ["prj_1", "prj_2", "prj_3"]


async def test_out_of_scope_nothing_is_listed_or_found(database: FreshDatabase, kept: list[Project]) -> None:
    for wanted in (Wanted(), Wanted(query="atlas"), Wanted(deleted=True)):
        assert await ids(database, wanted, kept, scope=NOWHERE) == []


async def test_a_search_of_an_organisation_ranks_so_many_candidates_and_the_best_are_among_them(
    database: FreshDatabase,
) -> None:
    many = [
        project(organization_id="org_a", description="atlas", name=f"Other {index}") for index in range(CANDIDATES + 50)
    ]
    for each in (*many, project(organization_id="org_a", name="Atlas", description="")):
        await ProjectStore(database).insert(each)
    scope = type(NOWHERE)("usr_x", ("usr_x",), ("org_a",), ("org_a",), ("viewer",))
    listed = await ListStore(database).list(
        Wanted(query="atlas"), read=scope, deleted=scope, at=AT, after=None, limit=1000
    )
    assert len(listed) == CANDIDATES
    assert listed[0].project.name == "Atlas"


async def test_more_words_than_are_looked_for_are_no_trouble(database: FreshDatabase, kept: list[Project]) -> None:
    query = "atlas " + " ".join(f"word{number}" for number in range(WORDS + 5))
    assert await ids(database, Wanted(query=query), kept) == []
    assert len(await ids(database, Wanted(query="atlas a b c d e"), kept)) == 3
