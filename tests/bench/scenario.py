"""What is measured under load, and what a figure should be."""

from __future__ import annotations

import ssl
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.load import Load, load
from tests.bench.serving import cpu_seconds


@dataclass
class Scenario:
    """One kind of request, and the rounds it was measured in."""

    name: str
    pids: Sequence[int]
    port: int
    request: bytes
    status: int = 200
    tls: ssl.SSLContext | None = None
    """Of the client, where the server speaks TLS."""
    rounds: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of all its processes, by round."""

    async def measure(self, seconds: float) -> None:
        before = self._used()
        self.rounds.append(
            await load("127.0.0.1", self.port, self.request, seconds=seconds, status=self.status, tls=self.tls)
        )
        self.cpu.append(self._used() - before)

    def _used(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids)

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.rounds)

    @property
    def cpu_micros(self) -> float:
        """CPU µs a request."""
        return statistics.median(self.cpu_by_round)

    @property
    def cpu_by_round(self) -> list[float]:
        """CPU µs a request."""
        return [cpu / one.requests * 1e6 for cpu, one in zip(self.cpu, self.rounds, strict=True)]

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
    note: str = ""
    """What has to be known to judge it."""

    def line(self) -> str:
        reached = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        sign = "≥" if self.at_least else "≤"
        word = "reached" if reached else "MISSED "
        note = f"; {self.note}" if self.note else ""
        return f"{word}  {self.what}: {self.measured:.2f}{self.unit} ({sign} {self.bound:g}{self.unit}{note})"


async def alternate(found: Sequence[Scenario], rounds: int, seconds: float) -> None:
    """Measures all of them in turn, round by round, after a short round that warms everything up."""
    for scenario in found:
        await scenario.measure(min(seconds, 0.5))
        scenario.rounds.clear()
        scenario.cpu.clear()
    for _ in range(rounds):
        for scenario in found:
            await scenario.measure(seconds)
