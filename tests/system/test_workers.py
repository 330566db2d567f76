"""`acme up --workers N`: processes that are alike on one port, and everything stays true."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from acme.runtime.reloading import everywhere
from acme.testing.people import principal_of
from tests.system.running import Person, Platform, call, known_within, platform, wait_for
from tests.system.test_split import child_of, children, living, restarts, topology
from tests.unit.acme.dispatch.town import until

WORKERS: Final = ("--port", "0", "--workers", "2")
AGAIN: Final = 60.0
"""Seconds in which a process that was killed is back, on a machine with much else to do."""
CLIENTS: Final = 8


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform"), *WORKERS) as one:
        yield one


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform for one test; started by the test."""
    one = Platform(tmp_path / "platform", *WORKERS)
    yield one
    one.close()


def answered(one: Platform, route: str = "") -> Counter[str]:
    """Requests by the process that answered them, as the access log tells."""
    lines = (json.loads(line) for line in one.log().splitlines() if line.startswith('{"process":'))
    return Counter(line["process"] for line in lines if "status" in line and route in ("", line["route"]))


def sessions_of(one: Platform, person: Person) -> list[int]:
    """What twenty connections are told when they ask with a token: each worker is among them."""
    return [call(one.api, "GET", "/v1/users/me", token=person.token).status for _ in range(20)]


def test_all_answer_on_one_port_and_each_has_everything(running: Platform) -> None:
    ready = running.ready
    plugins = {plugin["name"]: (plugin["placement"], plugin["health"]) for plugin in ready["plugins"]}
    assert plugins == dict.fromkeys(("users", "projects", "audit"), ("workers", "up"))
    assert set(children(running)) == {"worker-1", "worker-2"}
    assert {process["address"] for process in ready["processes"]} == {running.api}
    for _ in range(40):
        assert call(running.api, "GET", "/healthz").status == 200
    wait_for("both in the log", lambda: answered(running, "/healthz").total() >= 40)
    assert min(answered(running, "/healthz")[name] for name in ("worker-1", "worker-2")) > 0
    seen = topology(running)
    assert {"supervisor", "worker-1", "worker-2"} == set(seen)
    served = [{each["name"] for each in seen[name]["services"]} for name in ("worker-1", "worker-2")]
    assert served[0] == served[1] >= {"acme.projects.v1.Projects", "acme.users.v1.Users"}


def test_what_one_was_told_all_know(running: Platform) -> None:
    person = running.join("revoked@example.com")
    assert set(sessions_of(running, person)) == {200}
    session = call(running.api, "GET", "/v1/sessions", token=person.token).json["sessions"][0]["id"]
    assert call(running.api, "DELETE", f"/v1/sessions/{session}", token=person.token).status == 204
    known_within(1.0, lambda: min(sessions_of(running, person)), 401)
    assert set(sessions_of(running, person)) == {401}


def test_a_key_means_the_same_to_all(running: Platform) -> None:
    person = running.join("key@example.com")
    replies = [
        running.call("POST", "/v1/projects", {"name": "Once"}, token=person.token, headers={"Idempotency-Key": "once"})
        for _ in range(10)
    ]
    assert {(reply.status, reply.json["id"]) for reply in replies} == {(201, replies[0].json["id"])}


def test_what_happens_is_recorded_once(running: Platform) -> None:
    person = running.join("recorded@example.com")
    for number in range(10):
        running.project(person, f"Recorded {number}")
    path = f"/v1/organizations/{principal_of(person.token).organization}/auditRecords?page_size=1000"

    def made() -> int:
        kept = running.call("GET", path, token=person.token).json["records"]
        return sum(each["record"]["action"].endswith("/CreateProject") for each in kept)

    wait_for("all records", lambda: made() == 10, limit=60)


def test_limits_are_shared_among_them(tmp_path: Path) -> None:
    limits = {"RATE": "0.1", "BURST": "20", "ADDRESS_RATE": "0.1", "ADDRESS_BURST": "20"}
    environ = {f"ACME_GATEWAY__LIMITS__DEFAULT__{key}": value for key, value in limits.items()}
    with platform(tmp_path, *WORKERS, environ=environ) as one:
        told = Counter(call(one.api, "GET", "/v1/projects").status for _ in range(100))
    assert set(told) == {401, 429}
    assert 10 <= told[401] <= 20, "each keeps its half"


async def test_settings_change_in_all_or_in_none(running: Platform) -> None:
    for text, told in (
        ("[gateway]\ndocs = false\n", {404}),
        ('[gateway]\n[gateway.routes]\n"no.Such/Method" = { cost = 2 }\n', {404}),
        ("", {200}),
    ):
        (running.folder / "acme.toml").write_text(text)
        found, silent = await everywhere(running.data, apply=True)
        assert ([answer.process for answer in found], silent) == (["control-worker-1", "control-worker-2"], [])
        assert {bool(answer.outlook.problems) for answer in found} == {"no.Such" in text}
        assert {call(running.api, "GET", "/docs").status for _ in range(20)} == told


def test_a_signal_to_the_supervisor_reaches_all(running: Platform) -> None:
    (running.folder / "acme.toml").write_text("[gateway]\ndocs = false\n")
    running.running.send_signal(signal.SIGHUP)
    wait_for("no page", lambda: {call(running.api, "GET", "/docs").status for _ in range(10)} == {404})
    (running.folder / "acme.toml").write_text("")
    running.running.send_signal(signal.SIGHUP)
    wait_for("the page", lambda: {call(running.api, "GET", "/docs").status for _ in range(10)} == {200})


