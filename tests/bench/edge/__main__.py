"""`python -m tests.bench.edge --rival FOLDER`, where FOLDER is the environment of `requirements.txt`.

Prints figures and whether each goal was reached. Exits 1 only when something is broken, never because of noise.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import ssl
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvloop

from tests.bench.edge.paced import Pace, paced
from tests.bench.edge.rival import free_ports, rival
from tests.bench.load import CONNECTIONS, request_bytes
from tests.bench.scenario import Floor, Scenario, alternate
from tests.bench.serving import Cores, bare, install_stranger, platform, processes
from tests.certificates import Authority

SHARE: Final = 0.5
"""Of the requests a second at saturation, at which latencies are measured."""
_PER_REPLY: Final = {"content-length", "date", "server", "connection"}


@dataclass
class Measured:
    """A way to be asked, at saturation and at half of it."""

    scenario: Scenario
    paces: list[Pace] = field(default_factory=list)

    async def pace(self, seconds: float) -> None:
        one = self.scenario
        rate = SHARE * one.rate
        self.paces.append(await paced("127.0.0.1", one.port, one.request, rate=rate, seconds=seconds, tls=one.tls))

    def line(self) -> str:
        p50, p99 = (statistics.median(getattr(one, name) for one in self.paces) for name in ("p50", "p99"))
        return f"{self.scenario.line()}   {self.paces[0].wanted:8,.0f} {p50:8.2f} {p99:8.2f}"


def fetched(port: int, path: str, token: str, tls: ssl.SSLContext | None) -> tuple[dict[str, str], bytes]:
    """Headers and body of one answer."""
    kind = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if tls is not None:
        kind = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=tls)
    with contextlib.closing(kind) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{path} on port {port}: {reply.status} {body!r}")
        return dict(reply.headers), body


async def _measure(found: Sequence[Measured], rounds: int, seconds: float) -> None:
    await alternate([each.scenario for each in found], rounds, seconds)
    for _ in range(rounds):
        for each in found:
            await each.pace(seconds)


def run(environment: Path, folder: Path, rounds: int, seconds: float) -> list[Floor]:
    """Everything, in rounds that alternate."""
    cores, others = Cores.choose(), os.sched_getaffinity(0)
    certificate = Authority().issue(folder / "certificate", "localhost")
    trusting = ssl.create_default_context(cafile=str(certificate["authority"]))
    trusting.check_hostname = False
    environ = install_stranger(folder / "site")
    plain = free_ports(1)[0]
    (folder / "tls.toml").write_text(
        f"[gateway.listeners.plain]\nport = {plain}\ntls = false\n[[gateway.tls.certificates]]\n"
        f'certificate = "{certificate["certificate"]}"\nkey = "{certificate["key"]}"\n'
    )
    options = ("--port", "0", "-c", str(folder / "tls.toml"))
    with platform(folder / "platform", environ, cores, *options) as ours:
        secure, ours.ready["api"] = urlsplit(ours.api).port or 0, f"http://127.0.0.1:{plain}"
        token, pids = ours.join("reader@example.com").token, processes(ours)
        keys = ours.call("GET", "/.well-known/jwks.json").body.decode()
        with rival(environment, folder / "rival", keys, certificate, ours.data / "postgres", cores) as other:
            scenarios: list[Scenario] = []
            for path, what in (("/v1/ping", "no-op"), ("/v1/items/itm_7", "one SQL read")):
                request = request_bytes("GET", path, token=token)
                for port, tls, whose, who in (
                    (plain, None, pids, "ours"),
                    (other.plain, None, other.pids, "Envoy + FastAPI"),
                    (secure, trusting, pids, "ours, TLS"),
                    (other.tls, trusting, other.pids, "Envoy + FastAPI, TLS"),
                ):
                    scenarios.append(Scenario(f"{what}, {who}", whose, port, request, tls=tls))
                bodies = {fetched(one.port, path, token, one.tls)[1] for one in scenarios[-4:]}
                if len(bodies) != 1:
                    raise RuntimeError(f"{path} is not answered alike: {bodies}")
            headers, body = fetched(plain, "/v1/ping", token, None)
            headers = {name: value for name, value in headers.items() if name.lower() not in _PER_REPLY}
            with bare(folder, headers, body, cores) as (pid, port):
                yardstick = Scenario("no-op, bare aiohttp web.Server", [pid], port, scenarios[0].request)
                found = [Measured(each) for each in (yardstick, *scenarios)]
                os.sched_setaffinity(0, {cores.others})
                try:
                    uvloop.run(_measure(found, rounds, seconds))
                finally:
                    os.sched_setaffinity(0, others)
    return _told(found, cores, rounds, seconds)


def _told(found: Sequence[Measured], cores: Cores, rounds: int, seconds: float) -> list[Floor]:
    where = "one core for everything" if cores.shared else f"servers on core {cores.server}, the rest on {cores.others}"
    print(
        f"\n{where}; {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s, alternating, medians. At saturation, and"
    )
    print(
        "then at half of each one's own requests/s (open loop). Busy is the servers' share of their core: well below 100%,"
    )
    print("PostgreSQL or the load generator were the limit, and CPU µs a request say more than requests/s.\n")
    print(f"{'':34} {'req/s':>8} {'least':>8} – {'most':<8}{'CPU µs':>8} {'busy':>7} {'generator':>9}", end=" ")
    print(f"{'p50 ms':>8} {'p99 ms':>8} {'bytes':>7}   {'at req/s':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for each in found:
        print(each.line())
    yardstick, *others = [each.scenario for each in found]
    floors = []
    for ours, theirs in zip(others[::2], others[1::2], strict=True):
        ratios = [one / two for one, two in zip(ours.cpu_by_round, theirs.cpu_by_round, strict=True)]
        note = f"rounds {min(ratios):.3f} to {max(ratios):.3f}"
        goal = f"{ours.name}: CPU a request, of Envoy + FastAPI's"
        floors.append(Floor(goal, statistics.median(ratios), 0.2, at_least=False, unit=" ×", note=note))
    ratios = [one / two for one, two in zip(others[0].cpu_by_round, yardstick.cpu_by_round, strict=True)]
    note = f"rounds {min(ratios):.2f} to {max(ratios):.2f}"
    goal = "no-op: CPU a request, of a bare aiohttp web.Server's"
    return [*floors, Floor(goal, statistics.median(ratios), 1.3, at_least=False, unit=" ×", note=note)]


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.edge", description=__doc__)
    parser.add_argument("--rival", type=Path, required=True, help="the environment with Envoy and FastAPI in it")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every kind of request (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds a round (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        floors = run(options.rival.absolute(), Path(folder), options.rounds, options.seconds)
    print("\nGoals:\n")
    for floor in floors:
        print(floor.line())


if __name__ == "__main__":
    main()
