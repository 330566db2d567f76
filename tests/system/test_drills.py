"""One of two workers is killed, stopped, cut off and slowed down, while requests go on.

What the README promises of it: no write that was acknowledged is lost or there twice; a read that was on its way is sent
to the other worker, as long as that costs a tenth of extra load and ten at once; and a second after the fault, whatever
is asked next is answered as always.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import pytest

from acme.dispatch.again import BURST, SHARE
from acme.dispatch.place import Settings
from acme.runtime.topology import look
from acme.testing import Server
from tests.proxy import Proxy, proxy
from tests.system.deployment import Deployment, Process, create, deployment, free_port, join, services
from tests.system.running import Person, call

pytestmark = pytest.mark.drill

BUNCH: Final = 6
"""Requests that are sent at a time, so that there is always something that a fault can meet; every third is a write."""
EVERY: Final = 0.08
"""Seconds between two bunches."""
FRESH: Final = 2.0
"""Seconds after a fault from which on every request is answered as always,"""
NORMAL: Final = 1.0
"""that is in fewer seconds than this: a hundred times what it takes, since the machine has others to serve."""
STOOD: Final = 0.4
"""Seconds of standing still from which on a drill says nothing of the platform, and is done again,"""
ATTEMPTS: Final = 6
"""so many times in all."""
WATCHED: Final = 4.0
"""Seconds after a fault for which requests are looked at."""
AGAIN: Final = {409, 503, 504}
"""Being done elsewhere, or not now: the client asks again, with the key it had."""


@dataclass
class Answered:
    """One request that was sent once."""

    begun: float
    """When the client wanted it, that is when it was sent first."""
    seconds: float
    status: int
    """0: the connection broke, or nothing came."""
    told: str
    """Of a problem, its reason."""
    write: bool


@dataclass
class Load:
    """Requests at a steady rate, whatever becomes of them."""

    url: str
    person: Person
    project: str
    run: str
    answers: list[Answered] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Name of a project → the id it was acknowledged with."""
    told: asyncio.Event = field(default_factory=asyncio.Event)
    stood: float = 0.0
    """By how many seconds a bunch was late: the machine, or this process on it, stood still."""

    async def go(self, stop: asyncio.Event) -> None:
        """Sends until it is told to stop, and waits for every answer."""
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {self.person.token}"}
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=15), headers=headers
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in itertools.count(1):
                if stop.is_set():
                    break
                for each in range(BUNCH):
                    name = f"{self.run} {number} {each}"
                    group.create_task(self._write(client, name) if each % 3 == 0 else self._read(client))
                self.stood = max(self.stood, time.monotonic() - begun - number * EVERY)
                await asyncio.sleep(max(0.0, begun + number * EVERY - time.monotonic()))

    async def until(self, begun: float) -> None:
        """Returns when the first request of those that began then, or later, has been answered; others are under way."""
        async with asyncio.timeout(30):
            while not any(answer.begun >= begun for answer in self.answers[-BUNCH:]):
                self.told.clear()
                await self.told.wait()

    async def _read(self, client: aiohttp.ClientSession) -> None:
        """A read, which nobody repeats here."""
        await self._once(time.monotonic(), client.get(f"{self.url}/v1/projects/{self.project}"), write=False)

    async def _write(self, client: aiohttp.ClientSession, name: str) -> None:
        """A write, as the README asks of clients: with a key, and again until it is answered."""
        key = {"Idempotency-Key": name.replace(" ", "-")}
        begun = time.monotonic()
        while True:
            status, made = await self._once(
                begun, client.post(f"{self.url}/v1/projects", json={"name": name}, headers=key), write=True
            )
            if status == 201:
                self.acknowledged[name] = made
                return
            assert status in AGAIN, status
            await asyncio.sleep(0.1)

    async def _once(
        self, begun: float, request: aiohttp.client._RequestContextManager, *, write: bool
    ) -> tuple[int, str]:
        sent, status, made, told = time.monotonic(), 0, "", ""
        try:
            async with request as reply:
                body = await reply.json(content_type=None)
                made, told, status = str(body.get("id", "")), str(body.get("code", "")), reply.status
        except (aiohttp.ClientError, TimeoutError) as error:
            told = repr(error)
        self.answers.append(Answered(begun, time.monotonic() - sent, status, told, write))
        self.told.set()
        return status, made


