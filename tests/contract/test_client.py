"""The Python client against a running platform, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.client import Client, Problem
from acme.plugin import Plugin
from acme.testing import Platform, User

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest.fixture
async def ann(platform: Platform) -> User:
    return await platform.sign_up()


@pytest.fixture
async def client(platform: Platform, ann: User) -> AsyncIterator[Client]:
    async with Client(platform.client(ann).origin) as client:
        await client.log_in(ann.email, ann.password)
        yield client


async def test_the_readmes_example(client: Client) -> None:
    project = await client.projects.create_project(name="Atlas", labels={"env": "prod"})
    await client.projects.create_project(name="Other")
    found = [found async for found in client.projects.list_projects(filter='labels.env = "prod"')]
    assert [one.id for one in found] == [project.id]


async def test_lists_are_read_over_pages(client: Client) -> None:
    made = {(await client.projects.create_project(name=f"Number {number}")).id for number in range(5)}
    listing = client.projects.list_projects(page_size=2)
    assert {project.id async for project in listing} == made
    assert [len(page.projects) async for page in listing.pages()] == [2, 2, 1]


async def test_changes_are_conditional_and_problems_say_what_is_wrong(client: Client) -> None:
    project = await client.projects.create_project(name="Atlas")
    changed = await client.projects.update_project(project.id, description="Maps", if_match=1)
    assert (changed.version, changed.name, changed.description) == (2, "Atlas", "Maps")
    with pytest.raises(Problem) as caught:
        await client.projects.update_project(project.id, name="Late", if_match=1)
    assert (caught.value.status, caught.value.code) == (412, "version_mismatch")
    with pytest.raises(Problem) as caught:
        await client.projects.create_project(name="")
    assert [fault.pointer for fault in caught.value.faults] == ["/name"]


async def test_a_repeated_key_is_done_once(client: Client) -> None:
    first = await client.projects.create_project(name="Atlas", idempotency_key="one")
    assert await client.projects.create_project(name="Atlas", idempotency_key="one") == first


async def test_settings_are_patched_with_nulls(client: Client) -> None:
    project = await client.projects.create_project(name="Atlas")
    first = await client.project_settings.update_project_settings(project.id, patch={"a": 1, "b": {"c": 2}}, if_match=0)
    second = await client.project_settings.update_project_settings(
        project.id, patch={"a": None, "b": {"d": True}}, if_match=first.version
    )
    assert second.settings is not None
    assert second.settings.to_dict() == {"b": {"c": 2.0, "d": True}}


async def test_an_access_token_that_has_died_is_renewed_once_for_all_who_wait(
    client: Client, platform: Platform
) -> None:
    platform.clock.advance(timedelta(hours=1))
    projects = [client.projects.create_project(name=name) for name in "abcdef"]
    assert len({project.id for project in await asyncio.gather(*projects)}) == 6


async def test_who_has_logged_out_is_nobody(client: Client) -> None:
    await client.log_out()
    with pytest.raises(Problem) as caught:
        await client.users.get_me()
    assert caught.value.status == 401


async def test_a_token_for_programs_is_good_for_a_client(client: Client, platform: Platform, ann: User) -> None:
    await client.step_up(ann.password)
    made = await client.tokens.create_token(name="ci", scopes=["projects.read"], expires_in_days=1)
    async with Client(platform.client(ann).origin, token=made.secret) as program:
        assert [project async for project in program.projects.list_projects()] == []
        with pytest.raises(Problem) as caught:
            await program.projects.create_project(name="Atlas")
    assert (caught.value.status, caught.value.code) == (403, "insufficient_scope")


async def test_schemas_and_the_history_of_settings_are_read(client: Client, ann: User) -> None:
    settings = client.project_settings
    project = await client.projects.create_project(name="Atlas")
    declared = await settings.set_settings_schema(ann.organization, schema={"type": "object"})
    assert await settings.get_settings_schema(ann.organization) == declared
    for version in range(3):
        await settings.update_project_settings(project.id, patch={"number": version}, if_match=version)
    history = settings.list_project_settings_history(project.id, page_size=2)
    assert [kept.version async for kept in history] == [3, 2, 1]
