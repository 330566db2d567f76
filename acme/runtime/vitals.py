"""How the process and its interpreter are, by OpenTelemetry's conventions for processes and CPython.

Read when somebody asks, from what the kernel and the interpreter count anyway. Only pauses of the garbage collector are
measured as they happen, those of its first generation aside: there are hundreds a second, of microseconds each.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from acme.telemetry import Metrics

PAUSES: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Bounds of the histogram of pauses, in seconds."""
_PROC: Final = Path("/proc/self")


class Vitals:
    """Of this process. `stop` ends the measuring of pauses."""

    def __init__(self, metrics: Metrics) -> None:
        self._began = time.monotonic()
        pauses = metrics.histogram(
            "acme_gc_pause_seconds", "How long the garbage collector stopped the process.", _GENERATION, PAUSES
        )
        self._pauses = {number: pauses.bind(str(number)).observe for number in (1, 2)}
        self._since = 0.0
        metrics.counted(
            "process_cpu_time_seconds_total",
            "Processor time of the process.",
            ("cpu_mode",),
            lambda: {("user",): os.times().user, ("system",): os.times().system},
        )
        metrics.counted(
            "process_context_switches_total",
            "Times the process gave the processor up, or lost it.",
            ("process_context_switch_type",),
            _switches,
        )
        metrics.gauge("process_memory_usage_bytes", "Resident memory.", (), lambda: {(): float(memory()[0])})
        metrics.gauge("process_memory_virtual_bytes", "Mapped memory.", (), lambda: {(): float(memory()[1])})
        metrics.gauge(
            "process_unix_file_descriptor_count", "Open files and sockets.", (), lambda: {(): float(descriptors())}
        )
        metrics.gauge("process_thread_count", "Threads.", (), lambda: {(): float(threads())})
        metrics.gauge("process_uptime_seconds", "Seconds since the start.", (), lambda: {(): self._uptime()})
        for what in ("collections", "collected", "uncollectable"):
            objects = what if what == "collections" else f"{what}_objects"
            metrics.counted(
                f"cpython_gc_{objects}_total", f"The garbage collector's {objects}.", _GENERATION, _collected(what)
            )
        gc.callbacks.append(self._paused)

    def stop(self) -> None:
        """Measures nothing any more."""
        gc.callbacks.remove(self._paused)

    def _uptime(self) -> float:
        return time.monotonic() - self._began

    def _paused(self, phase: str, about: dict[str, Any]) -> None:
        observe = self._pauses.get(about["generation"])
        if observe is None:
            return
        if phase == "start":
            self._since = time.perf_counter()
        else:
            observe(time.perf_counter() - self._since)


_GENERATION: Final = ("cpython_gc_generation",)


def memory() -> tuple[int, int]:
    """Bytes that are resident, and that are mapped; where the kernel does not tell, the most that were resident, and 0."""
    try:
        mapped, resident, *_ = (_PROC / "statm").read_text().split()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, 0
    page = resource.getpagesize()
    return int(resident) * page, int(mapped) * page


def descriptors() -> int:
    """Open files and sockets."""
    return len(os.listdir("/dev/fd")) - 1  # the listing itself is one


def threads() -> int:
    """Threads, those of libraries included where the kernel tells."""
    try:
        return len(os.listdir(_PROC / "task"))
    except OSError:
        return threading.active_count()


def _switches() -> dict[tuple[str, ...], float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {("voluntary",): float(used.ru_nvcsw), ("involuntary",): float(used.ru_nivcsw)}


def _collected(what: str) -> Callable[[], dict[tuple[str, ...], float]]:
    return lambda: {(str(number),): float(stats[what]) for number, stats in enumerate(gc.get_stats())}
