"""The bench: `make bench`, or `python -m tests.bench --rounds 5 --seconds 3`.

Prints figures and whether each floor was reached. Exits 1 only when something is broken, never because of noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from tests.bench import calls, remote
from tests.bench.load import CONNECTIONS, Load, load, request_bytes
from tests.bench.serving import Cores, bare, cpu_seconds, install_stranger, pin, platform
from tests.system.running import Platform

PER_REPLY: Final = {"content-length", "date", "server", "connection"}
"""Headers that a server writes by itself."""


@dataclass
class Scenario:
    """One kind of request, and the rounds it was measured in."""

    name: str
    pid: int
    port: int
    request: bytes
    status: int = 200
    rounds: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Server's CPU seconds, by round."""

    async def measure(self, seconds: float) -> None:
        before = cpu_seconds(self.pid)
        self.rounds.append(await load("127.0.0.1", self.port, self.request, seconds=seconds, status=self.status))
        self.cpu.append(cpu_seconds(self.pid) - before)

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.rounds)

    @property
    def cpu_micros(self) -> float:
        """CPU µs a request."""
        return statistics.median(cpu / one.requests * 1e6 for cpu, one in zip(self.cpu, self.rounds, strict=True))

    def line(self) -> str:
        rates = [one.rate for one in self.rounds]
        busy = statistics.median(cpu / one.seconds for cpu, one in zip(self.cpu, self.rounds, strict=True))
        generator = statistics.median(one.own_cpu / one.seconds for one in self.rounds)
        p50, p99 = (statistics.median(getattr(one, name) for one in self.rounds) for name in ("p50", "p99"))
        return (
            f"{self.name:34} {self.rate:8,.0f} {min(rates):8,.0f} – {max(rates):<8,.0f}{self.cpu_micros:8.1f} "
            f"{busy:7.0%} {generator:9.0%} {p50:8.2f} {p99:8.2f} {self.rounds[-1].reply_bytes:7}"
        )


@dataclass(frozen=True)
class Floor:
    """What a figure should be."""

    what: str
    measured: float
    bound: float
    at_least: bool
    unit: str = ""

    def line(self) -> str:
        reached = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        sign = "≥" if self.at_least else "≤"
        word = "reached" if reached else "MISSED "
        return f"{word}  {self.what}: {self.measured:.2f}{self.unit} ({sign} {self.bound:g}{self.unit})"


def scenarios(one: Platform, directory: Path, cores: Cores) -> tuple[list[Scenario], dict[str, str], bytes]:
    """The requests to the platform, with what they need made beforehand; headers and body of the no-op's reply."""
    reader, writer = one.join("reader@example.com"), one.join("writer@example.com")
    made = [one.project(reader, f"Project {number}") for number in range(50)]
    pin(one.database_processes(), cores.others)  # connections opened since the start
    pong = one.call("GET", "/v1/ping", token=reader.token)
    assert (pong.status, pong.json) == (200, {"message": "pong"}), pong.body
    assert len(one.call("GET", "/v1/projects?page_size=50", token=reader.token).json["projects"]) == 50
    headers = {name: value for name, value in pong.headers.items() if name.lower() not in PER_REPLY}
    pid, port = one.running.pid, urlsplit(one.api).port or 0
    get = [
        ("(b) no-op, whole pipeline", "/v1/ping"),
        ("(c) GET one project", f"/v1/projects/{made[0]['id']}"),
        ("(d) list 50 projects", "/v1/projects?page_size=50"),
    ]
    found = [Scenario(name, pid, port, request_bytes("GET", path, token=reader.token)) for name, path in get]
    body = b'{"name":"Apollo","description":"To the moon","labels":{"stage":"draft"}}'
    post = request_bytes("POST", "/v1/projects", token=writer.token, body=body)
    return [*found, Scenario("(e) POST a project", pid, port, post, 201)], headers, pong.body


async def alternate(found: Sequence[Scenario], rounds: int, seconds: float) -> None:
    """Measures all of them in turn, round by round, after a short round that warms everything up."""
    for scenario in found:
        await scenario.measure(min(seconds, 0.5))
        scenario.rounds.clear()
        scenario.cpu.clear()
    for _ in range(rounds):
        for scenario in found:
            await scenario.measure(seconds)


