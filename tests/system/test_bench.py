"""The bench runs: a figure that nobody can measure any more is a promise that nobody keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.tree import ROOT

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def report() -> str:
    """What the shortest bench prints."""
    command = [sys.executable, "-m", "tests.bench", "--rounds", "1", "--seconds", "0.1", "--starts", "1"]
    command += ["--audit-records", "2000", "--calls", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("request_kind", ["(a) bare", "(b) no-op", "(c) GET", "(d) list 50", "(e) POST"])
def test_every_kind_of_request_is_measured(report: str, request_kind: str) -> None:
    assert request_kind in report


@pytest.mark.parametrize("request_kind", ["(b) no-op", "(c) GET", "(d) list 50", "(e) POST"])
def test_another_process_is_told_as_times_the_cpu_time_of_one(report: str, request_kind: str) -> None:
    section = report.partition("Through gateway + worker beside in one process")[2].partition("Traces:")[0]
    told = [line.split() for line in section.splitlines() if request_kind in line]
    assert [(float(words[0]) > 0, words[1]) for words in told] == [(True, "×")]


@pytest.mark.parametrize(
    "floor",
    [
        "JSON of a list of 50",
        "Avro encode of an event",
        "Avro decode of an event",
        "in-process call",
        "start to ready",
        "audit records verified a second",
        "memory of verifying ten times as many",
        "(b) / (a) by requests/s",
        "grpc.aio, 16 at a time, by calls/s",
        "grpc.aio, 16 at a time, by CPU time a call",
    ],
)
def test_every_floor_is_told_as_reached_or_missed(report: str, floor: str) -> None:
    told = [line for line in report.partition("Floors:")[2].splitlines() if floor in line]
    assert [line.split()[0] in ("reached", "MISSED") for line in told] == [True]


@pytest.mark.parametrize("where", ["in one process", "in two processes"])
def test_the_way_of_an_event_is_measured(report: str, where: str) -> None:
    section = report.partition("From a commit to another plugin's handler")[2].partition("Traces:")[0]
    told = [line.split() for line in section.splitlines() if where in line and "p50" in line]
    assert [(float(words[0]) > 0, words[1], words[3]) for words in told] == [(True, "p50", "p99")]
