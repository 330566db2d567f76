"""`acme up --split`: gateway and plugins as processes of their own, and one that looks after them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from acme.runtime.topology import ChildState, look
from acme.testing import Server
from tests.redis_server import RedisServer
from tests.soaking import soaking
from tests.system.running import (
    ACME,
    WITHOUT_AUDIT,
    Person,
    Platform,
    call,
    check_problem,
    known_within,
    platform,
    wait_for,
)
from tests.system.test_crash import WRITERS, Ledger, Writer, all_projects

KILLS, LONG = 3, 8
"""Times; LONG in a soak."""
SPLIT = ("--port", "0", "--split")
AGAIN = 15.0
"""Seconds in which a process that was killed is back."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform"), *SPLIT) as one:
        yield one


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform for one test; started by the test."""
    one = Platform(tmp_path / "platform", *SPLIT, environ=WITHOUT_AUDIT)
    yield one
    one.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis"))
    one.start()
    yield one
    one.kill()


def children(one: Platform) -> dict[str, int]:
    """Process ids by name, as they were at the start."""
    return {process["name"]: process["pid"] for process in one.ready["processes"]}


def living(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def topology(one: Platform) -> dict[str, dict[str, Any]]:
    """What `acme topology --json` shows, by process."""
    command = [ACME, "topology", "--json", "--data", str(one.data)]
    shown = subprocess.run(command, env=one.environ, capture_output=True, text=True, timeout=30, check=True)
    return {process["name"]: process for process in json.loads(shown.stdout)["processes"]}


def restarts(one: Platform, name: str) -> int:
    """How often a child was started again and is up."""
    child = asyncio.run(child_of(one, name))
    return child.restarts if child.state == "up" else 0


async def child_of(one: Platform, name: str) -> ChildState:
    """What the supervisor knows of a child; what `acme topology` shows, without a process for every look."""
    (child,) = [
        child for process in (await look(one.data)).processes for child in process.children if child.name == name
    ]
    return child


def test_the_line_on_standard_output_names_every_process(running: Platform) -> None:
    ready = running.ready
    assert {plugin["name"]: (plugin["placement"], plugin["health"]) for plugin in ready["plugins"]} == {
        "users": ("process", "up"),
        "projects": ("process", "up"),
        "audit": ("process", "up"),
    }
    assert (ready["mode"], ready["ready"]) == ("embedded", True)
    pids = children(running)
    assert set(pids) == {"gateway", "users", "projects", "audit"}
    assert len({*pids.values(), ready["pid"]}) == 5
    assert all(living(pid) for pid in pids.values())


def test_readiness_names_every_service(running: Platform) -> None:
    answer = call(running.api, "GET", "/readyz").json
    assert (answer["ready"], answer["plugins"]) == (True, {"users": "ok", "projects": "ok", "audit": "ok"})


def test_topology_tells_what_runs_where(running: Platform) -> None:
    running.project(running.join("topology@example.com"), "Seen")
    seen = topology(running)
    assert {name: process["pid"] for name, process in seen.items()} == {
        **children(running),
        "supervisor": running.ready["pid"],
    }
    assert {process["health"] for process in seen.values()} == {"up"}
    own = [service for service in seen["projects"]["services"] if service["placement"] == "local"]
    (projects,) = [service for service in own if service["calls"]]
    assert (projects["name"], projects["plugin"], projects["version"]) == (
        "acme.projects.v1.Projects",
        "projects",
        "0.1.0",
    )
    assert projects["calls"] > 0
    assert 0 < projects["p99_seconds"] < 10
    remote = {service["name"]: service["health"] for service in seen["gateway"]["services"]}
    assert set(remote.values()) == {"up"}
    assert "acme.users.v1.Users" in remote


@pytest.mark.drill
def test_topology_of_one_process_is_that_process(tmp_path: Path) -> None:
    with platform(tmp_path / "one") as one:
        (process,) = topology(one).values()
        assert (process["pid"], process["listens"], process["health"]) == (one.ready["pid"], [one.api], "up")
        assert {service["placement"] for service in process["services"]} == {"local"}


@pytest.mark.drill
async def test_a_database_of_the_operators_is_used_as_it_is(own: Platform, postgres: Server) -> None:
    own.environ["ACME_DATABASE__URL"] = postgres.url("postgres")
    async with (
        postgres.database() as users,
        postgres.database() as projects,
        postgres.database() as bus,
    ):
        own.environ |= {"ACME_DATABASE__URLS__USERS": postgres.url(users), "ACME_BUS__URL": postgres.url(bus)}
        own.environ |= {"ACME_DATABASE__URLS__PROJECTS": postgres.url(projects)}
        await asyncio.to_thread(own.start)
        assert own.ready["mode"] == "external"
        person = await asyncio.to_thread(own.join, "external@example.com")
        assert (await asyncio.to_thread(own.project, person, "Theirs"))["name"] == "Theirs"
        assert own.database_processes() == []
        assert await asyncio.to_thread(own.stop) == 0


def test_topology_for_people_is_a_table(running: Platform) -> None:
    command = [ACME, "topology", "--data", str(running.data)]
    shown = subprocess.run(command, env=running.environ, capture_output=True, text=True, timeout=30, check=True).stdout
    for word in (
        "supervisor",
        "gateway",
        "users",
        "projects",
        "audit",
        running.api,
        "acme.projects.v1.Projects",
        "0.1.0",
        "ms",
    ):
        assert word in shown


def test_nothing_is_kept_from_the_owner_and_everything_from_others(running: Platform) -> None:
    folder = running.data / "run"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.glob("control*.sock")} == {0o600}


def test_every_line_of_the_log_names_its_process(running: Platform) -> None:
    named = [json.loads(line).get("process", "supervisor") for line in running.log().splitlines()]
    assert {"gateway", "projects"} <= set(named)


def test_a_second_start_on_the_folder_is_refused(running: Platform) -> None:
    second = running.run(*SPLIT)
    assert second.returncode == 1
    assert str(running.running.pid) in second.stderr
    assert call(running.api, "GET", "/readyz").status == 200


def check_all_ended(one: Platform, pids: Mapping[str, int]) -> None:
    """One signal to the supervisor has ended them all: the gateway first, so that what it took is answered."""
    assert [name for name, pid in pids.items() if living(pid)] == []
    assert one.database_processes() == []
    stopped = [
        line.get("process", "supervisor")
        for line in map(json.loads, one.log().splitlines())
        if line.get("event") == "stopping"
    ]
    assert stopped[:2] == ["supervisor", "gateway"]
    assert sorted(stopped[2:]) == ["audit", "projects", "users"]
    assert not list((one.data / "run").glob("control*"))


def kill_the_group(one: Platform) -> None:
    os.killpg(one.running.pid, signal.SIGKILL)
    one.wait()


WHOLE = pytest.param(kill_the_group, id="the whole group", marks=pytest.mark.drill)


@pytest.mark.parametrize("kill", [pytest.param(Platform.kill, id="the supervisor"), WHOLE])
def test_kill_9_leaves_no_orphan_and_the_next_start_works(own: Platform, kill: Any) -> None:
    own.start()
    pids = children(own)
    person = own.join("orphan@example.com")
    made = own.project(person, "Kept")
    kill(own)
    wait_for("the children's end", lambda: not any(map(living, pids.values())))
    wait_for("the database's end", lambda: not own.database_processes())
    own.start()
    kept = own.call("GET", f"/v1/projects/{made['id']}", token=person.token)
    assert (kept.status, kept.json) == (200, made)
    assert own.stop() == 0


def answers(one: Platform, person: Person, path: str) -> int:
    return one.call("GET", path, token=person.token).status


def test_a_killed_worker_is_started_again_and_the_others_go_on(own: Platform) -> None:
    own.start()
    person = own.join("worker@example.com")
    made = own.project(person, "Kept")
    # SIGSTOP first: while it stands still it cannot be started again, and what others do meanwhile can be seen.
    os.kill(children(own)["projects"], signal.SIGSTOP)
    assert answers(own, person, "/v1/users/me") == 200
    os.kill(children(own)["projects"], signal.SIGKILL)
    wait_for("the worker", lambda: restarts(own, "projects") == 1, limit=AGAIN)
    wait_for("the route", lambda: answers(own, person, f"/v1/projects/{made['id']}") == 200, limit=AGAIN)
    assert call(own.api, "GET", "/readyz").json["plugins"] == {"users": "ok", "projects": "ok"}
    assert restarts(own, "gateway") == restarts(own, "users") == 0


@pytest.mark.drill
def test_a_worker_that_hangs_is_killed_and_started_again(own: Platform) -> None:
    own.environ["ACME_SPLIT__HANG_LIMIT"] = "3"
    own.start()
    person = own.join("hangs@example.com")
    made = own.project(person, "Kept")
    hung = children(own)["projects"]
    os.kill(hung, signal.SIGSTOP)
    assert answers(own, person, "/v1/users/me") == 200
    wait_for("the end of the one that hangs", lambda: not living(hung), limit=30.0)
    wait_for("another", lambda: restarts(own, "projects") == 1, limit=AGAIN)
    wait_for("the route", lambda: answers(own, person, f"/v1/projects/{made['id']}") == 200, limit=AGAIN)
    assert restarts(own, "gateway") == restarts(own, "users") == 0
    lines = [json.loads(line) for line in own.log().splitlines() if '"process hangs"' in line]
    assert [(line["process"], line["pid"]) for line in lines] == [("projects", hung)]


@pytest.mark.drill
@pytest.mark.soak
async def test_a_worker_killed_under_load_loses_and_doubles_nothing(
    own: Platform, redis: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    """Three kills; eight in `make soak`."""
    own.environ |= {"ACME_LOG__LEVEL": "warning", "ACME_GATEWAY__ACCESS_LOG": "false"}
    own.environ |= {"ACME_SPLIT__WORKERS": "2", "ACME_CACHE__URL": redis.url()}
    await asyncio.to_thread(own.start)
    person = await asyncio.to_thread(own.join, "ledger@example.com")
    ledger, stop = Ledger(), asyncio.Event()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
        writers = [Writer(f"Writer {number}", own, person.token, ledger, stop) for number in range(WRITERS)]
        async with asyncio.timeout(240), asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.run(client))
            for number in range(LONG if soaking() else KILLS):
                await ledger.grow(by=random.randint(20, 80), limit=60)
                await kill_child(own, f"projects-{number % 2 + 1}")
            await ledger.grow(by=10, limit=60)
            stop.set()
    kept = await all_projects(own, person.token)
    assert [name for name, times in Counter(name for name, _ in kept).items() if times > 1] == []
    assert dict(kept) == ledger.acknowledged
    record_property("acknowledged writes", len(ledger.acknowledged))
    record_property("writes that were retried", len(ledger.retries))
    assert await asyncio.to_thread(own.stop) == 0


async def kill_child(one: Platform, name: str) -> None:
    """Kill -9, as soon as it is up."""
    async with asyncio.timeout(AGAIN):
        while True:
            child = await child_of(one, name)
            if child.state == "up":
                os.kill(child.pid, signal.SIGKILL)
                return
            await asyncio.sleep(0.05)


def test_connections_wait_while_a_killed_gateway_is_started_again(own: Platform) -> None:
    own.start()
    person = own.join("gateway@example.com")
    os.kill(children(own)["gateway"], signal.SIGKILL)
    wait_for("the gateway's end", lambda: not living(children(own)["gateway"]))
    assert answers(own, person, "/v1/users/me") == 200  # the listening socket outlived it


def refused(api: str, person: Person) -> int:
    return call(api, "GET", "/v1/users/me", token=person.token).status


@pytest.mark.drill
def test_two_gateways_and_two_workers_are_one_platform(tmp_path: Path, redis: RedisServer) -> None:
    environ = {"ACME_SPLIT__GATEWAYS": "2", "ACME_SPLIT__WORKERS": "2", "ACME_CACHE__URL": redis.url()}
    with platform(tmp_path / "platform", *SPLIT, environ=environ) as one:
        names = {process["name"]: process["address"] for process in one.ready["processes"]}
        assert set(names) == {
            "gateway-1",
            "gateway-2",
            "users-1",
            "users-2",
            "projects-1",
            "projects-2",
            "audit-1",
            "audit-2",
        }
        first, second = names["gateway-1"], names["gateway-2"]
        assert first == one.api != second
        person = one.join("two@example.com")
        made = [
            call(api, "POST", "/v1/projects", {"name": "Once"}, token=person.token, headers={"Idempotency-Key": "once"})
            for api in (first, second) * 3
        ]
        assert {(reply.status, reply.json["id"]) for reply in made} == {(201, made[0].json["id"])}
        page = call(first, "GET", "/v1/projects?page_size=1", token=person.token).json
        assert call(second, "GET", "/v1/projects", token=person.token).json["projects"] == page["projects"]
        ended = call(first, "DELETE", f"/v1/sessions/{person.tokens['session_id']}", token=person.token)
        assert ended.status == 204
        for api in (first, second):
            known_within(2.0, partial(refused, api, person))
        assert one.stop() == 0


@pytest.mark.drill
def test_a_plugin_that_cannot_start_is_told_and_the_others_run(own: Platform) -> None:
    own.folder.mkdir()
    (own.folder / "acme.toml").write_text("[plugins.projects]\ncolour = 'red'\n")
    own.start()
    plugins = {plugin["name"]: plugin for plugin in own.ready["plugins"]}
    assert plugins["projects"]["health"] == "quarantined"
    assert "plugins.projects.colour" in plugins["projects"]["reason"]
    person = own.join("quarantine@example.com")
    check_problem(own.call("GET", "/v1/projects", token=person.token), 503)
    assert own.call("GET", "/v1/users/me", token=person.token).status == 200


def test_a_process_that_cannot_start_ends_the_start_with_its_reason(own: Platform) -> None:
    own.environ["ACME_SPLIT__WORKERS"] = "2"  # and no Redis for what two workers share
    own.environ["ACME_PLATFORM__DISABLED"] = '["projects", "audit"]'
    ended = own.run(*SPLIT)
    assert ended.returncode == 1
    told = ended.stderr[ended.stderr.rindex("acme: ") :]
    assert "did not start" in told
    assert [word for word in ("cache.url", "memory:", "redis://", "ACME_CACHE__URL") if word not in told] == []
    assert "Traceback" not in ended.stderr
    assert own.database_processes() == []