@dataclass
class Fleet:
    """A gateway and three workers: users, and projects twice, one of which is reached through a proxy."""

    one: Deployment
    gateway: Process
    proxy: Proxy
    places: list[str]
    """Where the two listen; the second is behind the proxy."""
    beside: dict[str, str]
    """What they are told of the others."""
    projects: list[Process] = field(default_factory=list)
    person: Person = field(default_factory=lambda: Person(""))
    project: str = ""

    async def ready(self) -> bool:
        """Whether the gateway has a way to both workers."""
        seen = await look(self.one.folder / "data")
        (gateway,) = [process for process in seen.processes if process.name == "gateway"]
        states = [
            state.rpartition(" ")[2]
            for each in gateway.services
            for state in each.addresses
            if each.name == "acme.projects.v1.Projects"
        ]
        return states == ["ready", "ready"]

    async def until_ready(self, limit: float = 20.0) -> float:
        """Seconds until it has."""
        begun = time.monotonic()
        async with asyncio.timeout(limit):
            while not await self.ready():  # noqa: ASYNC110 - another process has no event we could await
                await asyncio.sleep(0.05)
        return time.monotonic() - begun

    def begin(self, number: int) -> Process:
        """Starts a worker of projects."""
        options = ("--only", "projects", "--listen", self.places[number])
        return self.one.begin(f"projects-{number + 1}", *options, environ=self.beside)

    async def retries(self) -> int:
        """How many calls the gateway has sent again so far."""
        shown = await asyncio.to_thread(call, self.gateway.api, "GET", "/metrics")
        found = re.findall(r"^acme_remote_retries_total\{.*\} (\d+)", shown.body.decode(), re.MULTILINE)
        return sum(map(int, found))

    def kept(self) -> dict[str, str]:
        """Name → id of every project there is; one of each name."""
        found: list[tuple[str, str]] = []
        page = ""
        while True:
            path = f"/v1/projects?page_size=500&page_token={page}"
            reply = call(self.gateway.api, "GET", path, token=self.person.token)
            assert reply.status == 200, reply.body
            found += [(project["name"], project["id"]) for project in reply.json["projects"]]
            page = reply.json["next_page_token"]
            if not page:
                assert len(dict(found)) == len(found), "a write was doubled"
                return dict(found)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("drills"), postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def fleet(one: Deployment) -> AsyncIterator[Fleet]:
    """One for all drills: each leaves it as it found it."""
    direct, behind, users = free_port(), free_port(), f"grpc://127.0.0.1:{free_port()}"
    async with proxy(behind) as way:
        everywhere = f"grpc://127.0.0.1:{direct},grpc://127.0.0.1:{way.port}"
        gateway = one.begin("gateway", "--gateway", "--port", "0", environ=services(users=users, projects=everywhere))
        others = one.begin("users", "--only", "users", "--listen", users, environ=services(projects=everywhere))
        made = Fleet(
            one, gateway, way, [f"grpc://127.0.0.1:{port}" for port in (direct, behind)], services(users=users)
        )
        made.projects = [made.begin(number) for number in range(2)]
        for process in (gateway, others, *made.projects):
            await asyncio.to_thread(process.wait_until_ready)
        made.person = await asyncio.to_thread(join, gateway.api, "drill@example.com")
        made.project = (await asyncio.to_thread(create, gateway.api, made.person, "First")).json["id"]
        await made.until_ready()
        yield made


Measured = Callable[[str, object], None]


@dataclass
class Drill:
    """A load, and the moment of a fault."""

    load: Load
    fault: float = 0.0

    async def moment(self) -> None:
        """Waits for a good one: the first of a bunch has been answered, and the others are under way."""
        await self.bunch()
        self.fault = time.monotonic()

    async def bunch(self) -> None:
        """Waits until more has been sent."""
        await self.load.until(time.monotonic() + EVERY)


Make = Callable[[Drill], Awaitable[None]]
Repair = Callable[[], Awaitable[None]]


