"""What `acme up --split` starts, and what it tells each process; that it works is for tests/system/test_split.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import msgspec
import pytest

from acme.runtime import control, listener, supervisor
from acme.runtime.databases import CannotStart
from acme.runtime.edge import further_of
from acme.runtime.report import PluginReport, Report
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config, load
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
    with ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in supervisor._ports(settings)]
        yield plan(settings, folder, sockets, {"PATH": "/bin", "acme_database__url": "theirs"}, Path("more.toml"))


def plan(settings: Config, folder: RunFolder, sockets: list[socket], environ: dict[str, str], *files: Path) -> Plan:
    return supervisor.plan(settings, NAMES, environ, files, folder, DATABASE, sockets)


def test_every_process_has_a_name_and_an_address_of_its_own(planned: Plan, folder: RunFolder) -> None:
    assert [child.name for child in planned.gateways] == ["gateway-1", "gateway-2"]
    assert [child.name for child in planned.workers] == ["projects-1", "projects-2", "users-1", "users-2"]
    assert len({child.address for child in (*planned.gateways, *planned.workers)}) == 6
    assert planned.workers[0].address == folder.address("projects-1.grpc")


def test_a_worker_finds_all_others_and_not_itself(planned: Plan, folder: RunFolder) -> None:
    environ = planned.workers[0].environ
    assert environ["ACME_SERVICES__PROJECTS"] == ""
    assert environ["ACME_SERVICES__USERS"] == f"{folder.address('users-1.grpc')},{folder.address('users-2.grpc')}"
    assert planned.gateways[0].environ["ACME_SERVICES__PROJECTS"].count("projects-") == 2


def test_what_there_is_one_of_is_the_same_for_all(planned: Plan, folder: RunFolder) -> None:
    for child in (*planned.gateways, *planned.workers):
        environ = child.environ
        assert environ["ACME_DATABASE__URL"] == DATABASE
        assert "acme_database__url" not in environ  # names are read without regard to case
        assert environ["ACME_PLATFORM__DATA"] == str(folder.path.parent)
        assert environ["ACME_PLATFORM__PUBLIC_URL"] == planned.gateways[0].address
        assert environ["ACME_WORKER__REPLICAS"] == "2"
        assert environ["ACME_LIMITER__GATEWAYS"] == str(len(planned.gateways))
        assert environ["PATH"] == "/bin"


def test_the_command_says_what_a_process_is(planned: Plan) -> None:
    gateway, worker = planned.gateways[1].command, planned.workers[3].command
    assert gateway[gateway.index("serve") :][:4] == ("serve", "--json", "-c", "more.toml")
    assert "--gateway" in gateway
    assert gateway[gateway.index("--socket") + 1] == str(planned.gateways[1].descriptors[0])
    assert worker[worker.index("--only") + 1] == "users"
    assert worker[-2:] == ("--name", "users-2")


def test_every_process_has_a_port_of_its_own_for_operators(folder: RunFolder) -> None:
    settings = config(folder, monitor={"listen": "127.0.0.1:9090"})
    with supervisor._ports(settings)[0] as one:
        made = plan(settings, folder, [one], {"ACME_MONITOR__LISTEN": "127.0.0.1:9090"})
    ports = [child.environ["ACME_MONITOR__LISTEN"] for child in (*made.gateways, *made.workers)]
    assert ports == ["127.0.0.1:9090", "127.0.0.1:9091", "127.0.0.1:9092"]


def test_a_public_url_that_is_set_is_kept(folder: RunFolder) -> None:
    settings = config(folder)
    public = msgspec.structs.replace(
        settings, platform=msgspec.structs.replace(settings.platform, public_url="https://acme.example")
    )
    with supervisor._ports(settings)[0] as one:
        made = plan(public, folder, [one], {})
    assert made.workers[0].environ["ACME_PLATFORM__PUBLIC_URL"] == "https://acme.example"
    assert [child.name for child in (*made.gateways, *made.workers)] == ["gateway", "projects", "users"]


def test_further_listeners_are_handed_to_each_gateway(folder: RunFolder) -> None:
    listeners = {"inside": {"port": 0, "tls": False}}
    settings = config(folder, gateway={"port": 0, "listeners": listeners}, split={"gateways": 2})
    with ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in supervisor._ports(settings)]
        further = [further_of(settings.gateway, number) for number in range(2)]
        for each in further:
            stack.enter_context(each["inside"])
        made = supervisor.plan(settings, NAMES, {}, (), folder, DATABASE, sockets, further)
        for gateway, main, others in zip(made.gateways, sockets, further, strict=True):
            assert gateway.descriptors == (main.fileno(), others["inside"].fileno())
            assert f"--listener inside={others['inside'].fileno()}" in " ".join(gateway.command)


def test_over_tls_the_origin_is_https(folder: RunFolder) -> None:
    settings = config(folder, gateway={"port": 0, "tls": {"local": True}})
    with supervisor._ports(settings)[0] as one:
        made = plan(settings, folder, [one], {})
        assert made.gateways[0].address.startswith("https://127.0.0.1:")
        assert made.workers[0].environ["ACME_PLATFORM__PUBLIC_URL"] == made.gateways[0].address


def test_gateways_have_ports_one_after_the_other(folder: RunFolder) -> None:
    with listener.listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    first, second = supervisor._ports(config(folder, gateway={"port": port}, split={"gateways": 2}))
    with first, second:
        assert second.getsockname()[1] > first.getsockname()[1] >= port


def test_no_port_means_no_start(folder: RunFolder) -> None:
    with pytest.raises(CannotStart, match="no address of this machine"):
        supervisor._ports(config(folder, gateway={"host": "no such host.invalid"}, split={"gateways": 2}))


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
