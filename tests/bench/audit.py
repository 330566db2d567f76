"""The audit log: records/s that it takes in, with chain and tree, and what verifying takes: `python -m tests.bench.audit`.

Taken in: what the consumer does with batches of 200, records with an address of one of 50 subjects, in one log, without the
bus. Verified: `acme audit verify` of that log, everything recomputed; its memory is the growth of this process from having
verified a tenth of the log to having verified all of it. The issue's figure is of `--records 1000000`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from acme.testing.server import lease
from tests.audits import LOG, Rig, rig
from tests.bench.scenario import Floor

RECORDS: Final = 50_000
BATCH: Final = 200
SUBJECTS: Final = 50
MEBIBYTE: Final = 1024
"""Of ru_maxrss, which counts kibibytes on Linux."""


@dataclass
class Figures:
    """What it takes."""

    seconds: float
    cpu: float
    """Seconds of this process, without PostgreSQL's."""
    growth: float = 0.0
    """MiB of memory."""


async def measure(records: int) -> tuple[Figures, Figures]:
    """Of taking records in, and of verifying them."""
    with tempfile.TemporaryDirectory(prefix="acme-bench-") as folder, lease("bench-audit") as server:
        async with rig(server, Path(folder)) as one:
            taken = await _take(one, records)
            assert await one.sign() == []
            await _verify(one, records // 10)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            verified = await _verify(one, records)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            verified.growth = (after - before) / MEBIBYTE
    return taken, verified


async def _take(one: Rig, records: int) -> Figures:
    """Making them is not counted."""
    seconds = cpu = 0.0
    for start in range(0, records, BATCH):
        made = [
            one.record(subject_id=f"usr_{number % SUBJECTS}") for number in range(start, min(start + BATCH, records))
        ]
        began, used = time.perf_counter(), time.process_time()
        await one.ingest(*made)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - used
    return Figures(seconds, cpu)


async def _verify(one: Rig, records: int) -> Figures:
    used = time.process_time()
    report = await one.verify(log=LOG, end=records - 1)
    assert (report.faults, report.records) == ([], records)
    return Figures(report.seconds, time.process_time() - used)


def report(records: int = RECORDS) -> list[Floor]:
    """Measures and prints."""
    taken, verified = uvloop.run(measure(records))
    print(f"\nAudit log of {records:,} records, in one log, batches of {BATCH}:\n")
    for name, figures in (
        ("taken in, with bytes, chain, tree and columns", taken),
        ("verified, all recomputed", verified),
    ):
        cpu = figures.cpu / records * 1e6
        print(
            f"{records / figures.seconds:10,.0f} records/s {cpu:8.1f} CPU µs a record, {figures.seconds:.1f} s  {name}"
        )
    print(f"{verified.growth:10.1f} MiB more memory for verifying all of it than for a tenth")
    return [
        Floor("audit records verified a second", records / verified.seconds, 50_000, at_least=True),
        Floor("memory of verifying ten times as many", verified.growth, 16, at_least=False, unit=" MiB"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.audit", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help=f"records in the log ({RECORDS:,})")
    for floor in report(parser.parse_args(arguments).records):
        print(floor.line())


if __name__ == "__main__":
    main()
