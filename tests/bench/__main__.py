"""The bench: `make bench`, or `python -m tests.bench --rounds 5 --seconds 3`.

Prints figures and whether each floor was reached. Exits 1 only when something is broken, never because of noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from tests.bench import audit, beside, calls, kafka, latency, tracing
from tests.bench.load import CONNECTIONS, request_bytes
from tests.bench.scenario import Floor, Scenario, alternate
from tests.bench.serving import Cores, bare, cpu_seconds, install_stranger, pin, platform, processes
from tests.system.running import Platform

PER_REPLY: Final = {"content-length", "date", "server", "connection"}
"""Headers that a server writes by itself."""


def scenarios(one: Platform, cores: Cores) -> tuple[list[Scenario], dict[str, str], bytes]:
    """The requests to the platform, with what they need made beforehand; headers and body of the no-op's reply."""
    reader, writer = one.join("reader@example.com"), one.join("writer@example.com")
    made = [one.project(reader, f"Project {number}") for number in range(50)]
    pin(one.database_processes(), cores.others)  # connections opened since the start
    pong = one.call("GET", "/v1/ping", token=reader.token)
    assert (pong.status, pong.json) == (200, {"message": "pong"}), pong.body
    assert len(one.call("GET", "/v1/projects?page_size=50", token=reader.token).json["projects"]) == 50
    headers = {name: value for name, value in pong.headers.items() if name.lower() not in PER_REPLY}
    pids, port = processes(one), urlsplit(one.api).port or 0
    get = [
        ("(b) no-op, whole pipeline", "/v1/ping"),
        ("(c) GET one project", f"/v1/projects/{made[0]['id']}"),
        ("(d) list 50 projects", "/v1/projects?page_size=50"),
    ]
    found = [Scenario(name, pids, port, request_bytes("GET", path, token=reader.token)) for name, path in get]
    body = b'{"name":"Apollo","description":"To the moon","labels":{"stage":"draft"}}'
    post = request_bytes("POST", "/v1/projects", token=writer.token, body=body)
    return [*found, Scenario("(e) POST a project", pids, port, post, 201)], headers, pong.body


def under_load(folder: Path, rounds: int, seconds: float) -> list[Floor]:
    """Requests a second, and CPU µs a request."""
    cores = Cores.choose()
    others = os.sched_getaffinity(0)
    environ = install_stranger(folder / "site")
    with (
        platform(folder / "platform", environ, cores) as one,
        platform(folder / "split", environ, cores, "--split") as several,
    ):
        found, headers, body = scenarios(one, cores)
        split = scenarios(several, cores)[0]
        for scenario in split:
            scenario.name = f"{scenario.name[:3]} through gateway + worker"
        with bare(folder, headers, body, cores) as (pid, port):
            yardstick = Scenario("(a) bare aiohttp web.Server", [pid], port, found[0].request)
            os.sched_setaffinity(0, {cores.others})
            try:
                uvloop.run(alternate([yardstick, *found, *split], rounds, seconds))
            finally:
                os.sched_setaffinity(0, others)
    where = "one core for everything" if cores.shared else f"server on core {cores.server}, the rest on {cores.others}"
    print(f"\nRequests: {where}; {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s, alternating, medians.")
    print(
        "Load generator: tests/bench/load.py (raw sockets on uvloop). Busy is the server's share of its core: well below"
    )
    print("100%, PostgreSQL or other programs were the limit, and CPU µs a request say more than requests/s.")
    print(
        "(a) answers with the body and headers of (b); aiohttp adds its Server header. Gateway + worker: `acme up --split`,"
    )
    print("all of its processes on the server's core, and their CPU time summed up.\n")
    print(f"{'':34} {'req/s':>8} {'least':>8} – {'most':<8}{'CPU µs':>8} {'busy':>7} {'generator':>9}", end=" ")
    print(f"{'p50 ms':>8} {'p99 ms':>8} {'bytes':>7}")
    for scenario in (yardstick, *found, *split):
        print(scenario.line())
    noop = found[0]
    ratios = [ours.rate / theirs.rate for ours, theirs in zip(noop.rounds, yardstick.rounds, strict=True)]
    ratio = statistics.median(ratios)
    by_cpu = yardstick.cpu_micros / noop.cpu_micros
    print(f"\n(b) / (a), round by round: {min(ratios):.2f} – {max(ratios):.2f}")
    print(
        "\nThrough gateway + worker beside in one process: CPU µs a request, all processes together, round by round:\n"
    )
    for near, far in zip(found, split, strict=True):
        times = [two / one for one, two in zip(near.cpu_by_round, far.cpu_by_round, strict=True)]
        print(
            f"{statistics.median(times):10.2f} × ({min(times):.2f} – {max(times):.2f})"
            f"{near.cpu_micros:10.1f} → {far.cpu_micros:.1f} µs  {near.name}"
        )
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


def events() -> list[Floor]:
    """Avro of one event."""
    figures = calls.events()
    print("\nAvro of an event with a project, µs:\n")
    for name, micros in figures.items():
        print(f"{micros:10.2f}  {name}")
    encode, decode, bare_encode, bare_decode = figures.values()
    return [
        Floor("Avro encode of an event, times fastavro's of a dict", encode / bare_encode, 2, at_least=False, unit="×"),
        Floor(
            "Avro decode of an event, times fastavro's to a dict", decode / bare_decode, 2.5, at_least=False, unit="×"
        ),
    ]


def in_process(times: int) -> list[Floor]:
    """A call to a service in this process."""
    figures = calls.call_parts(times)
    print("\nIn-process call of GetProject (no database), µs:\n")
    for name, micros in figures.items():
        indent = "" if name in ("direct await", "beyond it") else "  of which "
        print(f"{micros:10.2f}  {indent}{name}")
    return [Floor("in-process call beyond a direct await", figures["beyond it"], 6, at_least=False, unit=" µs")]


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
    parser.add_argument("--calls", type=int, default=calls.CALLS, help=f"calls in the process ({calls.CALLS:,})")
    parser.add_argument(
        "--audit-records", type=int, default=audit.RECORDS, help=f"in the audit log ({audit.RECORDS:,})"
    )
    options = parser.parse_args()
    floors = [*codecs(), *events(), *in_process(options.calls), *beside.report(options.rounds, options.seconds)]
    floors += audit.report(options.audit_records)
    floors += kafka.report(options.rounds)
    latency.report(5 * options.seconds)
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        floors += starts(Path(folder), options.starts)
        floors += under_load(Path(folder), options.rounds, options.seconds)
        floors += tracing.report(Path(folder) / "traces", options.rounds, options.seconds)
    print("\nFloors:\n")
    for floor in floors:
        print(floor.line())


if __name__ == "__main__":
    main()
