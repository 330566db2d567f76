"""A node comes up whole, or without the plugins that cannot, and goes down in the reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from acme_projects import plugin as projects
from acme_users import plugin as users
from structlog.testing import capture_logs

from acme import Plugin, Resources
from acme.authorise import authorise
from acme.config import ConfigError
from acme.contracts.projects.v1 import GetProjectRequest, Project, ProjectsBase, ProjectsStub
from acme.runtime.assembly import Node, assemble
from acme.runtime.databases import CannotStart
from acme.runtime.hosting import Placement
from acme.testing import Client, Platform, Server
from tests.services import PROJECT
from tests.unit.acme.runtime.plugins import configured, made, serving


@asynccontextmanager
async def failing(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
    raise RuntimeError("no luck today")
    yield ()


def broken(plugin: Plugin) -> Plugin:
    """The plugin with a service that never starts."""
    return made(plugin.name, contracts=plugin.contracts, service=failing)


@asynccontextmanager
async def running(
    postgres: Server, data: Path, *plugins: Plugin, placement: Placement = "local"
) -> AsyncIterator[tuple[Node, Client]]:
    """A node of these plugins, and a client of nobody."""
    async with AsyncExitStack() as stack:
        config = await stack.enter_async_context(configured(postgres, data, *plugins))
        node = await stack.enter_async_context(assemble(config, plugins, placement=placement))
        yield node, await stack.enter_async_context(Client(node.url))


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_a_node_with_all_plugins_is_ready(postgres: Server, tmp_path: Path, placement: Placement) -> None:
    async with running(postgres, tmp_path, users, projects, placement=placement) as (node, client):
        assert node.ready
        assert {entry.placement for entry in node.roster.entries.values()} == {placement}
        answer = (await client.get("/readyz")).expect(200)
        assert answer["plugins"] == {"users": "ok", "projects": "ok"}
        assert set(node.databases) == set(node.deliveries) == {"users", "projects"}


async def test_a_quarantined_plugins_routes_answer_503_and_the_others_work(postgres: Server, tmp_path: Path) -> None:
    async with running(postgres, tmp_path, users, broken(projects)) as (node, client):
        assert node.roster.entries["projects"].reason == "service: RuntimeError: no luck today"
        assert (await client.get("/readyz")).expect(200)["plugins"]["projects"] == "quarantined"
        account = {"email": "ada@example.com", "password": "correct horse battery staple", "display_name": "Ada"}
        (await client.post("/v1/users", account)).expect(202)
        del account["display_name"]
        session = (await client.post("/v1/sessions", account)).expect(201)
        async with Client(node.url, session["access_token"]) as ada:
            answer = await ada.get("/v1/projects")
        assert answer.status == 503
        assert b"luck" not in answer.body


async def test_without_the_authority_the_node_is_up_and_not_ready(postgres: Server, tmp_path: Path) -> None:
    async with running(postgres, tmp_path, broken(users), projects) as (node, client):
        assert not node.ready
        (await client.get("/healthz")).expect(200)
        assert (await client.get("/readyz")).expect(503)["checks"]["tokens"] != "ok"


async def test_settings_for_a_plugin_that_is_not_installed_stop_the_start(postgres: Server, tmp_path: Path) -> None:
    plugin = made()
    async with configured(postgres, tmp_path, plugin, values={"plugins": {"mode": {}}}) as config:
        with pytest.raises(ConfigError, match=r"plugins\.mode: no such plugin is installed\. Did you mean made\?"):
            async with assemble(config, [plugin]):
                pass


async def test_a_second_node_on_one_data_folder_does_not_start(postgres: Server, tmp_path: Path) -> None:
    plugin = made()
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]):
        with pytest.raises(CannotStart, match="in use by process"):
            async with assemble(config, [plugin]):
                pass


async def test_services_stop_after_the_gateway_and_before_their_databases(postgres: Server, tmp_path: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        yield ()
        seen.append(f"database answers {await resources.database.fetchval('SELECT 1')}")
        try:
            async with Client(url) as client:
                await client.get("/healthz")
        except OSError:
            seen.append("gateway is closed")

    plugin = made(service=service)
    async with running(postgres, tmp_path, plugin) as (node, _):
        url = node.url
    assert seen == ["database answers 1", "gateway is closed"]


async def test_metrics_of_every_part_are_in_one_place(postgres: Server, tmp_path: Path) -> None:
    async with running(postgres, tmp_path, made()) as (_, client):
        text = (await client.get("/metrics")).body.decode()
    for name in ("http_server_request_duration", "rpc_server_call", "acme_units_of_work", "acme_event_loop_stalls"):
        assert name in text


class Blocking(ProjectsBase):
    """Blocks the event loop, where nobody may."""

    async def get_project(self, message: GetProjectRequest) -> Project:
        authorise.own("projects.read")
        time.sleep(0.6)  # noqa: ASYNC251 - what is told of it is the thing under test
        return Project(id=message.id)


@pytest.mark.parametrize("placement", ["local", "loopback", "grpc"])
async def test_a_method_that_blocks_the_event_loop_is_named(postgres: Server, placement: Placement) -> None:
    plugin = made("projects", contracts=(ProjectsBase,), service=serving(Blocking()))
    with capture_logs() as lines:
        async with Platform.start([plugin], placement=placement, server=postgres) as platform:
            stub = platform.stub(ProjectsStub, as_=platform.somebody())
            named: list[MutableMapping[str, Any]] = []
            # Where the loop stood still just before, on a busy machine, the block is taken for a part of that: told once.
            async with asyncio.timeout(30):
                while not named:
                    assert (await stub.get_project(GetProjectRequest(id=PROJECT))).id == PROJECT
                    named = [line for line in lines if line["event"] == "event loop blocked" and line["method"]]
            text = (await platform.client().get("/metrics")).body.decode()
    (line,) = named
    method = "acme.projects.v1.Projects/GetProject"
    assert (line["plugin"], line["method"], line["file"]) == ("projects", method, __file__)
    assert line["line"] == Blocking.get_project.__code__.co_firstlineno + 2
    assert f'acme_event_loop_stalls_total{{method="{method}",plugin="projects"}} 1.0' in text
