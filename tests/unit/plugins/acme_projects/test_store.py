"""The table of projects."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from acme_projects.store import FIRST, Change, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme.contracts.projects.v1 import Project
from acme.drivers.clock import SystemClock
from acme.ids import new_id
from acme.ports import UniqueViolation
from acme.testing.databases import FreshDatabase

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.fixture
def store(database: FreshDatabase) -> Store:
    return Store(database)


def project(owner: str = "", **values: Any) -> Project:
    """A project that nobody has yet; its owner is somebody new."""
    clock = SystemClock()
    fields: dict[str, Any] = {
        "id": new_id("prj", clock),
        "organization_id": new_id("org", clock),
        "owner_id": owner or new_id("usr", clock),
        "name": "Atlas",
        "description": "Maps",
        "labels": {"team": "north"},
        "region": "local",
        "created_at": AT,
        "updated_at": AT,
        "version": 1,
    }
    return Project(**(fields | values))


def with_(base: Project, **values: Any) -> Project:
    return dataclasses.replace(base, **values)


async def test_what_is_inserted_is_what_comes_back(store: Store) -> None:
    kept = project(labels={"a": "é", "b": ""}, archived=True, version=7)
    await store.insert(kept)
    assert await store.get(kept.id, owner=kept.owner_id) == kept


async def test_an_id_is_given_once(store: Store) -> None:
    kept = project()
    await store.insert(kept)
    with pytest.raises(UniqueViolation) as caught:
        await store.insert(kept)
    assert caught.value.constraint == "projects_pkey"


async def test_another_owner_gets_lists_and_changes_nothing(store: Store) -> None:
    kept = project()
    await store.insert(kept)
    assert await store.get(kept.id, owner="usr_other") is None
    assert await store.list(owner="usr_other", before=FIRST, limit=10) == []
    assert await store.change(kept.id, Change(name="B"), owner="usr_other", version=None, at=LATER) is None
    assert await store.get(kept.id, owner=kept.owner_id) == kept


@pytest.mark.parametrize(
    ("change", "becomes"),
    [
        (Change(name="B"), {"name": "B"}),
        (Change(description=""), {"description": ""}),
        (Change(labels={}), {"labels": {}}),
        (Change(archived=True), {"archived": True}),
        (Change("B", "C", {"d": "e"}, True), {"name": "B", "description": "C", "labels": {"d": "e"}, "archived": True}),
        (Change(name="B", description="Maps"), {"name": "B"}),
    ],
    ids=["name", "description", "labels", "archived", "all", "one of two"],
)
async def test_a_change_sets_what_it_names(store: Store, change: Change, becomes: dict[str, Any]) -> None:
    kept = project()
    await store.insert(kept)
    outcome = await store.change(kept.id, change, owner=kept.owner_id, version=1, at=LATER)
    assert outcome == (with_(kept, **becomes, updated_at=LATER, version=2), True)
    assert await store.get(kept.id, owner=kept.owner_id) == outcome[0]


@pytest.mark.parametrize(
    ("archived", "change", "version"),
    [
        (False, Change(), None),
        (False, Change(name="Atlas", description="Maps", labels={"team": "north"}, archived=False), None),
        (False, Change(name="B"), 2),
        (True, Change(name="B"), None),
        (True, Change(archived=True), None),
        (True, Change(archived=False), 2),
    ],
    ids=["nothing", "the same", "another version", "archived", "archived already", "archived, another version"],
)
async def test_a_change_that_does_not_apply_shows_the_project_as_it_is(
    store: Store, archived: bool, change: Change, version: int | None
) -> None:
    kept = project(archived=archived)
    await store.insert(kept)
    assert await store.change(kept.id, change, owner=kept.owner_id, version=version, at=LATER) == (kept, False)


async def test_a_change_waits_for_the_one_before_and_sees_what_it_did(database: FreshDatabase) -> None:
    kept = project()
    async with database.connection() as first, database.connection() as second:
        await Store(first).insert(kept)
        await first.begin()
        await Store(first).change(kept.id, Change(name="B"), owner=kept.owner_id, version=1, at=LATER)
        pid = await second.fetchval("SELECT pg_backend_pid()")
        changing = Store(second).change(kept.id, Change(name="C"), owner=kept.owner_id, version=1, at=LATER)
        waiting, _ = await asyncio.gather(changing, commit_when_blocked(database, pid, first))
    assert waiting == (with_(kept, name="B", updated_at=LATER, version=2), False)


async def commit_when_blocked(database: FreshDatabase, pid: int, holder: Any) -> None:
    """Commits once the other connection waits for this one's lock."""
    async with asyncio.timeout(10):
        while not await database.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
            pass
    await holder.commit()


async def test_a_list_is_newest_first_from_a_position_on(store: Store) -> None:
    owner = new_id("usr", SystemClock())
    made = [project(owner, id=f"prj_{number}") for number in "3142"]
    for each in made:
        await store.insert(each)
    listed = await store.list(owner=owner, before=FIRST, limit=10)
    assert [each.id for each in listed] == ["prj_4", "prj_3", "prj_2", "prj_1"]
    listed = await store.list(owner=owner, before="prj_4", limit=2)
    assert [each.id for each in listed] == ["prj_3", "prj_2"]
    assert await store.list(owner=owner, before="prj_1", limit=2) == []


async def test_every_new_id_comes_after_the_first_position(store: Store) -> None:
    assert new_id("prj", SystemClock()) < FIRST


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=LINE, description=LINE, labels=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True), LINE)
)
async def test_any_text_survives(store: Store, name: str, description: str, labels: dict[str, str]) -> None:
    kept = project(name=name, description=description, labels=labels)
    await store.insert(kept)
    assert await store.get(kept.id, owner=kept.owner_id) == kept
