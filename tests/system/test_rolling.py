"""A rolling restart under load: two workers of each plugin and two gateways behind a TCP balancer, and nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from acme.runtime.topology import look
from acme.testing import Server
from tests.soaking import soaking
from tests.system.balancer import Balancer, balancer
from tests.system.deployment import Deployment, Process, create, deployment, free_port, join, services
from tests.system.running import Person, call

RATE: Final = 100
"""Requests a second."""
NOTICE: Final = 1.5
"""Seconds between a gateway's "not ready" and its end."""
KEEP: Final = 0.5
"""Seconds that the client keeps an idle connection: less than the notice, so that none is idle when a gateway goes."""


@dataclass
class Load:
    """Requests at a steady rate, each on its own account, and how they ended."""

    url: str
    person: Person
    project: str
    outcomes: Counter[str] = field(default_factory=Counter)
    created: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Sends until it is told to stop, and waits for every answer."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP)
        timeout = aiohttp.ClientTimeout(total=15)
        begun = time.monotonic()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in itertools.count():
                if stop.is_set():
                    break
                group.create_task(self.one(client, number))
                await asyncio.sleep(max(0.0, begun + (number + 1) / RATE - time.monotonic()))

    async def one(self, client: aiohttp.ClientSession, number: int) -> None:
        """A write every fifth time, with a key; a read otherwise. Nothing is repeated here."""
        headers = {"Authorization": f"Bearer {self.person.token}"}
        started = time.monotonic()
        try:
            if number % 5 == 0:
                name = f"Rolling {number}"
                async with client.post(
                    f"{self.url}/v1/projects",
                    json={"name": name},
                    headers={**headers, "Idempotency-Key": f"rolling-{number}"},
                ) as reply:
                    outcome = "ok" if reply.status == 201 else f"POST {reply.status} {await reply.text()}"
                    if reply.status == 201:
                        self.created[name] = (await reply.json())["id"]
            else:
                async with client.get(f"{self.url}/v1/projects/{self.project}", headers=headers) as reply:
                    outcome = "ok" if reply.status == 200 else f"GET {reply.status} {await reply.text()}"
                    await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = f"{'POST' if number % 5 == 0 else 'GET'} {error!r}"
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, time.monotonic() - started)


@dataclass
class Fleet:
    """Everything that is restarted, by name: how to start it, and what runs."""

    one: Deployment
    starts: dict[str, tuple[tuple[str, ...], dict[str, str]]]
    running: dict[str, Process] = field(default_factory=dict)

    def start_all(self) -> None:
        self.running = {
            name: self.one.begin(name, *options, environ=environ) for name, (options, environ) in self.starts.items()
        }
        for process in self.running.values():
            process.wait_until_ready()

    def restart(self, name: str) -> None:
        """Ends one in order, and starts its successor."""
        assert self.running[name].stop(limit=40) == 0, self.running[name].log()
        options, environ = self.starts[name]
        self.running[name] = self.one.start(name, *options, environ=environ)


def fleet(one: Deployment) -> Fleet:
    """Two of everything."""
    places = {plugin: [f"grpc://127.0.0.1:{free_port()}" for _ in range(2)] for plugin in ("users", "projects")}
    everywhere = {plugin: ",".join(addresses) for plugin, addresses in places.items()}
    starts: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}
    for plugin, addresses in places.items():
        others = services(**{name: where for name, where in everywhere.items() if name != plugin})
        for number, address in enumerate(addresses, 1):
            starts[f"{plugin}-{number}"] = ("--only", plugin, "--listen", address), others
    for number in (1, 2):
        options = ("--gateway", "--port", str(free_port()))
        starts[f"gateway-{number}"] = options, {**services(**everywhere), "ACME_GATEWAY__NOTICE": str(NOTICE)}
    return Fleet(one, starts)


def address(process: Process) -> tuple[str, int]:
    where = urlsplit(process.api)
    return str(where.hostname), int(where.port or 0)


async def until_all_know_each_other(front: Balancer, all_of: Fleet) -> None:
    """What whoever rolls a deployment waits for (`minReadySeconds`): a new one is ready, and the others have found it."""
    front.places = [address(all_of.running[f"gateway-{number}"]) for number in (1, 2)]
    async with asyncio.timeout(60):
        while True:
            if front.ready.issuperset(front.places) and await found(all_of.one):
                return
            await asyncio.sleep(0.05)


async def found(one: Deployment) -> bool:
    """Whether every process has a connection to every address it knows."""
    seen = await look(one.folder / "data")
    states = [
        state.rpartition(" ")[2] for process in seen.processes for each in process.services for state in each.addresses
    ]
    return not seen.silent and set(states) == {"ready"}


@pytest.mark.drill
@pytest.mark.soak
async def test_a_rolling_restart_fails_no_request(
    tmp_path: Path, postgres: Server, record_property: Callable[[str, object], None]
) -> None:
    """Once through all of them; three times in `make soak`."""
    manager = deployment(tmp_path / "rolling", postgres)
    one = await asyncio.to_thread(manager.__enter__)
    try:
        all_of = fleet(one)
        await asyncio.to_thread(all_of.start_all)
        async with balancer() as front:
            await until_all_know_each_other(front, all_of)
            url = f"http://127.0.0.1:{front.port}"
            person = await asyncio.to_thread(join, url, "rolling@example.com")
            first = await asyncio.to_thread(_create, url, person)
            load, stop = Load(url, person, first), asyncio.Event()
            async with asyncio.timeout(240), asyncio.TaskGroup() as group:
                group.create_task(load.run(stop))
                for name in [*all_of.starts] * (3 if soaking() else 1):
                    await asyncio.to_thread(all_of.restart, name)
                    await until_all_know_each_other(front, all_of)
                stop.set()
            kept = await asyncio.to_thread(_all, url, person)
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)
    record_property("requests", sum(load.outcomes.values()))
    record_property("slowest answer in seconds", round(load.slowest, 3))
    print(f"{sum(load.outcomes.values())} requests, slowest {load.slowest:.3f} s")
    assert set(load.outcomes) == {"ok"}, load.outcomes
    assert sum(load.outcomes.values()) > 5 * RATE
    assert {name: found for name, found in kept.items() if name != "First"} == load.created


def _create(url: str, person: Person) -> str:
    return str(create(url, person, "First").json["id"])


def _all(url: str, person: Person) -> dict[str, str]:
    """Name → id of every project; one of each name."""
    found: list[tuple[str, str]] = []
    page = ""
    while True:
        reply = call(url, "GET", f"/v1/projects?page_size=500&page_token={page}", token=person.token).json
        found += [(project["name"], project["id"]) for project in reply["projects"]]
        page = reply["next_page_token"]
        if not page:
            assert len(dict(found)) == len(found), "a write was doubled"
            return dict(found)
