"""The way to plugins in other processes: here both sides are nodes of this process, with a socket between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from acme_projects import plugin as projects
from acme_users import plugin as users

from acme import Plugin
from acme.dispatch import describe
from acme.dispatch.remote import View
from acme.runtime import neighbours
from acme.runtime.assembly import Node, assemble
from acme.runtime.databases import CannotStart
from acme.runtime.roles import Role
from acme.runtime.settings import load
from acme.testing import Client, Server
from acme.testing.databases import migrated
from tests.versions import version, with_more

KEY = "a" * 43 + "="
EDGE = Role(gateway=True, host=frozenset(), alone=False)
LIMIT = 10.0


class Site:
    """One platform: a data folder, databases, and processes as nodes."""

    def __init__(self, data: Path, server: str, urls: dict[str, str]) -> None:
        self.data, self.server, self.urls = data, server, urls
        self.places = {name: f"grpc+unix://{data}/run/{name}.grpc" for name in urls}

    def node(self, role: Role) -> Any:
        """A node in this role, on the same databases as the others."""
        hosted = role.host or frozenset()
        config = load(
            values={
                "platform": {"data": str(self.data), "public_url": "https://acme.test"},
                "gateway": {"port": 0, "access_log": False},
                "bus": {"url": "outbox:"},
                "database": {"url": self.server, "urls": self.urls, "connections": 2},
                "secrets": {"master_key": KEY},
                "services": {name: place for name, place in self.places.items() if name not in hosted},
                "worker": {"listen": self.places[next(iter(hosted))] if hosted else "grpc://127.0.0.1:0"},
            }
        )
        return assemble(config, [users, projects], role=role)

    def worker(self, plugin: Plugin) -> Any:
        return self.node(Role(gateway=False, host=frozenset({plugin.name}), alone=False))


@pytest.fixture
async def site(postgres: Server, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        urls = {
            plugin.name: postgres.url(await stack.enter_async_context(migrated(postgres, plugin)))
            for plugin in (users, projects)
        }
        yield Site(tmp_path, postgres.url("postgres"), urls)


async def health(node: Node) -> dict[str, str]:
    async with Client(node.url) as client:
        answer: dict[str, str] = (await client.get("/readyz")).json["plugins"]
        return answer


async def until_health(node: Node, **wanted: str) -> None:
    async with asyncio.timeout(LIMIT):
        while await health(node) != wanted:  # noqa: ASYNC110 - what another process does has no event here
            await asyncio.sleep(0.02)


async def test_a_gateway_finds_its_workers(site: Site) -> None:
    async with site.worker(users), site.worker(projects), site.node(EDGE) as edge:
        assert edge.ready
        assert edge.mode == "none"
        assert await health(edge) == {"users": "ok", "projects": "ok"}
        assert {each.plugin: each.version for each in edge.neighbours} == {
            "users": users.version,
            "projects": projects.version,
        }
        assert {entry.placement for entry in edge.roster.entries.values()} == {"remote"}
        (place,) = next(each for each in edge.neighbours if each.plugin == "users").places()
        assert place == f"{site.places['users']} ready"


async def test_one_that_goes_is_noticed_and_so_is_its_return(site: Site) -> None:
    async with site.worker(users), AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(site.worker(projects))
        edge = await stack.enter_async_context(site.node(EDGE))
        await first.aclose()
        await until_health(edge, users="ok", projects="unreachable")
        assert edge.ready
        await stack.enter_async_context(site.worker(projects))
        await until_health(edge, users="ok", projects="ok")


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, workers describe the contract of projects as another one, and do not show it."""
    served = describe.served

    def told(host: Any) -> Any:
        said = served(host)
        said.digest = "another" if host.plugin == "projects" else said.digest
        return said

    def begin() -> None:
        monkeypatch.setattr(describe, "served", told)
        monkeypatch.setattr(describe, "whole", lambda service: b"")

    return begin


async def test_one_that_keeps_another_contract_stops_the_start(site: Site, another: Callable[[], None]) -> None:
    async with site.worker(users), site.worker(projects):
        another()
        with pytest.raises(CannotStart) as caught:
            async with site.node(EDGE):
                pass
    told = str(caught.value)
    assert "the contract of the plugin projects differs" in told
    assert "install the same version of it on both sides" in told
    assert site.places["projects"] in told


async def test_one_found_later_to_keep_another_contract_loses_its_calls_alone(
    site: Site, another: Callable[[], None]
) -> None:
    async with site.worker(users), AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(site.worker(projects))
        edge = await stack.enter_async_context(site.node(EDGE))
        await first.aclose()
        await until_health(edge, users="ok", projects="unreachable")
        another()
        await stack.enter_async_context(site.worker(projects))
        await until_health(edge, users="ok", projects="contract differs")
        assert edge.ready


async def test_one_whose_contract_is_ahead_and_compatible_is_called_and_shown(
    site: Site, another: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    another()
    monkeypatch.setattr(describe, "whole", lambda service: version(service, "Project", with_more))
    async with site.worker(users), site.worker(projects), site.node(EDGE) as edge:
        await until_health(edge, users="ok", projects="ok")
        (neighbour,) = [one for one in edge.neighbours if one.plugin == "projects"]
        assert neighbour.places() == (f"{site.places['projects']} ready (compatible contract)",)


async def test_an_address_that_nobody_could_use_stops_the_start(site: Site) -> None:
    site.places["users"] = "grpc+unix:///" + "x" * 120
    with pytest.raises(CannotStart, match=r"\[services\] users: .* at most 100 bytes"):
        async with site.node(EDGE):
            pass


def view(state: str, stranger: bool = False, **services: str) -> View:
    return View("grpc://a:1", state, "", 0, stranger, {f"{name}.v1": said for name, said in services.items()}, {})


@pytest.mark.parametrize(
    ("views", "state"),
    [
        ([], "unreachable"),
        ([view("failing", things="ok")], "unreachable"),
        ([view("connecting")], "unreachable"),
        ([view("ready", things="ok")], "up"),
        ([view("failing"), view("ready", things="ok")], "up"),
        ([view("ready", stranger=True)], "up"),
        ([view("ready", things="contract differs")], "contract differs"),
        ([view("ready", things="contract differs"), view("ready", things="ok")], "up"),
        ([view("ready", others="ok")], "not served"),
    ],
)
def test_one_address_that_can_be_used_is_enough(views: list[View], state: str) -> None:
    assert neighbours._state("things.v1", views) == state
