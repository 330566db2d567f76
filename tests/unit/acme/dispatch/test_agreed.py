"""A worker of another version is called where the difference harms nobody, and nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

import pytest
from structlog.testing import capture_logs

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.placement.v1 import Served
from acme.contracts.users.v1 import GetMeRequest, UsersStub
from acme.dispatch.describe import digest
from acme.dispatch.status import MISMATCH, UNREACHABLE
from acme.errors import Refused, Unavailable
from tests.unit.acme.dispatch.nonsense import GOOD
from tests.unit.acme.dispatch.town import AUTHORITY, Town, asking, describing, hostile
from tests.versions import Edit, version, with_another_type, with_more, without_the_last

ASK = ChangesRequest(since=1)


@pytest.fixture(autouse=True)
def _asking() -> Iterator[None]:
    with asking():
        yield


async def fails(awaitable: Awaitable[object]) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


async def test_a_worker_that_is_ahead_by_additions_is_called_with_a_warning_said_once(town: Town) -> None:
    newer = version(AUTHORITY, "ChangesReply", with_more)
    ahead = Served(service=AUTHORITY.name, digest="1" * 64, plugin="users", plugin_version="2.0", contract=newer)
    with capture_logs() as lines:
        async with hostile(lambda wild, stream: wild.answer(stream, GOOD), describing(ahead)) as (address, _):
            remote = town.remote(address)
            client = town.client(AuthorityStub, remote)
            assert [(await client.changes(ASK)).latest for _ in range(3)] == [99] * 3
            assert remote.view()[0].services == {AUTHORITY.name: "compatible"}
    (line,) = [line for line in lines if "another contract" in line["event"]]
    assert (line["log_level"], line["service"], line["version"]) == ("warning", AUTHORITY.name, "2.0")


@pytest.mark.parametrize("edit", [with_another_type, without_the_last], ids=["another type", "a field is gone"])
async def test_a_worker_whose_contract_would_be_misunderstood_is_not_called(town: Town, edit: Edit) -> None:
    other = version(AUTHORITY, "ChangesReply", edit)
    told = Served(service=AUTHORITY.name, digest="2" * 64, plugin="users", plugin_version="2.0", contract=other)
    called: list[int] = []
    with capture_logs() as lines:
        async with hostile(lambda wild, stream: called.append(stream), describing(told)) as (address, _):
            remote = town.remote(address)
            with pytest.raises(Unavailable) as caught:
                await town.client(AuthorityStub, remote).changes(ASK)
            assert caught.value.reason == MISMATCH
            assert remote.view()[0].services == {AUTHORITY.name: "contract differs"}
    assert not called
    (line,) = [line for line in lines if "another contract" in line["event"]]
    assert "ChangesRe" in line["differences"][0]


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
