"""Faults on the way of a call: what each does, and what it finds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
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
from acme.dispatch.messages import Messages
from acme.errors import Conflict, NotFound, Unavailable
from acme.runtime.hosting import Placement
from acme.testing import FAULTS, PLACEMENTS, Platform, Server
from acme.testing.faults import DELAY, KEPT, REPEATS, Fault, around, crashes
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
    return around(fault).call(method, callee)(call(**changes), message)


ONE, OTHER = Project(id="1"), Project(id="2")
CREATE, ARCHIVE, LIST = CreateProjectRequest(name="x"), ArchiveProjectRequest(id="1"), ListProjectsRequest()


async def test_a_clean_call_is_sent_as_it_is() -> None:
    callee = Callee(ONE)
    made = call()
    assert await around("clean").call(METHODS["CreateProject"], callee)(made, CREATE) is ONE
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
    wrap = around("duplicated").call
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


# Streams


class Streaming:
    """Answers each call with the next list of replies, in which an error is raised; keeps what it was sent."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers, self.got = list(answers), list[list[Any]]()
        self.times: list[float] = []

    async def __call__(self, call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
        self.times.append(time.monotonic())
        self.got.append([message async for message in requests])
        for answer in self.answers.pop(0):
            if isinstance(answer, Exception):
                raise answer
            yield answer


def streaming(method: str, **changes: Any) -> Method:
    """A method of the stranger's contract that streams."""
    return dataclasses.replace(METHODS["ArchiveProject"], **{"idempotent": False, **SHAPES[method], **changes})


SHAPES: dict[str, dict[str, bool]] = {
    "up": {"client_streaming": True, "server_streaming": False},
    "down": {"client_streaming": False, "server_streaming": True},
    "both": {"client_streaming": True, "server_streaming": True},
}
LOST = Unavailable("lost")


async def streamed(fault: Fault, method: Method, callee: Streaming, *requests: Any) -> list[Any]:
    """All replies."""
    sent = around(fault).stream(method, callee)(call(), Messages.of(requests))
    return [reply async for reply in sent]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_stream_passes_whole_with_every_fault(fault: Fault, shape: str) -> None:
    callee = Streaming([ONE, OTHER])
    assert await streamed(fault, streaming(shape), callee, LIST, LIST) == [ONE, OTHER]
    assert callee.got == [[LIST, LIST]]


async def test_replies_of_an_idempotent_stream_are_made_twice_and_compared() -> None:
    callee, method = Streaming([ONE, OTHER], [ONE, OTHER]), streaming("down", idempotent=True)
    assert await streamed("duplicated", method, callee, LIST) == [ONE, OTHER]
    assert callee.got == [[LIST], [LIST]]
    for differs in ([ONE], [OTHER, ONE], [ONE, OTHER, ONE]):
        with pytest.raises(AssertionError, match=r"Projects/ArchiveProject was sent twice and answered 2 replies"):
            await streamed("duplicated", method, Streaming([ONE, OTHER], differs), LIST)


@pytest.mark.parametrize("shape", ["up", "both"])
async def test_a_stream_of_requests_is_sent_once(shape: str) -> None:
    callee = Streaming([ONE])
    await streamed("duplicated", streaming(shape, idempotent=True), callee, LIST)
    assert len(callee.got) == 1


async def test_a_slow_stream_takes_its_time_before_it_and_at_its_first_reply_and_its_end() -> None:
    started, callee = time.monotonic(), Streaming([ONE] * 10)
    assert len(await streamed("slow", streaming("down"), callee, LIST)) == 10
    assert callee.times[0] - started >= DELAY
    assert time.monotonic() - started >= 3 * DELAY


@pytest.mark.parametrize("shape", ["up", "down"])
async def test_a_stream_whose_connection_was_lost_before_its_first_reply_is_repeated(shape: str) -> None:
    callee = Streaming([LOST], [LOST], [ONE])
    requests = [LIST, LIST] if shape == "up" else [LIST]
    assert await streamed("crash", streaming(shape), callee, *requests) == [ONE]
    assert callee.got == [requests] * 3


@pytest.mark.parametrize(("shape", "before"), [("down", [ONE]), ("both", []), ("up", [])])
async def test_a_stream_that_nobody_could_repeat_shows_the_crash(shape: str, before: list[Any]) -> None:
    lost = LOST if shape != "up" else Unavailable("no", reason="licence_expired")
    callee = Streaming([*before, lost], [ONE])
    with pytest.raises(Unavailable):
        await streamed("crash", streaming(shape), callee, LIST)
    assert len(callee.got) == 1


async def test_repeating_a_stream_has_an_end() -> None:
    callee = Streaming(*[[LOST] for _ in range(REPEATS)])
    with pytest.raises(Unavailable):
        await streamed("crash", streaming("down"), callee, LIST)
    assert len(callee.got) == REPEATS


async def test_a_stream_that_is_too_long_to_be_kept_says_so() -> None:
    with pytest.raises(AssertionError, match=r"more than 1000 messages, which the fault \"crash\" does not keep"):
        await streamed("crash", streaming("up"), Streaming(), *[LIST] * (KEPT + 1))
