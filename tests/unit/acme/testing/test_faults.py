"""Faults on the way of a call: what each does, and what it finds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from acme_projects import plugin as projects_plugin

from acme.context import ANONYMOUS, Call, IdempotencyKey
from acme.contract import Method
from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectCreated,
    ProjectsStub,
)
from acme.errors import Conflict, NotFound, Unavailable
from acme.runtime.hosting import Placement
from acme.testing import PLACEMENTS, Platform, Server
from acme.testing.faults import DELAY, REPEATS, Fault, around, crashes
from tests.services import ANN, CONTRACTS

METHODS = {method.name: method for method in CONTRACTS.services["acme.projects.v1.Projects"].methods}
REPEATABLE = dataclasses.replace(METHODS["ArchiveProject"], idempotent=True)
"""As a method that is declared idempotent."""
Answer = Callable[[], Any]


def call(**changes: Any) -> Call:
    made = Call("acme.projects.v1.Projects/X", ANN, "req_1", math.inf, service="gateway")
    return dataclasses.replace(made, **changes)


class Callee:
    """Answers with the next of what it was given, and keeps the calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.calls = list(answers), list[Call]()

    async def __call__(self, call: Call, message: Any) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sent(fault: Fault, method: Method, callee: Callee, message: Any, **changes: Any) -> Coroutine[Any, Any, Any]:
    return around(fault)(method, callee)(call(**changes), message)


ONE, OTHER = Project(id="1"), Project(id="2")
CREATE, ARCHIVE, LIST = CreateProjectRequest(name="x"), ArchiveProjectRequest(id="1"), ListProjectsRequest()


async def test_a_clean_call_is_sent_as_it_is() -> None:
    callee = Callee(ONE)
    made = call()
    assert await around("clean")(METHODS["CreateProject"], callee)(made, CREATE) is ONE
    assert callee.calls[0] is made


async def test_a_users_change_is_sent_twice_with_one_key() -> None:
    callee = Callee(ONE, ONE)
    assert await sent("duplicated", METHODS["CreateProject"], callee, CREATE) is ONE
    first, second = callee.calls
    assert first is not second
    assert first.idempotency is not None
    assert first.idempotency == second.idempotency


async def test_a_key_that_is_there_stays() -> None:
    callee, key = Callee(ONE, ONE), IdempotencyKey("mine", b"")
    await sent("duplicated", METHODS["CreateProject"], callee, CREATE, idempotency=key)
    assert [each.idempotency for each in callee.calls] == [key, key]


async def test_what_is_declared_idempotent_is_sent_twice_without_a_key() -> None:
    callee = Callee(ONE, ONE)
    await sent("duplicated", REPEATABLE, callee, ARCHIVE)
    assert [each.idempotency for each in callee.calls] == [None, None]


@pytest.mark.parametrize("second", [OTHER, Conflict("archived already")], ids=["another reply", "a refusal"])
async def test_a_second_answer_that_differs_is_an_error_that_names_the_method(second: Any) -> None:
    with pytest.raises(AssertionError, match=r"Projects/ArchiveProject was sent twice"):
        await sent("duplicated", REPEATABLE, Callee(ONE, second), ARCHIVE)


async def test_page_tokens_may_differ_and_may_not_vanish() -> None:
    first, second = ListProjectsReply(next_page_token="a"), ListProjectsReply(next_page_token="b")
    assert await sent("duplicated", METHODS["ListProjects"], Callee(first, second), LIST) is first
    with pytest.raises(AssertionError):
        await sent("duplicated", METHODS["ListProjects"], Callee(first, ListProjectsReply()), LIST)


