"""What `acme up --split` and `--workers` start, and what they tell each process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import msgspec
import pytest

from acme.runtime import listener
from acme.runtime.databases import CannotStart
from acme.runtime.edge import MAIN
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config, load
from acme.runtime.shapes import Split, Workers
from acme.runtime.supervisor import Plan, Shape

NAMES = ("projects", "users")
DATABASE = "postgresql://acme@/?host=/data"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    one = RunFolder(tmp_path)
    yield one
    one.close()


def config(folder: RunFolder, **tables: Any) -> Config:
    return load(values={"platform": {"data": str(folder.path.parent)}, "gateway": {"port": 0}, **tables})


@contextmanager
def held(shape: Shape, settings: Config) -> Iterator[list[dict[str, socket]]]:
    """Its sockets, closed at the end."""
    sockets = shape.sockets(settings)
    try:
        yield sockets
    finally:
        for one in (one for each in sockets for one in each.values()):
            one.close()


@pytest.fixture
def planned(folder: RunFolder) -> Iterator[Plan]:
    """Two gateways, and two workers of each plugin."""
    settings = config(folder, split={"gateways": 2, "workers": 2})
    with held(Split(), settings) as sockets:
        yield plan(settings, folder, sockets, {"PATH": "/bin", "acme_database__url": "theirs"}, Path("more.toml"))


def plan(
    settings: Config,
    folder: RunFolder,
    sockets: Sequence[Mapping[str, socket]],
    environ: dict[str, str],
    *files: Path,
) -> Plan:
    return Split().plan(settings, NAMES, environ, files, folder, DATABASE, sockets)


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
    with Split().sockets(settings)[0][MAIN] as one:
        made = plan(settings, folder, [{MAIN: one}], {"ACME_MONITOR__LISTEN": "127.0.0.1:9090"})
    ports = [child.environ["ACME_MONITOR__LISTEN"] for child in (*made.gateways, *made.workers)]
    assert ports == ["127.0.0.1:9090", "127.0.0.1:9091", "127.0.0.1:9092"]


def test_a_public_url_that_is_set_is_kept(folder: RunFolder) -> None:
    settings = config(folder)
    public = msgspec.structs.replace(
        settings, platform=msgspec.structs.replace(settings.platform, public_url="https://acme.example")
    )
    with Split().sockets(settings)[0][MAIN] as one:
        made = plan(public, folder, [{MAIN: one}], {})
    assert made.workers[0].environ["ACME_PLATFORM__PUBLIC_URL"] == "https://acme.example"
    assert [child.name for child in (*made.gateways, *made.workers)] == ["gateway", "projects", "users"]


def test_further_listeners_are_handed_to_each_gateway(folder: RunFolder) -> None:
    listeners = {"inside": {"port": 0, "tls": False}}
    settings = config(folder, gateway={"port": 0, "listeners": listeners}, split={"gateways": 2})
    with held(Split(), settings) as sockets:
        made = plan(settings, folder, sockets, {})
        for gateway, own in zip(made.gateways, sockets, strict=True):
            assert gateway.descriptors == (own[MAIN].fileno(), own["inside"].fileno())
            assert f"--listener inside={own['inside'].fileno()}" in " ".join(gateway.command)


def test_over_tls_the_origin_is_https(folder: RunFolder) -> None:
    settings = config(folder, gateway={"port": 0, "tls": {"local": True}})
    with Split().sockets(settings)[0][MAIN] as one:
        made = plan(settings, folder, [{MAIN: one}], {})
        assert made.gateways[0].address.startswith("https://127.0.0.1:")
        assert made.workers[0].environ["ACME_PLATFORM__PUBLIC_URL"] == made.gateways[0].address


def test_gateways_have_ports_one_after_the_other(folder: RunFolder) -> None:
    with listener.listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    with held(Split(), config(folder, gateway={"port": port}, split={"gateways": 2})) as (first, second):
        assert second[MAIN].getsockname()[1] > first[MAIN].getsockname()[1] >= port


@pytest.mark.parametrize("shape", [Split(), Workers()], ids=["split", "workers"])
def test_no_port_means_no_start(folder: RunFolder, shape: Shape) -> None:
    settings = config(folder, gateway={"host": "no such host.invalid", "workers": 2}, split={"gateways": 2})
    with pytest.raises(CannotStart, match="no address of this machine"):
        shape.sockets(settings)


def test_workers_share_every_port_and_have_sockets_of_their_own(folder: RunFolder) -> None:
    settings = config(folder, gateway={"port": 0, "workers": 3, "listeners": {"inside": {"port": 0, "tls": False}}})
    with held(Workers(), settings) as sockets:
        for name in (MAIN, "inside"):
            assert len({each[name].getsockname() for each in sockets}) == 1
            assert len({each[name].fileno() for each in sockets}) == 3
        made = Workers().plan(settings, NAMES, {}, (), folder, DATABASE, sockets)
        everybody = {one.fileno() for each in sockets for one in each.values()}
        assert [child.name for child in made.gateways] == ["worker-1", "worker-2", "worker-3"]
        assert (made.workers, made.alike) == ((), True)
        for number, (worker, own) in enumerate(zip(made.gateways, sockets, strict=True), 1):
            command = " ".join(worker.command)
            assert set(worker.descriptors) == everybody, "who stands in for another has its sockets"
            assert f"--gateway --only projects,users --listen {folder.address(f'worker-{number}.grpc')}" in command
            assert f"--socket {own[MAIN].fileno()} --listener inside={own['inside'].fileno()}" in command
            others = [(n, each) for n, each in enumerate(sockets, 1) if n != number]
            told = [f"--other {n}:{name}:{one.fileno()}" for n, each in others for name, one in each.items()]
            assert all(text in command for text in told)
            assert command.count("--other") == len(told) == 4


def test_workers_share_what_is_kept_for_all(folder: RunFolder) -> None:
    settings = config(folder, gateway={"port": 0, "workers": 2})
    with held(Workers(), settings) as sockets:
        given = {"ACME_SERVICES__USERS": "grpc://elsewhere:1"}
        environ = Workers().plan(settings, NAMES, given, (), folder, DATABASE, sockets).gateways[1].environ
        assert environ["ACME_DATABASE__URL"] == DATABASE
        assert (environ["ACME_WORKER__REPLICAS"], environ["ACME_LIMITER__GATEWAYS"]) == ("2", "2")
        assert (environ["ACME_SERVICES__USERS"], environ["ACME_CACHE__URL"]) == ("", "none:")
        redis = {"url": "redis://127.0.0.1:1/0"}
        shared = config(folder, gateway={"port": 0, "workers": 2}, limiter=redis, cache=redis)
        environ = Workers().plan(shared, NAMES, {}, (), folder, DATABASE, sockets).gateways[0].environ
        assert not {"ACME_CACHE__URL", "ACME_LIMITER__GATEWAYS"} & environ.keys(), "they count each other there"
        two = config(folder, gateway={"port": 0, "workers": 2}, limiter={"gateways": 3})
        environ = Workers().plan(two, NAMES, {}, (), folder, DATABASE, sockets).gateways[0].environ
        assert environ["ACME_LIMITER__GATEWAYS"] == "6", "three machines of two"


@pytest.mark.parametrize(
    ("shape", "sessions"), [(Split(), 3 * 2 * (4 + 2 + 1)), (Workers(), 5 * (3 * 4 + 2 + 1))], ids=["split", "workers"]
)
def test_sessions_are_those_of_all_pools(folder: RunFolder, shape: Shape, sessions: int) -> None:
    settings = config(
        folder,
        gateway={"workers": 5},
        split={"workers": 2},
        database={"connections": 4},
        bus={"connections": 2},
    )
    assert shape.sessions(settings, 3) == sessions
