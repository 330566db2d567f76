"""What `make soak` makes of its samples: each thing that may stay behind is told, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.watch import Sample, drift, faults, gauge

REST = Sample(at=0.0, memory=100 << 20, files=20, threads=4, tasks=80)
CALM = [replace(REST, at=5.0 * number, memory=(150 << 20) + (number % 3 << 16), files=40) for number in range(360)]


def test_what_comes_back_to_where_it_was_is_no_fault() -> None:
    assert faults(REST, CALM, replace(REST, memory=150 << 20, threads=9), busy=0) == []


def test_memory_may_grow_while_caches_fill() -> None:
    early = [replace(one, memory=(100 << 20) + (number << 20)) for number, one in enumerate(CALM[:50])]
    assert abs(drift([*early, *CALM[50:]])) < 0.001


def test_memory_that_grows_steadily_is_told() -> None:
    growing = [replace(one, memory=one.memory + (number << 14)) for number, one in enumerate(CALM)]
    assert drift(growing) > 0.02
    assert faults(REST, growing, REST, busy=0) == [
        f"memory drifted by {drift(growing):.1%} after the warm-up (at most 2%)"
    ]


@pytest.mark.parametrize(
    ("after", "busy", "told"),
    [
        (replace(REST, files=21), 0, "files: 20 before, 21 after"),
        (replace(REST, tasks=81), 0, "tasks: 80 before, 81 after"),
        (REST, 1, "1 sessions of PostgreSQL are not idle"),
    ],
)
def test_what_is_left_is_told(after: Sample, busy: int, told: str) -> None:
    assert faults(REST, CALM, after, busy) == [told]


def test_a_gauge_is_found_by_its_whole_name() -> None:
    assert gauge('acme_tasks_more 1.0\nacme_tasks 79.0\nacme_tasks{a="b"} 3.0\n', "acme_tasks") == 79.0
    with pytest.raises(LookupError):
        gauge("", "acme_tasks")
