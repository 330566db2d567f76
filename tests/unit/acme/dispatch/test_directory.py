"""Clients are stable, whatever happens to the services behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from acme import current
from acme.context import CALL, Call
from acme.contract import Method
from acme.contracts.projects.v1 import ArchiveProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.contracts.users.v1 import GetMeRequest, UsersStub
from acme.dispatch import Directory, Host
from acme.dispatch.serve import Serve
from acme.dispatch.status import UNREACHABLE
from acme.dispatch.streams import Streamed
from acme.errors import Refused, Unavailable
from tests.services import CONTRACTS, PROJECT, Projects, Stage, calling
from tests.unit.acme.dispatch.town import Town, asking

GET = GetProjectRequest(id=PROJECT)
SERVICE = CONTRACTS.service_of(ProjectsStub)


@pytest.fixture
def directory(stage: Stage) -> Directory:
    return Directory(stage.pipeline)


@pytest.fixture(autouse=True)
def _calling() -> Iterator[None]:
    with calling():
        yield


def projects(name: str) -> Projects:
    async def script(message: Any) -> Any:
        current().decided = True
        return Project(name=f"{name} for {current().service}")

    instance = Projects()
    instance.script = script
    return instance


async def test_a_client_reaches_its_service_as_soon_as_it_is_hosted(directory: Directory) -> None:
    client = directory.named("gateway").client(ProjectsStub)
    method = client.get_project
    for call in (client.get_project, method):
        with pytest.raises(Unavailable) as caught:
            await call(GET)
        assert caught.value.reason == UNREACHABLE
    directory.host(Host(SERVICE, projects("one"), "projects"))
    for call in (client.get_project, method):
        assert (await call(GET)).name == "one for gateway"


async def test_a_client_follows_its_service_from_place_to_place(directory: Directory) -> None:
    client = directory.named("gateway").client(ProjectsStub)
    directory.host(Host(SERVICE, projects("one"), "projects"), "local")
    assert (await client.get_project(GET)).name == "one for gateway"
    directory.withdraw(SERVICE)
    with pytest.raises(Unavailable) as caught:
        await client.get_project(GET)
    assert caught.value.reason == UNREACHABLE
    directory.host(Host(SERVICE, projects("two"), "projects"), "loopback")
    assert (await client.get_project(GET)).name == "two for gateway"


def over_a_wire(reply: Project) -> tuple[bytes, ...]:
    return (reply.name.encode(),)


def fresh(reply: Project) -> tuple[bytes, ...]:
    return reply.name.encode(), b"fresh"


async def test_the_gateway_lets_calls_in_as_it_says_wherever_their_service_is(directory: Directory) -> None:
    gateway = directory.named("gateway")
    method = next(one for one in SERVICE.methods if one.attr == "get_project")
    entry = gateway.entry(method, over_a_wire, fresh)
    call = replace(CALL.get(), method=method.path[1:], service="somebody")

    async def name() -> bytes:
        reply: tuple[bytes, ...] = await entry.send(call, GET)
        return b" ".join(reply)

    with pytest.raises(Unavailable) as caught:
        await name()
    assert caught.value.reason == UNREACHABLE
    directory.host(Host(SERVICE, projects("one"), "projects"), "local")
    assert await name() == b"one for somebody fresh"
    directory.withdraw(SERVICE)
    directory.host(Host(SERVICE, projects("two"), "projects"), "loopback")
    assert await name() == b"two for somebody"


async def test_what_lies_around_calls_lies_around_those_that_are_let_in(directory: Directory) -> None:
    directory.host(Host(SERVICE, projects("one"), "projects"))
    method = next(one for one in SERVICE.methods if one.attr == "get_project")
    entry = directory.named("gateway").entry(method, over_a_wire)

    class Shut:
        def call(self, method: Method, send: Serve) -> Serve:
            async def refuse(call: Call, message: Any) -> Any:
                raise Unavailable("shut")

            return refuse

        def stream(self, method: Method, send: Streamed) -> Streamed:
            return send

    directory.wrap(Shut())
    with pytest.raises(Unavailable, match="shut"):
        await entry.send(CALL.get(), GET)


async def test_what_lies_around_calls_sees_the_reply_and_not_what_is_made_of_it(directory: Directory) -> None:
    directory.host(Host(SERVICE, projects("one"), "projects"))
    method = next(one for one in SERVICE.methods if one.attr == "get_project")
    entry = directory.named("gateway").entry(method, over_a_wire, fresh)
    seen = []

    class Looking:
        def call(self, method: Method, send: Serve) -> Serve:
            async def look(call: Call, message: Any) -> Any:
                seen.append(await send(call, message))
                return seen[-1]

            return look

        def stream(self, method: Method, send: Streamed) -> Streamed:
            return send

    directory.wrap(Looking())
    assert await entry.send(CALL.get(), GET) == (seen[0].name.encode(),)
    assert type(seen[0]) is Project


def test_a_stream_does_not_come_in_by_an_entry(directory: Directory) -> None:
    streaming = replace(SERVICE.methods[0], server_streaming=True)
    with pytest.raises(ValueError, match="streams"):
        directory.named("gateway").entry(streaming, over_a_wire)


def test_nobody_but_the_gateway_says_who_is_calling(directory: Directory) -> None:
    with pytest.raises(RuntimeError, match="users"):
        directory.named("users").entry(SERVICE.methods[0], over_a_wire)


async def test_every_caller_has_one_client_that_calls_in_its_name(directory: Directory) -> None:
    directory.host(Host(SERVICE, projects("one"), "projects"))
    gateway, users = directory.named("gateway"), directory.named("users")
    assert gateway.client(ProjectsStub) is gateway.client(ProjectsStub) is not users.client(ProjectsStub)
    assert isinstance(gateway.client(ProjectsStub), ProjectsStub)
    assert (await users.client(ProjectsStub).get_project(GET)).name == "one for users"


def test_a_service_is_hosted_once(directory: Directory) -> None:
    directory.host(Host(SERVICE, projects("one"), "projects"))
    assert directory.hosts[SERVICE.name].plugin == "projects"
    with pytest.raises(ValueError, match="is kept by projects"):
        directory.host(Host(SERVICE, projects("two"), "other"))


def test_a_contract_that_is_not_loaded_has_no_client(directory: Directory) -> None:
    with pytest.raises(KeyError, match="no loaded contract"):
        directory.client(object)


async def test_a_service_that_passes_on_that_it_could_not_reach_another_was_itself_reached(
    directory: Directory,
) -> None:
    """Else a caller would take the failure of a service behind its callee for one of the way to its callee."""
    missing = directory.named("projects").client(UsersStub)

    async def script(message: Any) -> Any:
        await missing.get_me(GetMeRequest())

    instance = Projects()
    instance.script = script
    directory.host(Host(SERVICE, instance, "projects"))
    with pytest.raises(Unavailable) as caught:
        await directory.named("gateway").client(ProjectsStub).get_project(GET)
    assert caught.value.reason == "unavailable"


async def test_a_method_that_a_service_left_out_is_unimplemented(directory: Directory) -> None:
    directory.host(Host(SERVICE, projects("one"), "projects"))
    with pytest.raises(Refused) as caught:
        await directory.named("gateway").client(ProjectsStub).archive_project(ArchiveProjectRequest(id=PROJECT))
    assert caught.value.code == "unimplemented"


async def test_a_client_follows_its_service_to_another_process_and_back(directory: Directory, town: Town) -> None:
    client = directory.named("gateway").client(ProjectsStub)
    worker = await town.worker()
    worker.projects.script = projects("far").script
    remote = town.remote(worker.address)
    directory.connect(SERVICE, remote)
    assert directory.remotes[SERVICE.name] is remote
    with asking():
        assert (await client.get_project(GET)).name == "far for gateway"
    with pytest.raises(ValueError, match="is kept at"):
        directory.host(Host(SERVICE, projects("near"), "projects"))
    with pytest.raises(ValueError, match="is kept at"):
        directory.connect(SERVICE, remote)
    directory.disconnect(SERVICE)
    with pytest.raises(Unavailable):
        await client.get_project(GET)
    directory.host(Host(SERVICE, projects("near"), "projects"))
    assert (await client.get_project(GET)).name == "near for gateway"
    with pytest.raises(ValueError, match="is kept by"):
        directory.connect(SERVICE, remote)
