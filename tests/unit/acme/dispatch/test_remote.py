"""Calls to other processes: what the caller sees of workers that are good, gone, slow, strange or hostile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace

import pytest
from h2.errors import ErrorCodes

from acme import current
from acme.context import Kind, Principal
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.placement.v1 import DescribeReply, Served
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.contracts.users.v1 import GetMeRequest, UsersStub
from acme.dispatch import Host
from acme.dispatch.describe import digest
from acme.dispatch.http2 import framed
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.dispatch.server import refusal_headers
from acme.dispatch.status import MISMATCH, OUTCOME_UNKNOWN, UNREACHABLE
from acme.drivers.vault import Vault
from acme.errors import Conflict, DeadlineExceeded, Denied, NotFound, Refused, TooLarge, Unavailable
from tests.services import PROJECT, refusal
from tests.unit.acme.dispatch.town import (
    AUTHORITY,
    QUICK,
    Act,
    Town,
    Wild,
    asking,
    hostile,
    nobody,
    raw,
    soon,
    until,
    vacant,
)

ASK = ChangesRequest(since=1)
GET = GetProjectRequest(id=PROJECT)
CREATE = CreateProjectRequest(name="one")
GOOD = bytes(ChangesReply(latest=99))


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
    assert source.deadline - 0.5 < call.deadline <= source.deadline + 0.01


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


# ---- nobody is there -------------------------------------------------------------------------------------------------


async def test_nobody_there_is_unreachable_at_once(town: Town) -> None:
    client = town.client(AuthorityStub, town.remote(vacant()))
    started = time.monotonic()
    for _ in range(2):
        caught = await fails(client.changes(ASK))
        assert (type(caught), caught.reason, caught.retry_after) == (Unavailable, UNREACHABLE, 1.0)
    assert time.monotonic() - started < 1


async def test_a_name_that_is_not_found_is_unreachable(town: Town) -> None:
    client = town.client(AuthorityStub, town.remote("grpc://nobody.invalid:1"))
    assert (await fails(client.changes(ASK))).reason == UNREACHABLE


@pytest.mark.parametrize(
    "sends",
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",),
        (b"\x00" * 64,),
        (b"\x15\x03\x01\x00\x02\x02\x46",),
        (b"SSH-2.0-OpenSSH_9.6\r\n",),
    ],
)
@pytest.mark.parametrize("close", [True, False])
async def test_who_does_not_speak_http_2_is_unreachable(town: Town, sends: tuple[bytes], close: bool) -> None:
    async with raw(*sends, close=close) as address:
        assert (await fails(town.client(AuthorityStub, town.remote(address)).changes(ASK))).reason == UNREACHABLE


async def test_who_says_nothing_is_unreachable(town: Town) -> None:
    async with raw() as address:
        assert (await fails(town.client(AuthorityStub, town.remote(address)).changes(ASK))).reason == UNREACHABLE


async def test_a_worker_of_another_deployment_is_unreachable_and_says_why(town: Town) -> None:
    worker = await town.worker(cipher=Vault(b"the master secret of other people"))
    remote = town.remote(worker.address)
    assert (await fails(town.client(AuthorityStub, remote).changes(ASK))).reason == UNREACHABLE
    assert "does not take us for one of its own" in remote.view()[0].why


async def test_a_service_that_is_not_at_the_address_is_unreachable_until_it_is(town: Town) -> None:
    worker = await town.worker()
    remote = town.remote(worker.address)
    client = town.client(AuthorityStub, remote)
    await client.changes(ASK)
    worker.server.withdraw(AUTHORITY)
    assert (await fails(client.changes(ASK))).reason == UNREACHABLE
    worker.server.host(Host(AUTHORITY, worker.authority, "users"))

    async def back() -> bool:
        try:
            return (await client.changes(ASK)).latest == 1
        except Unavailable:
            return False

    async with asyncio.timeout(5):
        while not await back():  # noqa: ASYNC110 - that is how one notices
            await asyncio.sleep(0.01)


# ---- hostile answers -------------------------------------------------------------------------------------------------

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


def half(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD)[:-1])
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def half_and_gone(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD)[:-1])
    wild.writer.close()


def without_trailers(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD), end=True)


def without_a_message(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def two_messages(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD) * 2)
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def compressed(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, b"\1" + framed(GOOD)[1:])
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def claims_too_much(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, b"\0\xff\xff\xff\xff" + b"x" * 100)


def http_503(wild: Wild, stream: int) -> None:
    wild.h2.send_headers(stream, [(":status", "503"), ("content-type", "text/html")])
    wild.data(stream, b"<h1>no</h1>", end=True)


def html(wild: Wild, stream: int) -> None:
    wild.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/html")])
    wild.data(stream, b"<h1>yes</h1>", end=True)


DETAILS = ("grpc-status-details-bin", "/////w")

MAYBE: dict[str, Act] = {
    "the connection is reset": lambda wild, stream: wild.drop(),
    "the connection is closed": lambda wild, stream: wild.writer.close(),
    "the stream is reset": lambda wild, stream: wild.reset(stream, ErrorCodes.INTERNAL_ERROR),
    "garbage in the middle": lambda wild, stream: wild.writer.write(b"\xff" * 100),
    "half a reply": half,
    "half a reply, then gone": half_and_gone,
    "no trailers": without_trailers,
    "no message": without_a_message,
    "two messages": two_messages,
    "a compressed message": compressed,
    "a reply that says it is too large": claims_too_much,
    "the wrong message": lambda wild, stream: wild.answer(stream, b"\x0a\xff\xff"),
    "an unknown status": lambda wild, stream: wild.refuse(stream, "99"),
    "a status that is no number": lambda wild, stream: wild.refuse(stream, "okay"),
    "details that are none": lambda wild, stream: wild.refuse(stream, "3", DETAILS),
    "details that are not base64": lambda wild, stream: wild.refuse(stream, "3", ("grpc-status-details-bin", "*")),
    "HTTP 503": http_503,
    "a page": html,
}
"""What leaves open whether it was done."""

NEVER: dict[str, Act] = {
    "the stream is refused": lambda wild, stream: wild.reset(stream, ErrorCodes.REFUSED_STREAM),
    "GOAWAY before it": lambda wild, stream: wild.goaway(stream - 2),
}
"""What says that it was not done."""


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
        assert time.monotonic() - started < 0.5
        await until(lambda: met[0].reset_codes)  # nobody waits, and the worker knows
        hold.set()
        assert (await client.changes(ASK)).latest == 99
        assert len(met) == 1


async def test_the_time_that_is_left_goes_along_and_shrinks(town: Town) -> None:
    worker = await town.worker()
    seen = []

    async def script(message: ChangesRequest) -> ChangesReply:
        seen.append(current().deadline - time.monotonic())
        await asyncio.Event().wait()
        raise AssertionError

    worker.authority.script = script
    client = town.client(AuthorityStub, town.remote(worker.address))
    for seconds in (0.2, 0.05):
        with pytest.raises(DeadlineExceeded):
            await client.changes(ASK, timeout=seconds)
        assert seconds - 0.05 < seen.pop() <= seconds
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


# ---- contracts -------------------------------------------------------------------------------------------------------


def describing(*served: Served) -> Act:
    return lambda wild, stream: wild.answer(stream, bytes(DescribeReply(services=list(served))))


async def test_a_worker_whose_contract_differs_is_not_called_and_the_others_are(town: Town) -> None:
    other = Served(service=AUTHORITY.name, digest="0" * 64, plugin="users", plugin_version="2.0")
    called: list[int] = []
    async with hostile(lambda wild, stream: called.append(stream), describing(other)) as (address, _):
        remote = town.remote(address)
        caught = await fails(town.client(AuthorityStub, remote).changes(ASK))
        assert (type(caught), caught.reason) == (Unavailable, MISMATCH)
        view = remote.view()[0]
        assert (view.state, view.services, view.versions) == (
            "ready", {AUTHORITY.name: "contract differs"}, {"users": "2.0"},
        )  # fmt: skip
        good = await town.worker()
        both = town.remote(address, good.address)
        await both.settle(5)
        for _ in range(5):
            assert (await town.client(AuthorityStub, both).changes(ASK)).latest == 1
        assert not called


async def test_a_worker_whose_contract_is_ours_is_called(town: Town) -> None:
    same = Served(service=AUTHORITY.name, digest=digest(AUTHORITY))
    async with hostile(lambda wild, stream: wild.answer(stream, GOOD), describing(same)) as (address, _):
        client = town.client(AuthorityStub, town.remote(address))
        assert (await client.changes(ASK)).latest == 99
        users = town.client(UsersStub, town.remote(address), "gateway")
        assert (await fails(users.get_me(GetMeRequest()))).reason == UNREACHABLE


async def test_a_description_that_is_none_makes_an_address_fail(town: Town) -> None:
    async with hostile(lambda *_: None, lambda wild, stream: wild.answer(stream, b"\x0a\xff")) as (address, _):
        remote = town.remote(address)
        assert (await fails(town.client(AuthorityStub, remote).changes(ASK))).reason == UNREACHABLE
        assert remote.view()[0].state == "failing"


# ---- several addresses -----------------------------------------------------------------------------------------------


async def test_the_address_with_fewer_calls_in_flight_gets_the_call(town: Town) -> None:
    slow, quick = await town.worker(), await town.worker()
    go = asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        slow.calls.append(message)
        await go.wait()
        return ChangesReply(latest=1)

    slow.authority.script = script
    remote = town.remote(slow.address, quick.address)
    await remote.settle(5)
    client = town.client(AuthorityStub, remote)
    stuck = []
    while not slow.calls:
        stuck.append(soon(client.changes(ASK)))
        await asyncio.sleep(0.01)
    for _ in range(50):
        assert (await client.changes(ASK)).latest == 2
    assert len(slow.calls) == 1
    go.set()
    await asyncio.gather(*stuck)


async def test_calls_are_spread_over_addresses(town: Town) -> None:
    workers = [await town.worker() for _ in range(4)]
    remote = town.remote(*[worker.address for worker in workers])
    await remote.settle(5)
    client = town.client(AuthorityStub, remote)
    for _ in range(200):
        await client.changes(ASK)
    assert all(20 < len(worker.calls) < 90 for worker in workers)


async def test_when_one_of_two_is_killed_reads_go_on_and_writes_are_told(town: Town) -> None:
    dying, living = await town.worker(), await town.worker()
    waiting = asyncio.Event()

    async def hang(message: object) -> ChangesReply:
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    dying.authority.script = dying.projects.script = hang
    remote = town.remote(dying.address)
    reads, writes = town.client(AuthorityStub, remote), town.client(ProjectsStub, remote, "gateway")
    write = soon(fails(writes.create_project(CREATE)))
    both = town.remote(dying.address, living.address)
    await both.settle(5)
    client = town.client(AuthorityStub, both)
    read = [soon(client.changes(ASK)) for _ in range(8)]
    await asyncio.wait_for(waiting.wait(), 5)
    await dying.server.close()
    assert (await write).reason == OUTCOME_UNKNOWN
    assert {(await one).latest for one in read} == {2}
    assert (await fails(reads.changes(ASK))).reason == UNREACHABLE
    assert town.counted("acme_remote_retries_total") > 0


async def test_an_address_that_comes_back_is_used_again(town: Town) -> None:
    address = vacant()
    remote = town.remote(address)
    client = town.client(AuthorityStub, remote)
    assert (await fails(client.changes(ASK))).reason == UNREACHABLE
    await town.worker(address)
    await until(lambda: remote.view()[0].state == "ready")
    assert (await client.changes(ASK)).latest == 1


async def test_a_drained_worker_finishes_and_its_callers_go_elsewhere(town: Town) -> None:
    leaving, staying = await town.worker(), await town.worker()
    go, begun = asyncio.Event(), asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        begun.set()
        await go.wait()
        return ChangesReply(latest=1)

    leaving.authority.script = script
    remote = town.remote(leaving.address, staying.address)
    await remote.settle(5)
    client = town.client(AuthorityStub, remote)
    calls = [soon(client.changes(ASK)) for _ in range(8)]
    await asyncio.wait_for(begun.wait(), 5)
    draining = soon(leaving.server.drain(5))
    await until(lambda: {view.state for view in remote.view()} != {"ready"})
    for _ in range(20):
        assert (await client.changes(ASK)).latest == 2
    assert not draining.done()
    go.set()
    assert {(await call).latest for call in calls} == {1, 2}
    await asyncio.wait_for(draining, 2)
    assert town.counted("acme_remote_failures_total") == 0


async def test_a_worker_that_stops_answering_is_passed_over_then_given_up(town: Town) -> None:
    """As a stopped process does: its connection stands, and nothing comes."""
    good = await town.worker()
    same = Served(service=AUTHORITY.name, digest=digest(AUTHORITY))

    async def stop(wild: Wild, stream: int) -> None:
        await asyncio.Event().wait()

    async with hostile(stop, describing(same)) as (address, met):
        remote = town.remote(address, good.address)
        await remote.settle(5)
        client = town.client(AuthorityStub, remote)
        started = time.monotonic()
        replies = await asyncio.gather(*[client.changes(ASK) for _ in range(8)])
        assert {reply.latest for reply in replies} == {1}
        assert time.monotonic() - started < 2
        assert met
        assert town.counted("acme_remote_retries_total") >= 1


async def test_an_address_that_answers_nothing_but_nonsense_is_left_out(town: Town) -> None:
    good = await town.worker()
    async with hostile(MAYBE["the wrong message"]) as (address, met):
        remote = town.remote(address, good.address, settings=replace(QUICK, troubles=3, backoff=60, most=60))
        await remote.settle(5)
        client = town.client(AuthorityStub, remote)
        for _ in range(100):
            assert (await client.changes(ASK)).latest == 1
        assert sum(len(wild.called()) for wild in met) == 3
        assert sorted(view.state for view in remote.view()) == ["failing", "ready"]


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


async def test_nothing_is_sent_again_past_the_deadline(town: Town) -> None:
    async def slowly(wild: Wild, stream: int) -> None:
        await asyncio.sleep(0.05)
        wild.reset(stream, ErrorCodes.INTERNAL_ERROR)

    async with hostile(slowly) as (address, _):
        client = town.client(AuthorityStub, town.remote(address))
        started = time.monotonic()
        caught = await fails(client.changes(ASK, timeout=0.08))
        assert caught.reason in (OUTCOME_UNKNOWN, "deadline_exceeded")
        assert time.monotonic() - started < 0.3


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


async def test_after_the_end_everything_is_unreachable(town: Town) -> None:
    worker = await town.worker()
    remote = town.remote(worker.address)
    client = town.client(AuthorityStub, remote)
    await client.changes(ASK)
    await remote.close()
    assert (await fails(client.changes(ASK))).reason == UNREACHABLE
    assert remote.view() == ()


async def test_addresses_and_certificates_belong_together(town: Town) -> None:
    with pytest.raises(ValueError, match="needs certificates"):
        town.remote("grpcs://users:1")
    with pytest.raises(ValueError, match="is no address"):
        town.remote("http://users:1")


async def test_a_view_says_what_is_there(town: Town) -> None:
    worker = await town.worker()
    remote = town.remote(worker.address, vacant())
    await remote.settle(5)
    good, bad = sorted(remote.view(), key=lambda view: view.state, reverse=True)
    assert (good.state, good.address, good.stranger, good.in_flight) == ("ready", worker.address, False, 0)
    assert good.services == {AUTHORITY.name: "ok", "acme.projects.v1.Projects": "ok"}
    assert good.versions["users"] == "1.0"
    assert (bad.state, bad.services) == ("failing", {})
    assert bad.why
