"""What is noted of a process while it is under load, and whether anything stays behind."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DRIFT: Final = 0.02
"""By how much memory may have grown after the warm-up, of what it was."""
WARM_UP: Final = 0.2
"""Of all the time, in which caches fill."""
_KIB: Final = 1024


@dataclass(frozen=True)
class Sample:
    """A moment."""

    at: float
    """Seconds since the load began."""
    memory: int
    """Bytes that are resident."""
    files: int
    """File descriptors, sockets included, less those of PostgreSQL's sessions, which a pool opens when it needs them."""
    threads: int
    tasks: int
    """Of its event loop."""


def sample(pid: int, at: float, metrics: str, sessions: int) -> Sample:
    """The process as it is now; `metrics` is the text that it shows to Prometheus, `sessions` are those of PostgreSQL."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    return Sample(
        at=at,
        memory=int(status["VmRSS"].split()[0]) * _KIB,
        files=len(os.listdir(f"/proc/{pid}/fd")) - sessions,
        threads=int(status["Threads"]),
        tasks=int(gauge(metrics, "acme_tasks")),
    )


def gauge(metrics: str, name: str) -> float:
    """The value of a metric without labels.

    Raises:
        LookupError: there is none.
    """
    for line in metrics.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    raise LookupError(name)


def drift(samples: Sequence[Sample]) -> float:
    """By how much memory has grown since the warm-up, of what it was: 0.01 is 1 %."""
    end = samples[-1].at
    warm = [one for one in samples if one.at >= WARM_UP * end]
    tenth = max(1, len(warm) // 10)
    before, after = (statistics.median(one.memory for one in part) for part in (warm[:tenth], warm[-tenth:]))
    return after / before - 1


def faults(rest: Sample, samples: Sequence[Sample], after: Sample, busy: int, most: float = DRIFT) -> list[str]:
    """What is wrong, one line each: `rest` was before the load, `after` is long after it, `busy` counts the sessions of
    PostgreSQL that are not idle then."""
    found = []
    if (grown := drift(samples)) > most:
        found.append(f"memory drifted by {grown:.1%} after the warm-up (at most {most:.0%})")
    for what in ("files", "tasks"):
        one, other = getattr(rest, what), getattr(after, what)
        if other > one:
            found.append(f"{what}: {one} before, {other} after")
    if busy:
        found.append(f"{busy} sessions of PostgreSQL are not idle")
    return found
