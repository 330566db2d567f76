"""A list of 50 from another process: our transport beside grpc.aio, with everything else the same (remote.py).

Both kinds speak through a unix socket, one process each, the worker on one core and the callers on the other; rounds
alternate. `python -m tests.bench.beside` measures alone.

Where other programs want the cores, calls/s are no measure of ours. A core is shared out by thread: beside one busy program
our processes, of one thread each, get half of a core, while grpc.aio's, of five, were seen to keep 95 % of it. So the time
that others had is measured, and a round in which it was more than a little is made again.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.scenario import Floor
from tests.bench.serving import TICKS, Cores, cpu_seconds, pin

KINDS: Final = ("ours", "grpc.aio")
AT_A_TIME: Final = (1, 16)
_QUIET: Final = 0.05
"""Share of the cores' time that others may have in a round of which the calls/s count."""
_AGAIN: Final = 3
"""How many times as many rounds may be made for it."""


@dataclass
class Figures:
    """Of one kind with so many calls at a time, a value a round."""

    rates: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    """CPU µs a call."""
    caller: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Share of both cores' time that other programs had."""

    @property
    def cpu(self) -> list[float]:
        """CPU µs a call, of both."""
        return [sum(both) for both in zip(self.worker, self.caller, strict=True)]

    def line(self, name: str) -> str:
        rates = f"{statistics.median(self.rates):8.0f} {min(self.rates):8.0f} – {max(self.rates):<8.0f}"
        cpu = f"{statistics.median(self.worker):8.0f} {statistics.median(self.caller):8.0f}"
        return f"{name:34} {rates}{cpu} {statistics.median(self.others):8.0%}"


@contextlib.contextmanager
def _process(role: str, kind: str, path: str, core: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.remote", role, kind, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pin([process.pid], core)
        if process.stdin is None or process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{' '.join(command)} did not start")
        pin([process.pid], core)  # threads begun since then
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(10)


def _busy(cores: Cores) -> float:
    """Seconds that both cores have worked for anybody (proc(5): idle and iowait are the fourth and fifth)."""
    busy = 0.0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in (f"cpu{cores.server}", f"cpu{cores.others}"):
            busy += (sum(map(int, ticks[:8])) - int(ticks[3]) - int(ticks[4])) / TICKS
    return busy


@dataclass
class _Couple:
    """Worker and caller of one kind."""

    worker: subprocess.Popen[str]
    caller: subprocess.Popen[str]
    cores: Cores

    def round(self, at_a_time: int, seconds: float, figures: Figures) -> None:
        """Measures one round."""
        if self.caller.stdin is None or self.caller.stdout is None:
            raise AssertionError
        pids = self.worker.pid, self.caller.pid
        busy, before = _busy(self.cores), [cpu_seconds(pid) for pid in pids]
        self.caller.stdin.write(json.dumps([at_a_time, seconds]) + "\n")
        self.caller.stdin.flush()
        calls, took = json.loads(self.caller.stdout.readline())
        worker, caller = (cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True))
        figures.rates.append(calls / took)
        figures.worker.append(worker / calls * 1e6)
        figures.caller.append(caller / calls * 1e6)
        figures.others.append(max(0.0, _busy(self.cores) - busy - worker - caller) / took / 2)


def measure(rounds: int, seconds: float) -> dict[tuple[str, int], Figures]:
    """Figures by kind and calls at a time, after a round of each that warms up. Rounds are added while too few are quiet."""
    cores = Cores.choose()
    found = {(kind, number): Figures() for number in AT_A_TIME for kind in KINDS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acme-bench-")))
        running = {}
        for number, kind in enumerate(KINDS):
            path = str(folder / f"{number}.sock")
            worker = stack.enter_context(_process("serve", kind, path, cores.server))
            caller = stack.enter_context(_process("call", kind, path, cores.others))
            running[kind] = _Couple(worker, caller, cores)
            running[kind].round(4, min(seconds, 0.5), Figures())
        for number in range(_AGAIN * rounds):
            if number >= rounds and min(len(_quiet(found, at_a_time)) for at_a_time in AT_A_TIME) >= rounds:
                break
            for (kind, at_a_time), figures in found.items():
                running[kind].round(at_a_time, seconds, figures)
    return found


def _quiet(found: Mapping[tuple[str, int], Figures], at_a_time: int) -> list[int]:
    """The rounds in which others left both kinds alone."""
    shares = zip(*[found[kind, at_a_time].others for kind in KINDS], strict=True)
    return [number for number, share in enumerate(shares) if max(share) <= _QUIET]


def report(rounds: int, seconds: float) -> list[Floor]:
    """Prints the figures; how many calls ours makes for one of theirs should be at least one, by time and by CPU time."""
    found = measure(rounds, seconds)
    made = len(next(iter(found.values())).rates)
    print(f"\nA list of 50 from another process, {made} rounds of {seconds:g} s, alternating, medians; CPU µs a call;")
    print("others: the share of the cores that other programs had meanwhile.\n")
    print(f"{'':34} {'calls/s':>8} {'least':>8} – {'most':<8}{'worker':>8} {'caller':>8} {'others':>8}")
    for (kind, at_a_time), one in found.items():
        print(one.line(f"{kind}, {at_a_time} at a time"))
    print("\nOurs / grpc.aio, round by round:\n")
    floors = []
    for at_a_time in AT_A_TIME:
        ours, theirs, quiet = found["ours", at_a_time], found["grpc.aio", at_a_time], _quiet(found, at_a_time)
        counted = quiet or range(made)
        note = f"{len(quiet)} of {made} rounds were quiet" if quiet else "others had the cores in every round"
        for what, ratios, said in (
            ("calls/s", [ours.rates[number] / theirs.rates[number] for number in counted], note),
            ("CPU time a call", [other / one for one, other in zip(ours.cpu, theirs.cpu, strict=True)], ""),
        ):
            name, middle = f"{at_a_time} at a time, by {what}", statistics.median(ratios)
            print(f"{middle:10.2f} × ({min(ratios):.2f} – {max(ratios):.2f})  {name}{said and f'; {said}'}")
            floors.append(Floor(f"remote list of 50 beside grpc.aio, {name}", middle, 1.0, at_least=True, note=said))
    return floors


def main() -> None:
    """Measures this alone."""
    for floor in report(5, 2.0):
        print(floor.line())


if __name__ == "__main__":
    main()
