"""What a process tells of itself, and what whoever asks makes of all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from acme_projects import plugin as projects

from acme.runtime import control, topology
from acme.runtime.assembly import assemble
from acme.runtime.runfolder import RunFolder
from acme.runtime.topology import Process, ServiceState, buckets, look, quantile, totals
from acme.telemetry import Metrics
from acme.testing import Server
from tests.unit.acme.runtime.plugins import configured

SERVICE = "acme.projects.v1.Projects"
OTHERS = ("ProjectMembers", "ProjectSettings")


def test_a_quantile_is_interpolated_over_methods_and_outcomes() -> None:
    durations = Metrics().histogram("calls", "", ("system", "method", "status"), (1.0, 2.0, 4.0))
    for method, status, seconds in (
        ("Get", "OK", 0.5),
        ("Get", "OK", 1.5),
        ("List", "INTERNAL", 3.0),
        ("List", "OK", 3.5),
    ):
        durations.bind("local", f"{SERVICE}/{method}", status).observe(seconds)
    durations.bind("local", "another.Service/Get", "OK").observe(100.0)
    mine, other = (buckets(durations, name) for name in (SERVICE, "another.Service"))
    assert (sum(mine), sum(other)) == (4, 1)
    assert [quantile(mine, share, durations.bounds) for share in (0.5, 0.75, 1.0)] == [2.0, 3.0, 4.0]
    assert quantile(other, 0.99, durations.bounds) == 4.0  # beyond the last bound
    assert quantile(buckets(durations, "nobody.Service"), 0.99, durations.bounds) is None


def test_a_service_is_summed_up_over_the_processes_that_serve_it() -> None:
    fast, slow = [0] * 17, [0] * 17
    fast[0], slow[6] = 99, 3  # up to 1 ms; up to 75 ms

    def serving(name: str, counts: list[int], in_flight: int) -> Process:
        here = ServiceState(
            SERVICE, "projects", "1", "local", "up", calls=sum(counts), in_flight=in_flight, buckets=tuple(counts)
        )
        return Process(name, 1, "1", 0.0, "up", services=(here,))

    elsewhere = ServiceState(SERVICE, "projects", "1", "remote", "up", ("grpc://p:1 ready",))
    gateway = Process("gateway", 1, "1", 0.0, "up", services=(elsewhere,))
    (total,) = totals([gateway, serving("one", fast, 2), serving("two", slow, 5)])
    assert (total.name, total.plugin, total.processes) == (SERVICE, "projects", ("one", "two"))
    assert (total.in_flight, total.calls) == (7, 102)
    assert total.p99_seconds == pytest.approx(0.05 + 0.025 * (0.99 * 102 - 99) / 3, abs=1e-6)


async def test_a_node_tells_what_it_hosts(postgres: Server, tmp_path: Path) -> None:
    async with configured(postgres, tmp_path, projects) as config, assemble(config, [projects]) as node:
        told = topology.of(node, "1.2.3")
        (seen,) = (await look(tmp_path)).processes
    assert (told.version, told.health, told.listens) == (
        "1.2.3",
        "not ready",
        (node.url,),
    )  # nobody keeps the authority
    service = next(service for service in told.services if service.name == SERVICE)
    assert {service.name for service in told.services} == {SERVICE, *(f"acme.projects.v1.{name}" for name in OTHERS)}
    assert (service.name, service.plugin, service.version) == (SERVICE, "projects", projects.version)
    assert (service.placement, service.health, service.calls, service.p99_seconds) == ("local", "up", 0, None)
    assert (seen.pid, seen.services) == (told.pid, told.services)


async def test_whoever_does_not_answer_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    process = Process("gateway", 1, "1.0", 0.0, "up")
    async with (
        control.serve(folder, "control-gateway", {"topology": lambda: topology.plain(process)}),
        control.serve(folder, "control-old", {"topology": lambda: {"name": "old"}}),
    ):
        await asyncio.to_thread((folder.path / "control-dead.sock").touch)
        seen = await look(tmp_path)
    folder.close()
    assert seen.processes == (process,)
    assert [line.partition(":")[0] for line in seen.silent] == ["control-dead.sock", "control-old.sock"]
    assert "of another version" in seen.silent[1]


@pytest.mark.parametrize("made", [True, False])
async def test_nobody_is_nobody(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "run").mkdir()
    assert await look(tmp_path) == topology.Seen((), ())