class Clients:
    """Each asks over and over, on a connection of its own for each request."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.stop = False

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=aiohttp.ClientTimeout(total=60)
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(CLIENTS):
                group.create_task(self._one(client))

    async def _one(self, client: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while not self.stop:
            began = loop.time()
            try:
                async with client.get(f"{self._url}/healthz") as reply:
                    await reply.read()
                    outcome = str(reply.status)
            except aiohttp.ClientConnectorError as error:
                outcome = f"refused: {error}"
            except aiohttp.ClientError as error:
                outcome = f"cut off: {type(error).__name__}"
            self.slowest = max(self.slowest, loop.time() - began)
            self.outcomes[outcome] += 1


@pytest.mark.drill
async def test_a_worker_that_is_killed_costs_no_more_than_what_it_was_answering(own: Platform) -> None:
    own.start()
    clients = Clients(own.api)
    killed = 2
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        try:
            for number in range(killed):
                name = f"worker-{number + 1}"
                done = clients.outcomes.total()
                await until(lambda done=done: clients.outcomes.total() >= done + 100, 60)  # type: ignore[misc]  # a default
                os.kill((await child_of(own, name)).pid, signal.SIGKILL)
                await until_back(own, name)
                back = answered(own)[name]
                await until(lambda name=name, back=back: answered(own)[name] > back + 10, 60)  # type: ignore[misc]  # as above
        finally:
            clients.stop = True
    refused = [outcome for outcome in clients.outcomes if outcome.startswith("refused")]
    cut = sum(count for outcome, count in clients.outcomes.items() if outcome.startswith("cut off"))
    assert refused == [], clients.outcomes
    assert cut <= CLIENTS * killed, clients.outcomes
    assert clients.outcomes["200"] == clients.outcomes.total() - cut
    assert own.log().count("a process stands in") >= killed


async def until_back(one: Platform, name: str) -> None:
    """Returns when a worker that was killed is up again."""
    async with asyncio.timeout(AGAIN):
        child = await child_of(one, name)
        while (child.state, child.restarts) != ("up", 1):
            await asyncio.sleep(0.05)
            child = await child_of(one, name)


def ask_one(one: Platform, limit: float) -> int:
    """What a connection of its own is answered, within so many seconds."""
    url = urlsplit(one.api)
    with closing(HTTPConnection(url.netloc, timeout=limit)) as client:
        client.request("GET", "/healthz")
        return client.getresponse().status


def test_nobody_waits_for_a_worker_that_ends_by_itself_and_still_answers(own: Platform) -> None:
    own.start()
    url, before = urlsplit(own.api), topology(own)
    with closing(socket.create_connection((url.hostname, url.port), 60)) as slow:
        slow.sendall(b"POST /v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        slow.sendall(b"Content-Length: 100\r\n\r\n{")

        def busy() -> list[str]:
            seen = topology(own)
            return [name for name in ("worker-1", "worker-2") if seen[name]["in_flight"]]

        wait_for("a request under way", busy)
        (name,) = busy()
        pid = before[name]["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_for("somebody stands in", lambda: "a process stands in" in own.log())
        statuses = Counter(ask_one(own, 3.0) for _ in range(60))
        assert living(pid), "it was still busy with the slow one"
        assert statuses == {200: 60}
        slow.sendall(b'"email": "x"}'.ljust(99))
        assert slow.recv(100).startswith(b"HTTP/1.1 4"), "what it had begun is answered"
    wait_for("it is back", lambda: restarts(own, name) == 1, AGAIN)
    assert {ask_one(own, 10.0) for _ in range(20)} == {200}


@pytest.mark.drill
async def test_a_stop_under_load_lets_every_request_end(own: Platform) -> None:
    own.start()
    clients = Clients(own.api)
    statuses: Counter[Any] = clients.outcomes
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        await until(lambda: statuses.total() >= 200, 60)
        pids = [*children(own).values()]
        own.running.send_signal(signal.SIGTERM)
        await until(lambda: any(outcome.startswith("refused") for outcome in statuses), 60)
        clients.stop = True
    assert own.wait() == 0
    assert not any(living(pid) for pid in pids)
    assert {outcome for outcome in statuses if outcome.isdecimal()} == {"200"}
    assert "were cut off at the end of the drain" not in own.log()


@pytest.mark.drill
def test_over_tls_one_stands_in_for_another_as_well(tmp_path: Path) -> None:
    with platform(tmp_path, *WORKERS, "--tls") as one:
        believed = ssl.create_default_context(cafile=one.ready["authority"])

        def statuses() -> set[int]:
            url = urlsplit(one.api)
            found = set()
            for _ in range(20):
                client = HTTPSConnection(url.netloc, context=believed, timeout=60)
                with closing(client):
                    client.request("GET", "/healthz")
                    found.add(client.getresponse().status)
            return found

        assert one.api.startswith("https:")
        assert statuses() == {200}
        name = "worker-2"
        os.kill(topology(one)[name]["pid"], signal.SIGKILL)
        assert statuses() == {200}, "nobody waits for it"
        wait_for("it is back", lambda: restarts(one, name) == 1, AGAIN)
        assert statuses() == {200}
        assert one.stop() == 0
