"""Addresses: who is there, who is left out, and who gets a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace

import pytest

from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.placement.v1 import Served
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, ProjectsStub
from acme.dispatch import Host
from acme.dispatch.describe import digest
from acme.dispatch.status import OUTCOME_UNKNOWN, UNREACHABLE
from acme.drivers.vault import Vault
from acme.errors import Refused, Unavailable
from tests.proxy import proxy
from tests.services import PROJECT
from tests.unit.acme.dispatch.names import Names, named
from tests.unit.acme.dispatch.town import (
    AUTHORITY,
    QUICK,
    Town,
    Wild,
    Worker,
    asking,
    describing,
    hostile,
    raw,
    soon,
    until,
    vacant,
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


# ---- nobody is there -------------------------------------------------------------------------------------------------


async def test_nobody_there_is_unreachable_at_once(town: Town) -> None:
    client = town.client(AuthorityStub, town.remote(vacant()))
    started = time.monotonic()
    for _ in range(2):
        caught = await fails(client.changes(ASK))
        assert (type(caught), caught.reason, caught.retry_after) == (Unavailable, UNREACHABLE, 1.0)
    assert time.monotonic() - started < BUSY


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


# ---- contracts -------------------------------------------------------------------------------------------------------


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
    await asyncio.wait_for(draining, BUSY)
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
        assert time.monotonic() - started < BUSY
        assert met
        assert town.counted("acme_remote_retries_total") >= 1


async def test_a_worker_that_is_slow_to_answer_is_passed_over_until_it_is_quick_again(town: Town) -> None:
    slow, quick = await town.worker("grpc://127.0.0.1:0"), await town.worker()
    async with proxy(int(slow.address.rpartition(":")[2])) as way:
        remote = town.remote(f"grpc://127.0.0.1:{way.port}", quick.address, settings=replace(QUICK, dead=5))
        await remote.settle(5)
        client = town.client(AuthorityStub, remote)
        way.delay = 0.2
        late = [soon(client.changes(ASK)) for _ in range(8)]
        await until(lambda: "slow" in {view.state for view in remote.view()})
        for _ in range(50):
            assert (await client.changes(ASK)).latest == 2
        assert {(await one).latest for one in late} == {1, 2}
        # Although nothing is owed any more. While a ping is on its way it may be "silent" for a moment.
        await until(lambda: sorted(view.state for view in remote.view()) == ["ready", "slow"])
        way.delay = 0.0
        await until(lambda: [view.state for view in remote.view()] == ["ready", "ready"])
        assert {(await client.changes(ASK)).latest for _ in range(50)} == {1, 2}
        assert town.counted("acme_remote_failures_total") == 0


async def test_an_address_that_answers_nothing_but_nonsense_is_left_out(town: Town) -> None:
    good = await town.worker()
    async with hostile(lambda wild, stream: wild.answer(stream, b"\x0a\xff\xff")) as (address, met):
        remote = town.remote(address, good.address, settings=replace(QUICK, troubles=3, backoff=60, most=60))
        await remote.settle(5)
        client = town.client(AuthorityStub, remote)
        for _ in range(100):
            assert (await client.changes(ASK)).latest == 1
        assert sum(len(wild.called()) for wild in met) == 3
        assert sorted(view.state for view in remote.view()) == ["failing", "ready"]


# ---- the rest ----


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


# ---- names whose addresses change ------------------------------------------------------------------------------------


@pytest.fixture
async def twins(town: Town) -> tuple[Worker, Worker]:
    """Two workers that have one port, each on an address of this machine."""
    one = await town.worker("grpc://127.0.0.1:0")
    return one, await town.worker(one.address.replace("127.0.0.1", "127.0.0.2"))


async def test_a_name_that_gets_another_address_leads_there_and_lets_the_old_one_finish(
    town: Town, twins: tuple[Worker, Worker]
) -> None:
    old, new = twins
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        begun.set()
        await go.wait()
        return ChangesReply(latest=7)

    names = Names("127.0.0.1")
    remote = named(town, names, old)
    client = town.client(AuthorityStub, remote)
    assert (await client.changes(ASK)).latest == 1
    old.authority.script = script
    under_way = soon(client.changes(ASK))
    await asyncio.wait_for(begun.wait(), 5)
    names.hosts = ("127.0.0.2",)
    await until(lambda: [view.address for view in remote.view()] == [new.address])
    for _ in range(10):
        assert (await client.changes(ASK)).latest == 2
    go.set()
    assert (await under_way).latest == 7
    await until(lambda: town.counted("rpc_server_connections") == 1)  # that to the old address has ended
    assert town.counted("acme_remote_failures_total") == 0


async def test_addresses_that_a_name_gets_besides_are_called_too(town: Town, twins: tuple[Worker, Worker]) -> None:
    one, other = twins
    names = Names("127.0.0.1")
    remote = named(town, names, one)
    client = town.client(AuthorityStub, remote)
    assert (await client.changes(ASK)).latest == 1
    names.hosts = ("127.0.0.1", "127.0.0.2")
    await until(lambda: [view.state for view in remote.view()] == ["ready", "ready"])
    assert {(await client.changes(ASK)).latest for _ in range(50)} == {1, 2}
    assert one.address != other.address


async def test_a_name_service_that_is_down_takes_no_address_away(town: Town, twins: tuple[Worker, Worker]) -> None:
    names = Names("127.0.0.1")
    remote = named(town, names, twins[0])
    client = town.client(AuthorityStub, remote)
    assert (await client.changes(ASK)).latest == 1
    names.hosts = ()
    await names.ask()
    assert (await client.changes(ASK)).latest == 1
    names.hosts = ("127.0.0.2",)
    await names.ask()
    await until(lambda: [view.state for view in remote.view()] == ["ready"])
    assert (await client.changes(ASK)).latest == 2


async def test_a_failure_has_the_name_looked_up_at_once(town: Town, twins: tuple[Worker, Worker]) -> None:
    names = Names("127.0.0.1")
    address = twins[0].address.replace("127.0.0.1", "workers.test")
    remote = town.remote(address, settings=replace(QUICK, look_up=3600), resolve=names.resolve)
    client = town.client(AuthorityStub, remote)
    assert (await client.changes(ASK)).latest == 1
    names.hosts = ("127.0.0.2",)
    await twins[0].server.close()

    async def found() -> bool:
        try:
            return (await client.changes(ASK)).latest == 2
        except Unavailable:
            return False

    async with asyncio.timeout(5):
        while not await found():  # noqa: ASYNC110 - that is how one notices
            await asyncio.sleep(0.01)
