"""Versions of settings and the schemas declared for them, as the tables keep them."""

from __future__ import annotations

import pytest
from acme_projects.store import ProjectStore, SettingsStore
from acme_projects.store.settings import Schema, Version

from acme.testing.databases import FreshDatabase
from tests.unit.plugins.acme_projects.store.test_projects import AT, LATER, project


@pytest.fixture
def store(database: FreshDatabase) -> SettingsStore:
    return SettingsStore(database)


@pytest.fixture
async def kept(database: FreshDatabase) -> str:
    made = project()
    await ProjectStore(database).insert(made)
    return made.id


def version(number: int) -> Version:
    return Version(number, {"number": number}, AT, "usr_a")


async def test_the_youngest_version_is_the_current_one(store: SettingsStore, kept: str) -> None:
    assert await store.current(kept) is None
    for number in (1, 2):
        await store.add(kept, version(number), keep=100)
    assert await store.current(kept) == version(2)


async def test_only_the_youngest_versions_are_kept(store: SettingsStore, kept: str) -> None:
    for number in range(1, 8):
        await store.add(kept, version(number), keep=3)
    assert await store.history(kept, before=None, limit=10) == [version(number) for number in (7, 6, 5)]
    assert await store.history(kept, before=7, limit=1) == [version(6)]


async def test_a_schema_is_changed_in_the_version_that_was_meant(store: SettingsStore) -> None:
    async def change(name: str, wanted: int | None) -> Schema | None:
        return await store.set_schema("org_a", {"title": name}, version=wanted, at=AT, by="usr_a")

    assert await store.schema("org_a") is None
    assert await change("a", 1) is None
    assert await change("a", 0) == Schema({"title": "a"}, 1)
    assert await change("b", 0) is None
    assert await change("b", 1) == Schema({"title": "b"}, 2)
    assert await change("c", None) == Schema({"title": "c"}, 3)
    assert await store.schema("org_a") == Schema({"title": "c"}, 3)


async def test_each_plugin_has_the_schema_it_declared_last(store: SettingsStore) -> None:
    await store.declare("weather", {"title": "a"}, at=AT)
    await store.declare("files", {"title": "b"}, at=AT)
    await store.declare("weather", {"title": "c"}, at=LATER)
    assert await store.plugin_schemas() == {"files": {"title": "b"}, "weather": {"title": "c"}}
