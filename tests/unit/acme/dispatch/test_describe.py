"""What a worker says of itself."""

from __future__ import annotations

from acme.contract.agreement import differences, whole
from acme.contract.digest import digest as reckoned
from acme.contracts.placement.v1 import DescribeRequest, WorkerStub
from acme.dispatch import Host
from acme.dispatch.describe import CALLER, Worker, digest
from tests.services import CONTRACTS, Authority
from tests.unit.acme.dispatch.town import AUTHORITY, Town


async def test_a_worker_describes_what_it_hosts_at_the_moment() -> None:
    hosts: dict[str, Host] = {}
    worker = Worker(hosts)
    assert (await worker.describe(DescribeRequest())).services == []
    hosts[AUTHORITY.name] = Host(AUTHORITY, Authority(), "users", version="1.2")
    (one,) = (await worker.describe(DescribeRequest())).services
    assert (one.service, one.plugin, one.plugin_version) == (AUTHORITY.name, "users", "1.2")
    assert one.digest == digest(AUTHORITY) == reckoned(AUTHORITY)
    assert one.platform_version


async def test_a_worker_describes_itself_to_those_who_connect(town: Town) -> None:
    worker = await town.worker()
    (view,) = await town.remote(worker.address).settle(5)
    assert set(view.services) == {AUTHORITY.name, "acme.projects.v1.Projects"}
    assert CONTRACTS.service_of(WorkerStub).methods[0].internal == frozenset({CALLER})


async def test_a_contract_is_told_whole_to_whoever_wants_it() -> None:
    host = Host(AUTHORITY, Authority(), "users")
    worker = Worker({AUTHORITY.name: host})
    (one,) = (await worker.describe(DescribeRequest(wanted=[AUTHORITY.name, "another.Service"]))).services
    assert differences(whole(AUTHORITY), one.contract, AUTHORITY.name) == []
    (one,) = (await worker.describe(DescribeRequest())).services
    assert one.contract == b""
