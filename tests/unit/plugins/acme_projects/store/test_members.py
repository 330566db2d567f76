"""The tables of project members: pages, departures and inheritance."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_projects.store import MemberStore, ProjectStore

from acme.contracts.projects.v1 import Project
from acme.ports import UniqueViolation
from acme.testing.databases import FreshDatabase
from tests.unit.plugins.acme_projects.store.test_projects import AT, LATER, NOWHERE, of, project


@pytest.fixture
def store(database: FreshDatabase) -> MemberStore:
    return MemberStore(database)


@pytest.fixture
async def kept(database: FreshDatabase) -> Project:
    made = project()
    await ProjectStore(database).insert(made)
    return made


async def subjects(store: MemberStore, kept: Project, *, after: str = "", limit: int = 10) -> list[str]:
    page = await store.page(kept.id, allowed=of(kept), seen=NOWHERE, after=(AT, after), limit=limit)
    assert page is not None
    assert page.allowed
    return [member.subject_id for member in page.members]


async def test_a_page_is_in_the_order_of_joining_and_begins_after_a_position(store: MemberStore, kept: Project) -> None:
    for subject, delay in (("usr_c", 1), ("usr_b", 0), ("usr_a", 2)):
        await store.add(kept.id, subject, "viewer", at=AT + timedelta(seconds=delay))
    assert await subjects(store, kept) == [*sorted((kept.owner_id, "usr_b")), "usr_c", "usr_a"]
    assert await subjects(store, kept, after="zzz", limit=1) == ["usr_c"]


async def test_a_page_tells_who_may_not_see_members_from_who_sees_nothing(store: MemberStore, kept: Project) -> None:
    page = await store.page(kept.id, allowed=NOWHERE, seen=of(kept), after=(AT, ""), limit=1)
    assert page == (False, [])
    assert await store.page(kept.id, allowed=NOWHERE, seen=NOWHERE, after=(AT, ""), limit=1) is None


async def test_a_member_is_added_once_changed_and_removed(store: MemberStore, kept: Project) -> None:
    added = await store.add(kept.id, "usr_a", "viewer", at=LATER)
    assert added is not None
    assert (added.role, added.joined_at, added.version) == ("viewer", LATER, 1)
    assert await store.add(kept.id, "usr_a", "admin", at=LATER) is None
    changed = await store.set_role(kept.id, "usr_a", "admin")
    assert changed is not None
    assert (changed.role, changed.joined_at, changed.version) == ("admin", LATER, 2)
    assert await store.roles(kept.id, ["usr_a", kept.owner_id, "usr_b"]) in (["admin", "owner"], ["owner", "admin"])
    await store.remove(kept.id, "usr_a")
    assert await store.get(kept.id, "usr_a") is None
    assert await store.set_role(kept.id, "usr_a", "admin") is None


async def test_a_project_has_one_owner(store: MemberStore, kept: Project) -> None:
    with pytest.raises(UniqueViolation) as caught:
        await store.add(kept.id, "usr_a", "owner", at=LATER)
    assert caught.value.constraint == "project_members_owner"


async def test_an_invitation_is_used_once(store: MemberStore, kept: Project) -> None:
    assert [await store.use(kept.id, "inv_1") for _ in range(2)] == [True, False]
    assert await store.use(kept.id, "inv_2")


async def test_departures_go_in_batches_and_say_whether_more_may_follow(
    store: MemberStore, database: FreshDatabase
) -> None:
    organization = project().organization_id
    made = [project(organization_id=organization, owner_id="usr_a") for _ in range(3)]
    for each in made:
        await ProjectStore(database).insert(each)
    found: list[str] = []
    while True:
        departure = await store.leave(organization, "usr_a", left_at=LATER, heir="usr_h", at=LATER, limit=2)
        found += departure.projects
        assert [each.owner_id for each in departure.inherited] == ["usr_h"] * len(departure.projects)
        if not departure.more:
            break
    assert found == sorted(each.id for each in made)


async def test_who_has_no_heir_keeps_what_it_owns(store: MemberStore, kept: Project) -> None:
    departure = await store.leave(kept.organization_id, kept.owner_id, left_at=LATER, heir="", at=LATER, limit=9)
    assert (departure.projects, departure.inherited, departure.more) == ((), (), False)


async def test_who_joined_after_leaving_stays(store: MemberStore, kept: Project) -> None:
    await store.add(kept.id, "usr_a", "viewer", at=LATER)
    departure = await store.leave(kept.organization_id, "usr_a", left_at=AT, heir="", at=LATER, limit=9)
    assert departure.projects == ()
    assert await store.get(kept.id, "usr_a") is not None
