"""Calls to other processes: what the caller sees of workers that are good, gone, slow, strange or hostile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator

import pytest
from h2.errors import ErrorCodes

from acme import current
from acme.context import Kind, Principal
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.dispatch.server import refusal_headers
from acme.dispatch.status import OUTCOME_UNKNOWN, UNREACHABLE
from acme.errors import Conflict, DeadlineExceeded, Denied, NotFound, Refused, TooLarge, Unavailable
from tests.services import PROJECT, refusal
from tests.unit.acme.dispatch.nonsense import GOOD, MAYBE, NEVER
from tests.unit.acme.dispatch.town import (
    Act,
    Town,
    Wild,
    asking,
    hostile,
    nobody,
    until,
)
from tests.waiting import BUSY

ASK = ChangesRequest(since=1)
GET = GetProjectRequest(id=PROJECT)
CREATE = CreateProjectRequest(name="one")


@pytest.fixture(autouse=True)
def _asking() -> Iterator[None]:
    with asking():
        yield


async def fails(awaitable: Awaitable[object]) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


# ---- a worker that is good -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["", "grpc://127.0.0.1:0", "grpc://localhost:0"])
async def test_a_call_reaches_its_service_with_all_that_belongs_to_it(town: Town, listen: str) -> None:
    worker = await town.worker(listen)
    seen = []

    async def script(message: GetProjectRequest) -> Project:
        seen.append(current())
        current().decided = True
        return Project(id=message.id)

    worker.projects.script = script
    client = town.client(ProjectsStub, town.remote(worker.address), "gateway")
    with asking(key="a key of 100% ünusual form", seconds=3) as source:
        assert (await client.get_project(GET)).id == PROJECT
    (call,) = seen
    assert call.method == "acme.projects.v1.Projects/GetProject"
    assert (call.principal, call.credentials) == (source.principal, source.credentials)
    assert (call.request_id, call.traceparent, call.address) == ("req_1", "00-trace", "192.0.2.1")
    assert (call.service, call.permission, call.idempotency) == ("gateway", "projects.read", source.idempotency)
    assert source.deadline - 0.5 < call.deadline <= source.deadline + 0.1  # the way there, however busy the machine is


async def test_what_the_caller_knows_is_known_there_before_a_token_is_judged(town: Town) -> None:
    worker = await town.worker()
    seen = []

    async def script(message: GetProjectRequest) -> Project:
        seen.append(current().seen)
        current().decided = True
        return Project(id=message.id)

    worker.projects.script = script
    client = town.client(ProjectsStub, town.remote(worker.address), "gateway")
    for known in (0, 3, 4, 4):
        with asking() as source:
            source.seen = known
            await client.get_project(GET)
    assert town.tokens.caught_up == [4]
    assert seen == [0, 3, 4, 4]  # for calls that follow from this one


async def test_a_refusal_arrives_as_it_was_raised(town: Town) -> None:
    worker = await town.worker()

    async def script(message: GetProjectRequest) -> Project:
        raise NotFound("Kein Project, 100 % weg: ☃", reason="project_not_found", retry_after=1.5)

    worker.projects.script = script
    caught = await fails(town.client(ProjectsStub, town.remote(worker.address), "gateway").get_project(GET))
    known = NotFound("Kein Project, 100 % weg: ☃", reason="project_not_found", retry_after=1.5)
    assert refusal(caught) == refusal(known)


async def test_a_service_calls_as_itself_on_its_own_account(town: Town) -> None:
    worker = await town.worker()
    seen = []

    async def script(message: ChangesRequest) -> ChangesReply:
        seen.append(current().principal)
        return ChangesReply()

    worker.authority.script = script
    client = town.client(AuthorityStub, town.remote(worker.address))
    with asking(Principal(Kind.SERVICE, "tokens"), token="", service="tokens"):
        await client.changes(ASK)
    with asking(Principal(Kind.SERVICE, "billing"), token="", service="tokens"):
        await client.changes(ASK)
    assert seen == [Principal(Kind.SERVICE, "tokens"), Principal(Kind.SERVICE, "billing")]


async def test_messages_of_any_allowed_size_pass_and_larger_ones_do_not(town: Town) -> None:
    worker = await town.worker()

    async def script(message: CreateProjectRequest) -> Project:
        current().decided = True
        return Project(description="x" * int(message.description))

    worker.projects.script = script
    client = town.client(ProjectsStub, town.remote(worker.address), "gateway")
    for size in (0, 70_000, 3_000_000, MESSAGE_LIMIT - 100):
        reply = await client.create_project(CreateProjectRequest(name="one", description=str(size)))
        assert len(reply.description) == size
    caught = await fails(client.create_project(CreateProjectRequest(name="one", description=str(MESSAGE_LIMIT))))
    assert (type(caught), caught.reason) == (TooLarge, "reply_too_large")
    caught = await fails(client.create_project(CreateProjectRequest(name="one", description="x" * MESSAGE_LIMIT)))
    assert (type(caught), caught.reason) == (TooLarge, "request_too_large")
    broken = await fails(client.create_project(CreateProjectRequest(name="\ud800")))
    assert broken.reason == "not_carried"


async def test_many_calls_at_a_time_share_a_connection(town: Town) -> None:
    worker = await town.worker()
    together = asyncio.Barrier(200)

    async def script(message: ChangesRequest) -> ChangesReply:
        await together.wait()
        return ChangesReply(latest=message.since)

    worker.authority.script = script
    client = town.client(AuthorityStub, town.remote(worker.address))
    replies = await asyncio.gather(*[client.changes(ChangesRequest(since=number)) for number in range(200)])
    assert [reply.latest for reply in replies] == list(range(200))
    assert town.counted("rpc_server_connections") == 1


# ---- hostile answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", MAYBE.values(), ids=MAYBE.keys())
async def test_an_answer_that_is_none_leaves_the_outcome_open(town: Town, act: Act) -> None:
    async with hostile(act) as (address, met):
        caught = await fails(town.client(ProjectsStub, town.remote(address), "gateway").create_project(CREATE))
        assert (type(caught), caught.reason) == (Unavailable, OUTCOME_UNKNOWN)
        assert [path for wild in met for path in wild.called()] == ["/acme.projects.v1.Projects/CreateProject"]


@pytest.mark.parametrize("act", NEVER.values(), ids=NEVER.keys())
async def test_a_request_that_was_certainly_not_processed_is_unreachable(town: Town, act: Act) -> None:
    async with hostile(act) as (address, _):
        caught = await fails(town.client(ProjectsStub, town.remote(address), "gateway").create_project(CREATE))
        assert (type(caught), caught.reason) == (Unavailable, UNREACHABLE)


@pytest.mark.parametrize("act", [*MAYBE.values(), *NEVER.values()], ids=[*MAYBE, *NEVER])
async def test_beside_a_hostile_worker_the_others_live(town: Town, act: Act) -> None:
    """Reads go to the other address, and a service elsewhere does not notice."""
    good, elsewhere = await town.worker(), await town.worker()
    async with hostile(act) as (address, met):
        remote = town.remote(address, good.address)
        await remote.settle(5)
        client, other = town.client(AuthorityStub, remote), town.client(AuthorityStub, town.remote(elsewhere.address))
        for _ in range(10):
            assert (await client.changes(ASK)).latest == 1
            assert (await other.changes(ASK)).latest == 2
        assert met


@pytest.mark.parametrize("act", NEVER.values(), ids=NEVER.keys())
async def test_what_was_not_processed_is_sent_elsewhere_whatever_it_does(town: Town, act: Act) -> None:
    good = await town.worker()
    made = []

    async def script(message: CreateProjectRequest) -> Project:
        current().decided = True
        made.append(message)
        return Project()

    good.projects.script = script
    async with hostile(act) as (address, _):
        remote = town.remote(address, good.address)
        await remote.settle(5)
        client = town.client(ProjectsStub, remote, "gateway")
        for number in range(1, 11):
            await client.create_project(CREATE)
            assert len(made) == number
    assert town.counted("acme_remote_retries_total") == 0  # of those, nobody did anything twice


async def test_a_reply_that_is_too_large_is_not_gathered(town: Town) -> None:
    def flood(wild: Wild, stream: int) -> None:
        wild.headers(stream)
        wild.data(stream, b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4, "big") + b"x" * MESSAGE_LIMIT)

    async with hostile(flood) as (address, met):
        client = town.client(ProjectsStub, town.remote(address), "gateway")
        for _ in range(20):  # more than the connection's window, were it not given back
            assert (await fails(client.create_project(CREATE))).reason == OUTCOME_UNKNOWN
        assert len(met) == 1
        await until(lambda: len(met[0].reset_codes) == 20)
        assert set(met[0].reset_codes.values()) == {ErrorCodes.CANCEL}


async def test_an_answer_that_comes_too_late_is_not_waited_for_and_does_no_harm(town: Town) -> None:
    hold = asyncio.Event()
    late: list[int] = []

    def act(wild: Wild, stream: int) -> None:
        if hold.is_set():
            wild.answer(stream, GOOD)
        else:
            late.append(stream)

    async with hostile(act) as (address, met):
        client = town.client(AuthorityStub, town.remote(address))
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await client.changes(ASK, timeout=0.1)
        assert time.monotonic() - started < BUSY
        await until(lambda: met[0].reset_codes)  # nobody waits, and the worker knows
        hold.set()
        assert (await client.changes(ASK)).latest == 99
        assert len(met) == 1


async def test_the_time_that_is_left_goes_along_and_shrinks(town: Town) -> None:
    worker = await town.worker()
    seen = []

    async def script(message: ChangesRequest) -> ChangesReply:
        seen.append(current().deadline - time.monotonic())
        if len(seen) == 3:
            await asyncio.Event().wait()
        return ChangesReply()

    worker.authority.script = script
    client = town.client(AuthorityStub, town.remote(worker.address))
    with asking(seconds=100):
        for seconds in (60.0, 30.0):
            await client.changes(ASK, timeout=seconds)
            assert seconds - BUSY < seen[-1] <= seconds
        with pytest.raises(DeadlineExceeded):
            await client.changes(ASK, timeout=0.5)
    await until(lambda: worker.server.in_flight == 0)


async def test_going_away_lets_what_is_in_flight_finish(town: Town) -> None:
    async def act(wild: Wild, stream: int) -> None:
        if len(met) == 1:
            wild.goaway(2**31 - 1)
        wild.answer(stream, GOOD)

    async with hostile(act) as (address, met):
        client = town.client(AuthorityStub, town.remote(address))
        assert (await client.changes(ASK)).latest == 99
        assert (await client.changes(ASK)).latest == 99
        assert len(met) == 2


async def test_a_strangers_refusal_is_a_refusal(town: Town) -> None:
    async with hostile(lambda wild, stream: wild.refuse(stream, "6", ("grpc-message", "taken%21"))) as (address, _):
        caught = await fails(town.client(AuthorityStub, town.remote(address)).changes(ASK))
        assert (type(caught), caught.reason, caught.message) == (Conflict, "conflict", "taken!")


async def test_a_strangers_failure_tells_nothing_of_its_inside(town: Town) -> None:
    async with hostile(lambda wild, stream: wild.refuse(stream, "2", ("grpc-message", "KeyError"))) as (address, _):
        caught = await fails(town.client(AuthorityStub, town.remote(address)).changes(ASK))
        assert (caught.code, caught.message) == ("internal", "internal error")


# ---- sending again ---------------------------------------------------------------------------------------------------


async def test_only_what_may_be_done_twice_is_sent_again(town: Town) -> None:
    async with hostile(lambda wild, stream: wild.reset(stream, ErrorCodes.INTERNAL_ERROR)) as (address, met):
        remote = town.remote(address)
        reads, writes = town.client(AuthorityStub, remote), town.client(ProjectsStub, remote, "gateway")

        def requests() -> int:
            return sum(len(wild.called()) for wild in met)

        await fails(writes.create_project(CREATE))
        assert requests() == 1
        await fails(reads.changes(ASK))
        assert requests() == 1 + 3
        with asking(key="one"):
            await fails(writes.create_project(CREATE))
        assert requests() == 4 + 3
        with nobody(key="one"):  # nobody's key is kept by nobody
            await fails(writes.create_project(CREATE))
        assert requests() == 7 + 1


async def test_sending_again_has_a_budget(town: Town) -> None:
    async with hostile(lambda wild, stream: wild.reset(stream, ErrorCodes.INTERNAL_ERROR)) as (address, met):
        client = town.client(AuthorityStub, town.remote(address))
        for _ in range(100):
            assert (await fails(client.changes(ASK))).reason == OUTCOME_UNKNOWN
        sent = sum(len(wild.called()) for wild in met)
        assert 100 + 10 <= sent <= 100 + 10 + 100 * 0.1
        assert town.counted("acme_remote_retries_total") == sent - 100
        assert town.counted("acme_remote_retries_refused_total") >= 80  # each call would have liked two


async def test_nothing_is_sent_again_past_the_deadline(town: Town) -> None:
    async def slowly(wild: Wild, stream: int) -> None:
        await asyncio.sleep(0.05)  # the time a worker takes before it fails
        wild.reset(stream, ErrorCodes.INTERNAL_ERROR)

    async with hostile(slowly) as (address, _):
        client = town.client(AuthorityStub, town.remote(address))
        started = time.monotonic()
        caught = await fails(client.changes(ASK, timeout=0.08))
        assert caught.reason in (OUTCOME_UNKNOWN, "deadline_exceeded")
        assert time.monotonic() - started < BUSY


async def test_a_key_whose_first_attempt_is_still_at_it_is_asked_for_again(town: Town) -> None:
    tried: list[str] = []

    def act(wild: Wild, stream: int) -> None:
        tried.append("once")
        if len(tried) == 1:
            wild.reset(stream, ErrorCodes.INTERNAL_ERROR)
        elif len(tried) == 2:
            busy = Conflict("It is being done.", reason="idempotency_in_flight", retry_after=1)
            head = [(name.decode(), value.decode()) for name, value in refusal_headers(busy)]
            wild.h2.send_headers(stream, head, end_stream=True)
            wild.flush()
        else:
            wild.answer(stream, bytes(Project(id=PROJECT)))

    async with hostile(act) as (address, _):
        client = town.client(ProjectsStub, town.remote(address), "gateway")
        with asking(key="one"):
            assert (await client.create_project(CREATE)).id == PROJECT
        assert len(tried) == 3


# ---- the rest --------------------------------------------------------------------------------------------------------


async def test_internal_methods_stay_internal(town: Town) -> None:
    worker = await town.worker()
    caught = await fails(town.client(AuthorityStub, town.remote(worker.address), "projects").changes(ASK))
    assert (type(caught), caught.reason) == (Denied, "internal_method")
