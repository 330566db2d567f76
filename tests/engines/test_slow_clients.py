"""slowhttptest, a stranger's tool, against a running platform: a thousand connections that send or read as slowly as they
can, while somebody honest asks, on connections that stay and on fresh ones. Nothing of that fails, and memory stays bounded.
So it is over HTTPS, where a thousand shake hands as slowly as they can, too.

The attackers have the same address as the honest client, so that no limit of an address protects it.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.http.client import connected
from tests.system.running import Person, Platform, platform, wait_for

pytestmark = pytest.mark.engines

TOOL = "slowhttptest"
CONNECTIONS = 1000
SECONDS = 25
ROOM = {"http": 64 * 1024 * 1024, "https": 192 * 1024 * 1024}
"""Bytes by which the process may grow. A thousand answers with the largest document would be four times the first; TLS has
buffers of its own for each connection."""

MODES = {
    "heads": ["-H", "-i", "1", "-x", "24", "-t", "GET"],
    "bodies": ["-B", "-i", "1", "-s", "8192", "-x", "10", "-t", "POST", "-f", "application/json"],
    "reads": ["-X", "-w", "1", "-y", "16", "-n", "2", "-z", "16", "-k", "3"],
}
PATHS = {"heads": "/v1/projects", "bodies": "/v1/sessions", "reads": "/v1/openapi.json"}


@dataclass
class Honest:
    """Asks all the time, and counts."""

    port: int
    token: str
    tls: ssl.SSLContext | None = None
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()

    async def ask(self, until: asyncio.Event) -> None:
        """On connections that stay for twenty requests each, and then on a fresh one."""
        while not until.is_set():
            try:
                async with connected(self.port, tls=self.tls) as wire:
                    for number in range(20):
                        begun = time.monotonic()
                        wire.send(self.request("/v1/users/me" if number % 2 else "/v1/projects"))
                        answer = await wire.answer()
                        self.slowest = max(self.slowest, time.monotonic() - begun)
                        if answer is None or answer.status != 200:
                            self.failed.append(repr(answer))
                        else:
                            self.answered += 1
            except (OSError, TimeoutError, AssertionError) as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def tool() -> str:
    found = shutil.which(TOOL)
    if found is None:
        pytest.skip(f"{TOOL} is not installed (Debian has a package of that name)")
    return found


@pytest.fixture(scope="module", params=ROOM)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Over HTTP, and over HTTPS."""
    environ = {
        "ACME_GATEWAY__CONNECTIONS__PER_ADDRESS": "3000",
        # The tool, the honest client and whatever else is tested share our cores: that is no overload of the gateway's.
        "ACME_GATEWAY__OVERLOAD__QUEUE": "1.0",
    }
    options = ("--port", "0", *(["--tls"] if request.param == "https" else []))
    with platform(tmp_path_factory.mktemp("platform"), *options, environ=environ) as one:
        if request.param == "https":
            one.context = ssl.create_default_context(cafile=one.ready["authority"])
        yield one


@pytest.fixture(scope="module")
def person(one: Platform) -> Person:
    return one.join("honest@example.com")


def resident(one: Platform) -> int:
    """Bytes of memory that the process has."""
    status = Path(f"/proc/{one.running.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def metric(one: Platform, name: str) -> float:
    text = one.call("GET", "/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def attacked(one: Platform, honest: Honest, attack: Coroutine[Any, Any, object]) -> tuple[int, float]:
    """The most bytes that the process had, and the most connections there were, while the attack went on."""
    over, most, open_ = asyncio.Event(), 0, 0.0
    attacking = asyncio.get_running_loop().create_task(attack)

    async def look() -> None:
        nonlocal most, open_
        try:
            async with asyncio.timeout(SECONDS + 60):
                while not attacking.done():
                    most = max(most, resident(one))
                    open_ = max(open_, await asyncio.to_thread(metric, one, "acme_gateway_connections "))
                    await asyncio.sleep(0.2)
        finally:
            over.set()

    await asyncio.gather(look(), honest.ask(over), honest.ask(over), attacking)
    return most, open_


async def used(command: list[str]) -> None:
    """Runs the tool to its end."""
    tool = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await tool.wait()


def hello() -> bytes:
    """What a client begins a handshake with."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def shaken(port: int) -> None:
    """A thousand handshakes, of each a byte a second; who is cut off comes again."""
    loop, sent, until = asyncio.get_running_loop(), hello(), time.monotonic() + SECONDS

    async def one(wait: float) -> None:
        await asyncio.sleep(wait)  # so many a second begin
        while time.monotonic() < until:
            with suppress(OSError):
                async with connected(port) as wire:
                    for byte in sent:
                        if wire.lost or time.monotonic() >= until:
                            break
                        wire.send(bytes([byte]))
                        await asyncio.sleep(1)

    begun = loop.time()
    await asyncio.gather(*(one(number / 200) for number in range(CONNECTIONS)))
    assert loop.time() - begun >= SECONDS - 1


@pytest.mark.parametrize("mode", MODES)
async def test_nobody_who_is_slow_keeps_the_honest_from_being_served(
    one: Platform, person: Person, tool: str, mode: str
) -> None:
    port = int(one.api.rpartition(":")[2])
    url = f"{scheme(one)}://127.0.0.1:{port}{PATHS[mode]}"
    command = [tool, *MODES[mode], "-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "5", "-u", url]
    await served(one, person, mode, used(command))


async def test_nobody_who_shakes_hands_slowly_keeps_the_honest_from_being_served(one: Platform, person: Person) -> None:
    if scheme(one) != "https":
        return  # there are no hands to shake
    before = metric(one, 'acme_gateway_cut_connections_total{reason="slow_handshake"}')
    await served(one, person, "handshakes", shaken(int(one.api.rpartition(":")[2])))
    assert metric(one, 'acme_gateway_cut_connections_total{reason="slow_handshake"}') - before > CONNECTIONS * 0.9


def scheme(one: Platform) -> str:
    return one.api.partition(":")[0]


async def served(one: Platform, person: Person, mode: str, attack: Coroutine[Any, Any, object]) -> None:
    """Whoever is honest is, all through an attack; and nothing of it remains."""
    honest = Honest(int(one.api.rpartition(":")[2]), one.log_in(person.email).token, one.context)
    before = resident(one)
    most, connections = await attacked(one, honest, attack)
    print(
        f"{scheme(one)} {mode}: {connections:.0f} connections, {honest.answered} honest answers, "
        f"slowest {honest.slowest * 1000:.0f} ms, memory +{(most - before) / 1024 / 1024:.0f} MiB"
    )
    assert honest.failed == []
    assert honest.answered > SECONDS
    assert connections > CONNECTIONS * 0.9
    assert most - before < ROOM[scheme(one)]
    wait_for("all of them gone", lambda: metric(one, "acme_gateway_connections ") < 10, limit=60)
