"""The table of projects, one row at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from acme_projects.store import ProjectStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme import Scope
from acme.contract import ROLES
from acme.contracts.projects.v1 import Project
from acme.drivers.clock import SystemClock
from acme.ids import new_id
from acme.ports import UniqueViolation
from acme.testing.databases import FreshDatabase

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.fixture
def store(database: FreshDatabase) -> ProjectStore:
    return ProjectStore(database)


def project(**values: Any) -> Project:
    """A project that nobody has yet; its owner is somebody new."""
    clock = SystemClock()
    fields: dict[str, Any] = {
        "id": new_id("prj", clock),
        "organization_id": new_id("org", clock),
        "owner_id": new_id("usr", clock),
        "name": "Atlas",
        "description": "Maps",
        "labels": {"team": "north"},
        "region": "local",
        "created_at": AT,
        "updated_at": AT,
        "version": 1,
    }
    return Project(**(fields | values))


def of(kept: Project, *, subject: str = "", least: str = "viewer") -> Scope:
    """The scope of the project's owner, or of somebody else in the organisation, by a role on the project."""
    roles = ROLES[ROLES.index(least) :]
    return Scope(subject or kept.owner_id, (subject or kept.owner_id,), (), (kept.organization_id,), roles)


NOWHERE = Scope("usr_x", ("usr_x",), (), (), ROLES)


async def shown(store: ProjectStore, kept: Project) -> list[Project]:
    return await store.visible([kept.id], read=of(kept), deleted=of(kept), at=LATER)


async def test_what_is_inserted_is_what_comes_back(store: ProjectStore) -> None:
    kept = project(labels={"a": "é", "b": ""}, archived=True, version=7)
    await store.insert(kept)
    assert await shown(store, kept) == [kept]


async def test_an_id_is_given_once(store: ProjectStore) -> None:
    kept = project()
    await store.insert(kept)
    with pytest.raises(UniqueViolation) as caught:
        await store.insert(kept)
    assert caught.value.constraint == "projects_pkey"


async def test_the_owner_is_its_first_member(store: ProjectStore, database: FreshDatabase) -> None:
    kept = project()
    await store.insert(kept)
    rows = await database.fetch("SELECT * FROM project_members WHERE project_id = $1", kept.id)
    assert [tuple(row) for row in rows] == [(kept.id, kept.owner_id, kept.organization_id, "owner", AT, 1)]


async def test_out_of_scope_there_is_nothing(store: ProjectStore) -> None:
    kept = project()
    await store.insert(kept)
    foreign = dataclasses.replace(of(kept), memberships=())
    for scope in (NOWHERE, foreign, of(kept, subject="usr_other")):
        assert await store.visible([kept.id], read=scope, deleted=scope, at=LATER) == []
        assert await store.standing(kept.id, allowed=scope, seen=scope, at=LATER) is None


async def test_standing_tells_seeing_from_being_allowed(store: ProjectStore) -> None:
    kept = project()
    await store.insert(kept)
    standing = await store.standing(kept.id, allowed=NOWHERE, seen=of(kept), at=LATER)
    assert standing is not None
    assert (standing.project, standing.allowed, standing.roles) == (kept, False, ())
    standing = await store.standing(kept.id, allowed=of(kept, least="owner"), seen=NOWHERE, at=LATER)
    assert standing is not None
    assert (standing.allowed, standing.roles) == (True, ("owner",))


async def test_what_is_written_is_a_version_more(store: ProjectStore) -> None:
    kept = project()
    await store.insert(kept)
    wanted = dataclasses.replace(kept, name="B", description="", labels={}, archived=True, owner_id="usr_b")
    changed = await store.write(wanted, at=LATER)
    assert changed == dataclasses.replace(wanted, updated_at=LATER, version=2)
    with pytest.raises(LookupError):
        await store.write(project(), at=LATER)


async def test_a_deleted_one_is_found_in_the_scope_of_deletion_until_it_is_purged(store: ProjectStore) -> None:
    kept = project()
    await store.insert(kept)
    gone = await store.write(dataclasses.replace(kept, deleted_at=AT), at=AT, purge_at=LATER)
    assert await store.visible([kept.id], read=of(kept), deleted=NOWHERE, at=AT) == []
    assert await store.visible([kept.id], read=NOWHERE, deleted=of(kept), at=AT) == [gone]
    assert await store.visible([kept.id], read=of(kept), deleted=of(kept), at=LATER) == []
    assert await store.standing(kept.id, allowed=NOWHERE, seen=of(kept), at=AT) is None
    assert await store.purge(at=AT, limit=10) == []
    assert await store.purge(at=LATER, limit=10) == [(kept.id, kept.organization_id)]
    assert await store.organization(kept.id) is None


async def test_a_purge_takes_no_more_than_its_limit(store: ProjectStore) -> None:
    for _ in range(5):
        kept = project()
        await store.insert(kept)
        await store.write(dataclasses.replace(kept, deleted_at=AT), at=AT, purge_at=AT)
    assert [len(await store.purge(at=LATER, limit=2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_change_waits_for_the_one_before_and_sees_what_it_did(database: FreshDatabase) -> None:
    """Also what it did to the members: the decision comes in a statement after the lock."""
    kept = project()
    async with database.connection() as first, database.connection() as second:
        await ProjectStore(first).insert(kept)
        await first.begin()
        await second.begin()
        await ProjectStore(first).lock(kept.id)
        await first.execute("DELETE FROM project_members WHERE project_id = $1", kept.id)
        pid = await second.fetchval("SELECT pg_backend_pid()")
        await asyncio.gather(ProjectStore(second).lock(kept.id), commit_when_blocked(database, pid, first))
        assert await ProjectStore(second).standing(kept.id, allowed=of(kept), seen=of(kept), at=LATER) is None
        await second.rollback()


async def commit_when_blocked(database: FreshDatabase, pid: int, holder: Any) -> None:
    """Commits once the other connection waits for this one's lock."""
    async with asyncio.timeout(10):
        while not await database.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
            pass
    await holder.commit()


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=LINE, description=LINE, labels=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True), LINE)
)
async def test_any_text_survives(store: ProjectStore, name: str, description: str, labels: dict[str, str]) -> None:
    kept = project(name=name, description=description, labels=labels)
    await store.insert(kept)
    assert await shown(store, kept) == [kept]
