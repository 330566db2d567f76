"""How `acme topology` shows what runs where."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from acme.cli.topology import print_json, print_tables
from acme.runtime.topology import ChildState, Process, Seen, ServiceState, ServiceTotal
from tests.unit.acme.cli.command import Command

SEEN = Seen(
    (
        Process(
            "supervisor", 1, "1.0", 60.0, "up",
            children=(ChildState("gateway", 2, "up", 0), ChildState("users", 0, "waiting", 3)),
        ),
        Process(
            "gateway", 2, "1.0", 59.0, "not ready", ("http://127.0.0.1:8080",), 5,
            (
                ServiceState("acme.users.v1.Users", "users", "", "remote", "unreachable", ("grpc://u:1 failing",)),
                ServiceState("acme.projects.v1.Projects", "projects", "0.2", "remote", "up", ("grpc://p:1 ready",)),
                ServiceState(
                    "acme.files.v1.Files", "files", "2", "remote", "up", ("grpc://f:1 ready (compatible contract)",),
                    another_version=True,
                ),
            ),
        ),
        Process(
            "projects", 3, "1.0", 58.0, "up", ("grpc://p:1",), 0,
            (ServiceState("acme.projects.v1.Projects", "projects", "0.2", "local", "up", (), 1000, 0.0123, 7),),
        ),
    ),
    ("control-old.sock: no answer",),
    (
        ServiceTotal("acme.projects.v1.Projects", "projects", ("projects",), 7, 1000, 0.0123),
        ServiceTotal("acme.files.v1.Files", "files", ("files-1", "files-2"), 9, 20, None),
    ),
)  # fmt: skip


def shown() -> list[list[str]]:
    """The words of each line."""
    console = Console(file=io.StringIO(), highlight=False, width=400)
    print_tables(SEEN, console)
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_processes_are_shown_with_those_that_are_down() -> None:
    lines = shown()
    assert ["gateway", "2", "1.0", "59", "s", "not", "ready", "0", "5", "http://127.0.0.1:8080"] in lines
    assert ["users", "-", "waiting", "3"] in lines
    assert ["control-old.sock:", "no", "answer"] in lines


def test_a_service_is_shown_where_it_is_served_and_where_it_cannot_be_called() -> None:
    services = [line for line in shown() if line and line[0].startswith("acme.")]
    assert services == [
        ["acme.users.v1.Users", "users", "gateway", "grpc://u:1", "failing", "unreachable", "0", "0", "-"],
        [
            "acme.files.v1.Files",
            "files",
            "2",
            "gateway",
            "grpc://f:1",
            "ready",
            "(compatible",
            "contract)",
            "up",
            "0",
            "0",
            "-",
        ],
        ["acme.projects.v1.Projects", "projects", "0.2", "projects", "local", "up", "7", "1000", "12.3", "ms"],
        ["acme.files.v1.Files", "files", "all", "2", "9", "20", "-"],
    ]


def test_json_has_all_of_it(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json(SEEN)
    told = json.loads(capsysbinary.readouterr().out)
    assert [process["name"] for process in told["processes"]] == ["supervisor", "gateway", "projects"]
    assert told["silent"] == list(SEEN.silent)


def test_nothing_that_runs_is_told(acme: Command) -> None:
    ended = acme("topology")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"acme: nothing of the platform runs on {acme.folder / '.acme'}\n"
