"""What a supervisor tells of its processes; that it works is for tests/system/test_split.py and test_workers.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import pytest

from acme.runtime import control, supervisor
from acme.runtime.report import PluginReport, Report
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config, load
from acme.runtime.shapes import Split, Workers
from acme.runtime.supervisor import Plan

NAMES = ("projects", "users")
DATABASE = "postgresql://acme@/?host=/data"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    one = RunFolder(tmp_path)
    yield one
    one.close()


def config(folder: RunFolder, **tables: Any) -> Config:
    return load(values={"platform": {"data": str(folder.path.parent)}, "gateway": {"port": 0}, **tables})


@pytest.fixture
def planned(folder: RunFolder) -> Iterator[Plan]:
    """Two gateways, and two workers of each plugin."""
    settings = config(folder, split={"gateways": 2, "workers": 2})
    sockets = Split().sockets(settings)
    yield Split().plan(settings, NAMES, {}, (), folder, DATABASE, sockets)
    for one in (one for each in sockets for one in each.values()):
        one.close()


def test_plugins_are_those_installed_and_not_disabled() -> None:
    assert {"users", "projects"} <= set(supervisor.plugins(()))
    assert "users" not in supervisor.plugins(["users"])


def told(**changes: Any) -> Report:
    blank = dict.fromkeys(("openapi", "health", "readiness", "metrics", "keys", "data"), "")
    fields = {"version": "1", "pid": 1, "ready_seconds": 0.1, "cpu_seconds": 0.5, "mode": "external", "ready": True}
    return Report(
        **{**blank, **fields, "api": "http://a:1", "asked_port": 0, "data_bytes": 0, "plugins": (), **changes}
    )


def test_the_report_is_the_gateways_with_the_plugins_of_their_workers(planned: Plan, folder: RunFolder) -> None:
    for gateway in planned.gateways:
        gateway.told = told(plugins=(PluginReport("users", "?", "remote", "up", "", ""),))
    for worker in planned.workers:
        name, other = ("users", "projects") if worker.name.startswith("users") else ("projects", "users")
        health = ("up", "local", "") if name == "users" else ("quarantined", "", "service: no luck")
        worker.told = told(
            plugins=(
                PluginReport(other, "?", "remote", "up", "", ""),
                PluginReport(name, "0.1.0", health[1], health[0], "1 (2 new)", health[2]),
            )
        )
    report = supervisor.report(config(folder), planned, embedded=True)
    assert (report.mode, report.api, report.ready) == ("embedded", "http://a:1", True)
    assert report.plugins == (
        PluginReport("projects", "0.1.0", "", "quarantined", "1 (2 new)", "service: no luck"),
        PluginReport("users", "0.1.0", "process", "up", "1 (2 new)", ""),
    )
    assert [process.name for process in report.processes][:3] == ["gateway-1", "gateway-2", "projects-1"]
    assert report.cpu_seconds > 3.0


def test_the_report_of_workers_has_the_plugins_of_any(folder: RunFolder) -> None:
    settings = config(folder, gateway={"port": 0, "workers": 2})
    sockets = Workers().sockets(settings)
    planned = Workers().plan(settings, NAMES, {}, (), folder, DATABASE, sockets)
    for worker in planned.gateways:
        worker.told = told(plugins=(PluginReport("users", "0.1.0", "local", "up", "1", ""),))
    report = supervisor.report(settings, planned, embedded=True)
    assert report.plugins == (PluginReport("users", "0.1.0", "workers", "up", "1", ""),)
    assert [process.name for process in report.processes] == ["worker-1", "worker-2"]
    for one in (one for each in sockets for one in each.values()):
        one.close()


def test_topology_names_the_children_and_how_they_stand(planned: Plan) -> None:
    planned.workers[0].state, planned.workers[0].restarts = "waiting", 2
    seen = supervisor.topology(planned)
    assert seen["name"] == "supervisor"
    assert seen["children"][2] == {"name": "projects-1", "pid": 0, "state": "waiting", "restarts": 2}


async def test_a_child_without_a_control_socket_has_nothing_said_against_it(planned: Plan, folder: RunFolder) -> None:
    (child, *_), answers = planned.workers, supervisor._answers(folder)
    assert await answers(child, 0.5)
    async with control.serve(folder, f"control-{child.name}", {"alive": lambda: True}):
        assert await answers(child, 5.0)
    with stuck(folder.socket(f"control-{child.name}.sock")):
        assert not await answers(child, 0.05)


@contextmanager
def stuck(path: str) -> Iterator[None]:
    """Something that listens and never answers."""
    with socket(AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        yield
