"""A gateway whose projects are kept by something that speaks HTTP/2 and, beyond that, behaves as badly as can be.

Every way of it, over HTTP: the caller gets a clear problem that says whether it may have been done, other plugins are
served meanwhile, and the next request, answered well, is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from acme.contracts.projects.v1 import Project
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.testing import Server
from tests.services import PROJECT
from tests.system.deployment import Deployment, Process, deployment, free_port, join, services
from tests.system.running import Person, Reply, call, check_problem
from tests.unit.acme.dispatch.nonsense import MAYBE, NEVER
from tests.unit.acme.dispatch.town import Act, Wild, hostile

WELL = bytes(Project(id=PROJECT, name="well"))


def well(wild: Wild, stream: int) -> None:
    wild.answer(stream, WELL)


def too_much(wild: Wild, stream: int) -> None:
    """More than a message may have, and says so."""
    wild.headers(stream)
    wild.data(stream, b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4, "big") + b"x" * MESSAGE_LIMIT)


def never(wild: Wild, stream: int) -> None:
    """Too late for any deadline."""


@dataclass
class Site:
    """A gateway, users, and what behaves badly; as the test says."""

    gateway: Process
    person: Person
    act: Act = well

    async def ask(self, verb: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(call, self.gateway.api, verb, path, body, token=self.person.token, headers=sent)

    async def until_well(self) -> None:
        """Returns when a well-behaved answer is one again: an address that failed is left out for a moment."""
        self.act = well
        async with asyncio.timeout(10):
            while (await self.ask("GET", f"/v1/projects/{PROJECT}")).status != 200:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("bad"), postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def site(one: Deployment) -> AsyncIterator[Site]:
    made: list[Site] = []
    async with hostile(lambda wild, stream: (made[0].act if made else well)(wild, stream)) as (address, _):
        users = f"grpc://127.0.0.1:{free_port()}"
        options = ("--gateway", "--only", "users", "--port", "0", "--listen", users)
        gateway = one.begin("gateway", *options, environ=services(projects=address))
        await asyncio.to_thread(gateway.wait_until_ready)
        made.append(Site(gateway, await asyncio.to_thread(join, gateway.api, "bad@example.com")))
        yield made[0]
        await asyncio.to_thread(gateway.kill)


BROKEN = {**MAYBE, "more than a message may have": too_much}


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_is_none_is_told_as_an_unknown_outcome(site: Site, act: Act) -> None:
    await site.until_well()
    site.act = act
    problem = check_problem(await site.ask("POST", "/v1/projects", {"name": "Bad"}), 503, "outcome_unknown")
    assert "is not known" in problem["detail"]
    assert (await site.ask("GET", "/v1/users/me")).status == 200
    await site.until_well()


@pytest.mark.parametrize("act", NEVER.values(), ids=NEVER.keys())
async def test_what_was_certainly_not_done_is_told_as_unreachable(site: Site, act: Act) -> None:
    await site.until_well()
    site.act = act
    check_problem(await site.ask("POST", "/v1/projects", {"name": "Bad"}), 503, "unreachable")
    assert (await site.ask("GET", "/v1/users/me")).status == 200
    await site.until_well()


async def test_an_answer_that_comes_too_late_is_told_at_the_deadline(site: Site) -> None:
    await site.until_well()
    site.act = never
    reply = await site.ask("POST", "/v1/projects", {"name": "Late"}, X_Request_Timeout="0.5")
    check_problem(reply, 504, "deadline_exceeded")
    assert (await site.ask("GET", "/v1/users/me")).status == 200
    await site.until_well()