def under_load(folder: Path, rounds: int, seconds: float) -> list[Floor]:
    """Requests a second, and CPU µs a request."""
    cores = Cores.choose()
    others = os.sched_getaffinity(0)
    environ = install_stranger(folder / "site")
    with platform(folder / "platform", environ, cores) as one:
        found, headers, body = scenarios(one, folder, cores)
        with bare(folder, headers, body, cores) as (pid, port):
            yardstick = Scenario("(a) bare aiohttp web.Server", pid, port, found[0].request)
            found.insert(0, yardstick)
            os.sched_setaffinity(0, {cores.others})
            try:
                uvloop.run(alternate(found, rounds, seconds))
            finally:
                os.sched_setaffinity(0, others)
    where = "one core for everything" if cores.shared else f"server on core {cores.server}, the rest on {cores.others}"
    print(f"\nRequests: {where}; {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s, alternating, medians.")
    print(
        "Load generator: tests/bench/load.py (raw sockets on uvloop). Busy is the server's share of its core: well below"
    )
    print("100%, PostgreSQL or other programs were the limit, and CPU µs a request say more than requests/s.")
    print("(a) answers with the body and headers of (b); aiohttp adds its Server header.\n")
    print(f"{'':34} {'req/s':>8} {'least':>8} – {'most':<8}{'CPU µs':>8} {'busy':>7} {'generator':>9}", end=" ")
    print(f"{'p50 ms':>8} {'p99 ms':>8} {'bytes':>7}")
    for scenario in found:
        print(scenario.line())
    noop = found[1]
    ratios = [ours.rate / theirs.rate for ours, theirs in zip(noop.rounds, yardstick.rounds, strict=True)]
    ratio = statistics.median(ratios)
    by_cpu = yardstick.cpu_micros / noop.cpu_micros
    print(f"\n(b) / (a), round by round: {min(ratios):.2f} – {max(ratios):.2f}")
    return [
        Floor("(b) / (a) by requests/s", ratio, 0.75, at_least=True),
        Floor("(b) / (a) by CPU time a request", by_cpu, 0.75, at_least=True),
    ]


def codecs() -> list[Floor]:
    """JSON of a list of 50."""
    figures = calls.lists_of_fifty()
    print("\nJSON of a list of 50 projects, µs:\n")
    for name, micros in figures.items():
        print(f"{micros:10.1f}  {name}")
    compiled, generic = figures.values()
    return [
        Floor("JSON of a list of 50, times faster than betterproto2", generic / compiled, 100, at_least=True, unit="×")
    ]


def in_process() -> list[Floor]:
    """A call to a service in this process."""
    figures = calls.call_parts()
    print("\nIn-process call of GetProject (no database), µs:\n")
    for name, micros in figures.items():
        indent = "" if name in ("direct await", "beyond it") else "  of which "
        print(f"{micros:10.2f}  {indent}{name}")
    return [Floor("in-process call beyond a direct await", figures["beyond it"], 6, at_least=False, unit=" µs")]


def from_another_process(rounds: int, seconds: float) -> list[Floor]:
    """A call to a service in another process, beside grpc.aio."""
    ratios = remote.report(rounds, seconds)
    return [
        Floor(f"remote list of 50 beside grpc.aio, {what}", ratio, 1.0, at_least=True) for what, ratio in ratios.items()
    ]


def starts(folder: Path, times: int) -> list[Floor]:
    """CPU seconds of the platform's own process from start to ready, without PostgreSQL's init and start."""
    cpu: dict[str, list[float]] = {"first start (tables made)": [], "start again": []}
    wall: dict[str, list[float]] = {name: [] for name in cpu}
    for number in range(times):
        one = Platform(folder / f"start-{number}")
        try:
            for name in cpu:
                began = time.perf_counter()
                one.start()
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(cpu_seconds(one.running.pid))
                if one.stop() != 0:
                    raise RuntimeError(f"acme up did not end well:\n{one.log()[-4000:]}")
        finally:
            one.close()
    print(f"\nStart to ready, {times} times, medians: CPU seconds of our process without PostgreSQL's, and wall:\n")
    for name, figures in cpu.items():
        spread = f"{min(figures):.2f} – {max(figures):.2f}"
        print(f"{statistics.median(figures):10.2f} CPU-s ({spread}) {statistics.median(wall[name]):8.2f} s  {name}")
    worst = max(statistics.median(figures) for figures in cpu.values())
    return [Floor("start to ready beyond PostgreSQL", worst, 1.5, at_least=False, unit=" CPU-s")]


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every kind of request (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds a round (3)")
    parser.add_argument("--starts", type=int, default=5, help="times the platform is started (5)")
    options = parser.parse_args()
    floors = [*codecs(), *in_process(), *from_another_process(options.rounds, options.seconds)]
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        floors += starts(Path(folder), options.starts)
        floors += under_load(Path(folder), options.rounds, options.seconds)
    print("\nFloors:\n")
    for floor in floors:
        print(floor.line())


if __name__ == "__main__":
    main()