async def test_a_reading_is_not_compared_with_one_after_somebody_elses_change() -> None:
    wrap = around("duplicated")
    create = wrap(METHODS["CreateProject"], Callee(ONE, ONE))
    before, after = ListProjectsReply(), ListProjectsReply(projects=[ONE])

    class Meanwhile(Callee):
        async def __call__(self, call: Call, message: Any) -> Any:
            if self.calls:
                await create(call_of_another, CREATE)
            return await super().__call__(call, message)

    call_of_another = call()
    callee = Meanwhile(before, after)
    assert await wrap(METHODS["ListProjects"], callee)(call(), LIST) is before


@pytest.mark.parametrize("changes", [{"principal": ANONYMOUS}, {"service": "users"}], ids=["nobody", "another service"])
async def test_what_nobody_may_repeat_is_sent_once(changes: dict[str, Any]) -> None:
    callee = Callee(ONE)
    await sent("duplicated", METHODS["CreateProject"], callee, CREATE, **changes)
    assert len(callee.calls) == 1


async def test_a_refused_call_is_not_sent_again() -> None:
    callee = Callee(NotFound("no"))
    with pytest.raises(NotFound):
        await sent("duplicated", METHODS["ArchiveProject"], callee, ARCHIVE)
    assert len(callee.calls) == 1


async def test_a_slow_call_takes_its_time_both_ways() -> None:
    started = time.monotonic()
    await sent("slow", METHODS["CreateProject"], Callee(ONE), CREATE)
    assert time.monotonic() - started >= 2 * DELAY


async def test_a_slow_call_leaves_half_of_its_time() -> None:
    deadline = time.monotonic() + DELAY
    await sent("slow", METHODS["CreateProject"], Callee(ONE), CREATE, deadline=deadline)
    expired = time.monotonic() - DELAY
    await sent("slow", METHODS["CreateProject"], Callee(ONE), CREATE, deadline=expired)


async def test_a_call_whose_connection_was_lost_is_repeated() -> None:
    lost = [Unavailable("lost", reason="outcome_unknown"), Unavailable("lost")]
    callee = Callee(*lost, ONE)
    assert await sent("crash", METHODS["CreateProject"], callee, CREATE) is ONE


async def test_a_service_that_says_it_is_not_available_is_believed() -> None:
    callee = Callee(Unavailable("no", reason="licence_expired"))
    with pytest.raises(Unavailable):
        await sent("crash", METHODS["CreateProject"], callee, CREATE)
    assert len(callee.calls) == 1


async def test_repeating_has_an_end() -> None:
    callee = Callee(*[Unavailable("lost") for _ in range(REPEATS)])
    with pytest.raises(Unavailable):
        await sent("crash", METHODS["CreateProject"], callee, CREATE)
    assert len(callee.calls) == REPEATS


@pytest.mark.parametrize("carried", PLACEMENTS)
async def test_every_change_crashes_once_and_happens_once(postgres: Server, carried: Placement) -> None:
    async with Platform.start([projects_plugin], placement=carried, fault="crash", server=postgres) as platform:
        projects = platform.stub(ProjectsStub, as_=platform.somebody())
        made = [await projects.create_project(CreateProjectRequest(name=str(number))) for number in range(3)]
        listed = await projects.list_projects(ListProjectsRequest())
        assert sorted(project.name for project in listed.projects) == ["0", "1", "2"]
        assert await platform.outbox("projects") == [ProjectCreated(project_id=p.id, project=p) for p in made]
        async with postgres.connection(platform.database("projects").split("/")[-1].split("?")[0]) as connection:
            assert await crashes(connection) == 3


async def test_a_platform_whose_calls_come_twice_makes_one(postgres: Server) -> None:
    async with Platform.start([projects_plugin], fault="duplicated", server=postgres) as platform:
        projects = platform.stub(ProjectsStub, as_=platform.somebody())
        made = await projects.create_project(CreateProjectRequest(name="One"))
        assert (await projects.list_projects(ListProjectsRequest())).projects == [made]
        assert len(await platform.outbox("projects")) == 1
        assert made.created_at is not None
        assert made.created_at > datetime(2020, 1, 1, tzinfo=UTC)
