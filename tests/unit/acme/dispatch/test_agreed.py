"""A worker of another version is called where the difference harms nobody, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.placement.v1 import DescribeReply, Served
from acme.dispatch.status import MISMATCH
from acme.errors import Unavailable
from tests.unit.acme.dispatch.nonsense import GOOD
from tests.unit.acme.dispatch.town import AUTHORITY, Act, Town, asking, hostile
from tests.versions import Edit, version, with_another_type, with_more, without_the_last

ASK = ChangesRequest(since=1)


@pytest.fixture(autouse=True)
def _asking() -> Iterator[None]:
    with asking():
        yield


def describing(*served: Served) -> Act:
    return lambda wild, stream: wild.answer(stream, bytes(DescribeReply(services=list(served))))


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
