"""How `acme trace` shows the way of a request."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from acme.cli.trace import print_json, print_way
from acme.runtime.tracing import Found, Step, Told
from tests.unit.acme.cli.command import Command

T = "4bf92f3577b34da6a3ce929d0e0e4736"
FOUND = Found(
    (
        Told(
            "a0", "r-1", T, True, True,
            (
                Step("http", "POST", 1000.0, 0.0100, "201", "/v1/things", "a0"),
                Step("let in", "", 1000.0, 0.001, parent="a0"),
                Step("sent", "a.B/C", 1000.002, 0.006, "OK", "grpc://b:1", "a1", "a0"),
                Step("answered", "", 1000.008, 0.002, parent="a0"),
            ),
            "gateway",
        ),
        Told(
            "b0", "r-1", T, True, True,
            (
                Step("call", "a.B/C", 1000.003, 0.004, "OK", "grpc", "b0", "a1"),
                Step("wait", "", 1000.0031, 0.0005, "", "things", "b1", "b0"),
                Step("sql", "INSERT things", 1000.004, 0.001, "23505", "things", "b2", "b0"),
                Step("event", "things.events", 1000.005, 0.001, "", "things 2", "b3", "b0"),
            ),
            "things", lost=3,
        ),
        Told(
            "c0", "", T, False, True,
            (Step("process", "things.events", 1000.05, 0.01, "", "search.index", "c0", "b3"),),
            "search", causes=("r-1", "r-2"),
        ),
    ),
    ("control-old.sock: no answer",),
)  # fmt: skip


def shown(found: Found) -> list[str]:
    stream = io.StringIO()
    print_way(found, Console(file=stream, width=200, highlight=False, soft_wrap=True))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_each_step_stands_below_the_one_that_caused_it_with_its_times_and_process() -> None:
    lines = shown(FOUND)
    assert lines[0].startswith(f"request r-1, r-2  trace {T}  1970-01-01T00:16:40.000Z  sampled")
    assert [line.split() for line in lines[2:11]] == [
        ["0.00", "10.00", "gateway", "POST", "/v1/things", "→", "201"],
        ["0.00", "1.00", "gateway", *["route,", "limits", "and", "token", "passed"]],
        ["2.00", "6.00", "gateway", "a.B/C", "called", "at", "grpc://b:1"],
        ["3.00", "4.00", "things", "a.B/C", "served", "(grpc)"],
        ["3.10", "0.50", "things", *["waited", "for", "a", "connection", "of", "things"]],
        ["4.00", "1.00", "things", "sql", "things:", "INSERT", "things", "→", "23505"],
        ["5.00", "1.00", "things", *["2", "events", "of", "things", "left", "for", "things.events"]],
        ["50.00", "10.00", "search", "search.index", "heard", "things.events"],
        ["8.00", "2.00", "gateway", *["answer", "made", "and", "written"]],
    ]
    assert "things: 3 steps more were not kept" in lines[11]
    assert "control-old.sock: no answer" in lines[12]
    indents = [len(line) - len(line[36:].lstrip()) for line in (lines[4], lines[5], lines[6])]
    assert indents[0] < indents[1] < indents[2]


def test_a_mail_that_left_and_one_that_did_not_say_so() -> None:
    steps = (
        Step("delivery", "mail", 1.0, 0.001, "", "users 1", "a0"),
        Step("delivery", "mail", 2.0, 0.001, "Refused", "users 2", "b0"),
    )
    lines = shown(Found((Told("a0", "r-1", T, False, True, steps, "users"),)))
    assert lines[2].endswith("mail of users carried out")
    assert lines[3].endswith("mail of users failed, attempt 2 → Refused")


def test_a_request_that_was_refused_or_goes_on_says_so() -> None:
    told = Told(
        "a0", "r-1", T, False, False, (Step("sql", "SELECT a", 1.0, 0.1, "", "b", "a2", "a1"),), "gateway", "stale"
    )
    head = shown(Found((told,)))[0]
    assert "still under way in gateway" in head
    assert "refused: stale" in head
    assert "sampled" not in head


def test_json_has_it_all(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json(FOUND)
    found = json.loads(capfdbinary.readouterr().out)
    assert [trace["process"] for trace in found["traces"]] == ["gateway", "things", "search"]
    assert found["traces"][0]["steps"][2]["detail"] == "grpc://b:1"
    assert found["silent"] == ["control-old.sock: no answer"]


def test_without_a_process_that_remembers_it_the_command_fails(acme: Command, tmp_path: Path) -> None:
    ended = acme("trace", "r-1", "--data", str(tmp_path))
    assert ended.code == 1
    assert "there is no trace of r-1" in ended.err
