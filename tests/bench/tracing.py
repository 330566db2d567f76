"""What it costs to record what every request does: the same platform without it, with it, and with all of it exported.

`python -m tests.bench.tracing` runs this alone; `make bench` runs it among the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import uvloop

from tests.bench.scenario import Floor, Scenario, alternate
from tests.bench.serving import Cores, install_stranger, platform
from tests.collector import collecting

OFF, ON, ALL = "off", "recorded, one in a hundred sampled", "all sampled, to a collector"


def report(folder: Path, rounds: int, seconds: float) -> list[Floor]:
    """CPU µs a request, beyond those of a platform that records nothing."""
    from tests.bench.__main__ import scenarios  # which runs this among the others

    cores, others = Cores.choose(), os.sched_getaffinity(0)
    environ = install_stranger(folder / "site")
    with (
        collecting() as collector,
        platform(folder / "off", {**environ, "ACME_TRACES__RECENT": "0"}, cores) as off,
        platform(folder / "on", environ, cores) as on,
        platform(
            folder / "all", {**environ, "ACME_TRACES__RATIO": "1", "ACME_TRACES__OTLP": collector.url}, cores
        ) as everything,
    ):
        found: dict[str, list[Scenario]] = {}
        for name, one in ((OFF, off), (ON, on), (ALL, everything)):
            found[name] = scenarios(one, cores)[0]
        os.sched_setaffinity(0, {cores.others})
        try:
            uvloop.run(
                alternate([each for kinds in zip(*found.values(), strict=True) for each in kinds], rounds, seconds)
            )
        finally:
            os.sched_setaffinity(0, others)
        if not collector.spans:
            raise RuntimeError("nothing came to the collector")
    print(f"\nTraces: CPU µs a request, {rounds} rounds of {seconds:g} s, alternating, medians.\n")
    beyond: dict[str, float] = {}
    for name, each in found.items():
        for scenario, without in zip(each, found[OFF], strict=True):
            more = [one - two for one, two in zip(scenario.cpu_by_round, without.cpu_by_round, strict=True)]
            beyond.setdefault(name, statistics.median(more))  # of the first: the no-op
            print(
                f"{scenario.cpu_micros:10.1f}  {statistics.median(more):+7.1f} ({min(more):+.1f} – {max(more):+.1f})"
                f"  {scenario.name}: {name}"
            )
    return [Floor("a no-op recorded, beyond one that is not", beyond[ON], 3.0, at_least=False, unit=" CPU-µs")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every kind of request (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds a round (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as temporary:
        for floor in report(Path(temporary), options.rounds, options.seconds):
            print(floor.line())
