"""schemathesis against the OpenAPI document of a running platform: all its checks, with a fixed version and seed.

Run by `make fuzz` alone, which says how many examples an operation gets: ids are new each time, so this is the one part of
the tests that a seed does not repeat. Each operation has people and things of its own (`tests/fuzz`).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.running import Platform, platform

ROOT: Final = Path(__file__).parents[2]
SEED: Final = 1
EXAMPLES: Final = os.environ.get("FUZZ_EXAMPLES", "")
"""Of each operation, beside all that the document shows and the borders of what it allows."""
LIMIT: Final = 1500.0
"""Seconds."""
BY_STATE: Final = {
    "401": "credentials and refresh tokens that are nobody's",
    "403": "a password that is not the caller's",
    "404": "one id in five is made up; and there is no offer of ownership to accept",
    "409": "the last owner leaves; somebody is a member already; nothing is offered",
    "412": "an If-Match that was made up",
    "429": "too many wrong passwords",
}
"""Statuses that a body may get that is valid by its form, and why."""
BY_TOKEN: Final = "token_invalid"
"""The code (422) of a token from a mail that nobody was sent."""


pytestmark = pytest.mark.skipif(not EXAMPLES, reason="schemathesis is run by `make fuzz`")


@dataclass(frozen=True)
class Run:
    """What schemathesis did."""

    status: int
    output: str
    report: Mapping[str, Any]
    bodies: Counter[str]
    """How often an answer, "201" or "422 invalid_argument", was given to a body that is valid by its form."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("fuzz")
    # Every request comes from another address, or throttles would soon refuse all log-ins from the only one.
    with platform(folder / "platform", environ={"ACME_GATEWAY__PROXIES": '["127.0.0.0/8"]'}) as running:
        yield fuzz(running, folder)


def fuzz(running: Platform, folder: Path) -> Run:
    tally, report = folder / "tally.json", folder / "report.json"
    environ = {
        **os.environ,
        "FUZZ_API": running.api,
        "FUZZ_MAILBOX": str(running.data / "mailbox"),
        "FUZZ_TALLY": str(tally),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "NO_COLOR": "1",
        "COLUMNS": "160",
    }
    command = [str(Path(sys.executable).with_name("schemathesis"))]
    command += ["--config-file", str(ROOT / "tests/fuzz/schemathesis.toml"), "run", f"{running.api}/v1/openapi.json"]
    command += [
        "--checks",
        "all",
        "--max-examples",
        EXAMPLES,
        "--seed",
        str(SEED),
        "--continue-on-failure",
        "--no-shrink",
    ]
    command += ["--generation-database", "none", "--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT)
    bodies: Counter[str] = Counter()
    for operation, answers in json.loads(tally.read_text()).items() if tally.exists() else ():
        if operation.startswith("body "):
            bodies.update(answers)
    return Run(done.returncode, done.stdout + done.stderr, json.loads(report.read_text()), bodies)


def test_no_check_fails_on_any_operation(run: Run) -> None:
    assert run.status == 0, run.output[-20_000:]
    assert run.report["failures"] == run.report["errors"] == []
    assert run.report["complete"]
    assert run.report["operations"]["tested"] == run.report["operations"]["total"] > 70
    assert {phase["status"] for phase in run.report["phases"].values()} == {"success"}
    assert run.report["test_cases"]["generated"] > 3_000


def test_four_in_five_valid_bodies_are_accepted(run: Run) -> None:
    accepted = sum(count for answer, count in run.bodies.items() if answer.startswith("2"))
    state = sum(count for answer, count in run.bodies.items() if answer[:3] in BY_STATE or BY_TOKEN in answer)
    refused = run.bodies.total() - accepted - state
    share = accepted / (accepted + refused)
    by = Counter[str]()
    for answer, count in run.bodies.items():
        if not answer.startswith("2"):
            by[answer] += count
    print(
        f"valid bodies: {accepted} accepted, {refused} refused ({share:.1%}); {state} by state; {by}", file=sys.stderr
    )
    assert accepted > 300
    assert share >= 0.8, run.bodies


def test_the_version_is_fixed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = (one for one in project["optional-dependencies"]["dev"] if one.startswith("schemathesis"))
    assert wanted == f"schemathesis=={importlib.metadata.version('schemathesis')}"
