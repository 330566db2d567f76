"""How the process and its interpreter are."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acme.runtime import vitals
from acme.runtime.vitals import Vitals
from acme.telemetry import Metrics


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    shown = Metrics()
    living = Vitals(shown)
    yield shown
    living.stop()


def value(metrics: Metrics, series: str) -> float:
    """Of one series."""
    (line,) = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{series} ")]
    return float(line.rpartition(" ")[2])


def test_processor_time_grows_with_work(metrics: Metrics) -> None:
    series = 'process_cpu_time_seconds_total{cpu_mode="user"}'
    before, used = value(metrics, series), os.times().user
    while os.times().user - used < 0.1:
        sum(range(10_000))
    assert value(metrics, series) - before >= 0.09


def test_memory_is_what_the_kernel_says(metrics: Metrics) -> None:
    before = value(metrics, "process_memory_usage_bytes")
    block = bytearray(b"x" * 64 * 1024 * 1024)
    assert value(metrics, "process_memory_usage_bytes") - before > 32 * 1024 * 1024
    assert value(metrics, "process_memory_virtual_bytes") > len(block)


def test_open_files_and_threads_are_counted(metrics: Metrics) -> None:
    before = value(metrics, "process_unix_file_descriptor_count")
    with open(os.devnull), open(os.devnull):
        assert value(metrics, "process_unix_file_descriptor_count") == before + 2
    assert value(metrics, "process_thread_count") >= 1
    assert value(metrics, "process_uptime_seconds") >= 0
    assert value(metrics, 'process_context_switches_total{process_context_switch_type="voluntary"}') > 0


def test_where_the_kernel_does_not_tell_the_rest_is_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "_PROC", Path("/nowhere"))
    assert vitals.memory()[0] > 1024 * 1024
    assert vitals.threads() >= 1


def test_the_collector_of_garbage_is_counted_and_its_longer_pauses_measured(metrics: Metrics) -> None:
    collections = 'cpython_gc_collections_total{cpython_gc_generation="2"}'
    pauses = 'acme_gc_pause_seconds_count{cpython_gc_generation="2"}'
    gc.collect()  # a histogram is shown from its first observation on
    before = value(metrics, collections), value(metrics, pauses)
    gc.collect()
    assert (value(metrics, collections), value(metrics, pauses)) >= (before[0] + 1, before[1] + 1)
    assert value(metrics, 'acme_gc_pause_seconds_sum{cpython_gc_generation="2"}') > 0
    assert value(metrics, 'cpython_gc_uncollectable_objects_total{cpython_gc_generation="0"}') >= 0


def test_after_the_stop_no_pause_is_measured() -> None:
    before = list(gc.callbacks)
    Vitals(Metrics()).stop()
    assert gc.callbacks == before