async def drill(fleet: Fleet, name: str, measured: Measured, make: Make, repair: Repair) -> None:
    """Makes a fault under load, repairs it, and looks at what happened meanwhile and at what is left. When the machine
    itself stood still, which no platform can make up for, it is done again."""
    for attempt in itertools.count(1):
        load, retries, mended = await _one(fleet, f"{name} {attempt}", make, repair)
        if load.load.stood < STOOD or attempt == ATTEMPTS:
            break
    answers, fault = load.load.answers, load.fault
    reads = [answer for answer in answers if not answer.write]
    failed = [(answer.status, answer.told, answer.begun - fault) for answer in reads if answer.status != 200]
    new = [answer for answer in answers if answer.begun >= fault]
    late = [answer.begun - fault for answer in new if answer.seconds > NORMAL / 2 or answer.status > 201]
    fresh = [answer for answer in new if answer.begun >= fault + FRESH]
    measured(f"of {len(answers)} requests sent again by the gateway", retries)
    measured(f"of {len(reads)} reads failed", len(failed))
    measured("writes sent again by their clients", len(answers) - len(reads) - len(load.load.acknowledged))
    measured(
        "seconds after the fault: the last that was not answered as always began", round(max(late, default=0.0), 3)
    )
    measured("seconds for the slowest read", round(max(answer.seconds for answer in reads), 3))
    measured("seconds after the repair: it is found again", round(mended, 2))
    assert load.load.stood < STOOD, "the machine stands still again and again: nothing can be said"
    assert failed == []
    assert 0 < retries <= BURST + SHARE * len(answers), "none: the fault met nothing, and nothing was tested"
    assert max(late, default=0.0) < Settings().passed_over + STOOD
    assert max(answer.seconds for answer in reads) < Settings().given_up + NORMAL
    assert {answer.status for answer in fresh} == {200, 201}
    assert max(answer.seconds for answer in fresh) < NORMAL


async def _one(fleet: Fleet, name: str, make: Make, repair: Repair) -> tuple[Drill, int, float]:
    """A drill, how many calls the gateway sent again, and the seconds from the repair until it has both workers again."""
    before = await asyncio.to_thread(fleet.kept)
    retries = await fleet.retries()
    load, stop = Load(fleet.gateway.api, fleet.person, fleet.project, name), asyncio.Event()
    made = Drill(load)
    async with asyncio.timeout(40), asyncio.TaskGroup() as group:
        group.create_task(load.go(stop))
        await made.moment()
        try:
            await make(made)
            await load.until(made.fault + WATCHED)
        finally:
            await repair()
        mended = await fleet.until_ready()
        stop.set()
    kept = await asyncio.to_thread(fleet.kept)
    assert {name: kept[name] for name in kept.keys() - before.keys()} == load.acknowledged
    return made, await fleet.retries() - retries, mended


async def test_one_of_two_workers_is_killed(fleet: Fleet, measured: Measured) -> None:
    async def make(made: Drill) -> None:
        worker = fleet.projects[0].running
        worker.send_signal(signal.SIGSTOP)  # it may get requests, and will not have answered them
        await made.bunch()
        worker.kill()

    async def repair() -> None:
        await asyncio.to_thread(fleet.projects[0].kill)
        fleet.projects[0] = fleet.begin(0)
        await asyncio.to_thread(fleet.projects[0].wait_until_ready)

    await drill(fleet, "killed", measured, make, repair)


async def test_one_of_two_workers_stands_still(fleet: Fleet, measured: Measured) -> None:
    """What it was in the middle of stays so: whoever repeats such a write is told to wait, until it goes on."""

    async def make(made: Drill) -> None:
        fleet.projects[0].running.send_signal(signal.SIGSTOP)

    async def repair() -> None:
        fleet.projects[0].running.send_signal(signal.SIGCONT)

    await drill(fleet, "stopped", measured, make, repair)


async def test_one_of_two_workers_is_cut_off(fleet: Fleet, measured: Measured) -> None:
    async def make(made: Drill) -> None:
        fleet.proxy.delay = 2.0  # so that there is something on the way
        await made.bunch()
        await fleet.proxy.cut()

    async def repair() -> None:
        fleet.proxy.delay = 0.0
        await fleet.proxy.open()

    await drill(fleet, "cut", measured, make, repair)


async def test_one_of_two_workers_is_slowed_down_by_two_seconds(fleet: Fleet, measured: Measured) -> None:
    async def make(made: Drill) -> None:
        fleet.proxy.delay = 2.0

    async def repair() -> None:
        fleet.proxy.delay = 0.0

    await drill(fleet, "slowed", measured, make, repair)


async def test_after_all_that_both_workers_are_called(fleet: Fleet) -> None:
    carried = fleet.proxy.carried
    stop = asyncio.Event()
    load = Load(fleet.gateway.api, fleet.person, fleet.project, "after")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(load.go(stop))
        while fleet.proxy.carried < carried + 10_000:
            load.told.clear()
            await load.told.wait()
        stop.set()
    assert {answer.status for answer in load.answers} == {200, 201}
