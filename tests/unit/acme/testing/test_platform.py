"""A running platform for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.config import ConfigError
from acme.contracts.projects.v1 import CreateProjectRequest, ListProjectsRequest, ProjectCreated, ProjectsStub
from acme.plugin import Plugin, Resources
from acme.testing import PASSWORD, Platform, Server
from tests.waiting import BUSY, until


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [users_plugin, projects_plugin]


@asynccontextmanager
async def _broken(resources: Resources[object]) -> AsyncIterator[Sequence[object]]:
    raise RuntimeError("no licence")
    yield ()


async def test_who_signed_up_can_call_over_http_and_by_contract(platform: Platform) -> None:
    ada = await platform.sign_up(display_name="Ada")
    me = (await platform.client(ada).get("/v1/users/me")).expect(200)
    assert (me["id"], me["email"], me["email_verified"]) == (ada.id, ada.email, True)
    made = await platform.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="Atlas"))
    assert (await platform.client(ada).get(f"/v1/projects/{made.id}")).expect(200)["owner_id"] == ada.id


async def test_a_client_without_a_user_is_anonymous(platform: Platform) -> None:
    (await platform.client().get("/v1/users/me")).expect(401)


async def test_who_was_made_up_cannot_call_over_http(platform: Platform) -> None:
    with pytest.raises(ValueError, match="sign them up"):
        platform.client(platform.somebody())


async def test_logging_in_again_makes_another_session_of_the_same_user(platform: Platform) -> None:
    ada = await platform.sign_up()
    again = await platform.log_in(ada.email, password=PASSWORD)
    assert again.id == ada.id
    assert again.principal.session != ada.principal.session
    assert platform.principal(again) == again.principal


async def test_moving_the_clock_moves_it_for_the_services(platform: Platform) -> None:
    ada = await platform.sign_up()
    (await platform.client(ada).get("/v1/users/me")).expect(200)
    platform.clock.advance(timedelta(minutes=11))
    assert (await platform.client(ada).get("/v1/users/me")).expect(401)["code"] == "token_expired"
    (await platform.client(await platform.log_in(ada.email)).get("/v1/users/me")).expect(200)


async def test_the_outbox_shows_what_was_published(platform: Platform) -> None:
    ada = platform.somebody()
    made = await platform.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="Atlas"))
    assert await platform.outbox("projects", key=made.id) == [ProjectCreated(project_id=made.id, project=made)]


async def test_with_a_bus_what_was_published_is_read_from_its_topic(postgres: Server) -> None:
    async with Platform.start([projects_plugin], events=True, server=postgres) as platform:
        ada = platform.somebody()
        stub = platform.stub(ProjectsStub, as_=ada)
        one = await stub.create_project(CreateProjectRequest(name="Atlas"))
        two = await stub.create_project(CreateProjectRequest(name="Apollo"))

        async def arrived() -> bool:
            return len(await platform.published("acme.projects.events")) == 2 and not await platform.outbox("projects")

        await until(arrived, 5 + BUSY)
        created = [ProjectCreated(project_id=each.id, project=each) for each in (one, two)]
        assert await platform.published("acme.projects.events", key=two.id) == [created[1]]
        both = {event.project_id: event for event in await platform.published("acme.projects.events")}
        assert both == {event.project_id: event for event in created}
        assert await platform.published("acme.users.events") == []


async def test_without_a_bus_there_is_nothing_to_read_from_it(platform: Platform) -> None:
    with pytest.raises(RuntimeError, match="events=True"):
        await platform.published("acme.projects.events")


async def test_two_platforms_on_one_server_share_nothing(platform: Platform, postgres: Server) -> None:
    async with Platform.start([projects_plugin], server=postgres) as other:
        ada = other.somebody()
        await other.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="Atlas"))
        here = platform.stub(ProjectsStub, as_=ada)
        assert (await here.list_projects(ListProjectsRequest())).projects == []
        assert other.data != platform.data
        assert other.url != platform.url
    assert not other.data.exists()


async def test_a_plugin_that_does_not_come_up_fails_the_start_and_says_why(postgres: Server) -> None:
    broken = dataclasses.replace(projects_plugin, service=_broken)
    with pytest.raises(AssertionError, match=r"projects: service: RuntimeError: no licence"):
        async with Platform.start([broken], server=postgres):
            pass


async def test_settings_go_over_the_kits_own(postgres: Server) -> None:
    wanted = {"platform": {"region": "mars-north"}}
    async with Platform.start([projects_plugin], server=postgres, settings=wanted) as platform:
        projects = platform.stub(ProjectsStub, as_=platform.somebody())
        assert (await projects.create_project(CreateProjectRequest(name="Atlas"))).region == "mars-north"


async def test_wrong_settings_are_refused(postgres: Server) -> None:
    with pytest.raises(ConfigError, match="platfrom"):
        async with Platform.start([projects_plugin], server=postgres, settings={"platfrom": {}}):
            pass


async def test_without_a_server_one_is_there_for_as_long_as_the_platform() -> None:
    async with Platform.start([projects_plugin]) as platform:
        projects = platform.stub(ProjectsStub, as_=platform.somebody())
        assert (await projects.create_project(CreateProjectRequest(name="Atlas"))).version == 1
