"""Every test of services below tests/contract/ runs in every placement: none opts out, neither by what pytest collects nor
by what it does then. A file is about services when it imports a plugin or a contract, or has a test with a platform. Two of
the four placements are those of `make test`, two of `make test-drills` (tests/conftest.py)."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from acme.testing import PLACEMENTS
from tests.house.tree import ROOT, sources, with_ancestors

WHERE = "tests/contract/"
EXEMPT = {
    "tests/contract/test_differential.py": "it compares two placements in one test",
    "tests/contract/test_audit_matrix.py": "two of its tests are about its tables: they need no platform",
    "tests/contract/test_equality.py: reference": "what every placement is compared with",
    "tests/contract/test_equality.py: test_every_placement_answers_and_publishes_the_same": "it says which one differs",
}
"""A file, or a function of one, and why it may look at placements."""

OURS = ("placement", "platform", "fault", "workers")
"""Fixtures of the kit that decide where a test runs."""
OPTING_OUT = {"skip", "skipif", "xfail", "importorskip", "deselect"}

HEAD = "import pytest\nfrom acme.testing import Platform\n"
MARKED = f"{HEAD}pytestmark = pytest.mark.every_placement\n"
PLANTED = {
    "unmarked": (f"{HEAD}async def test_it(platform): ...\n", "does not run in local, grpc, process"),
    "narrowed": (
        f'{MARKED}@pytest.mark.parametrize("placement", ["local"], indirect=True)\nasync def test_it(platform): ...\n',
        "does not run in loopback, grpc, process",
    ),
    "inward": (f"{MARKED}from acme_projects import plugin\ndef test_it(): ...\n", "has no platform"),
    "overriding": (
        f'{MARKED}@pytest.fixture(scope="module")\ndef placement(): return "local"\nasync def test_it(platform): ...\n',
        "defines `placement`",
    ),
    "asking": (
        f'{MARKED}async def test_it(platform, placement):\n    assert placement == "grpc"\n',
        "asks for `placement`",
    ),
    "skipping": (f'{MARKED}async def test_it(platform):\n    pytest.skip("not here")\n', "skip"),
    "starting": (f"{MARKED}async def test_it(platform):\n    Platform.start([])\n", "starts a platform"),
    "good": (f"{MARKED}async def test_it(platform): ...\n", ""),
}
"""Files that opt out, each in its way, and what is said of them."""

Collected = Sequence[tuple[str, str, list[str], str]]


def written_offences(name: str, tree: ast.Module) -> Iterator[str]:
    """What a file of tests about services must not do."""
    for node, ancestors in with_ancestors(tree):
        functions = [a for a in (*ancestors, node) if isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef)]
        if functions and f"{name}: {functions[0].name}" in EXEMPT:
            continue
        at = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name in OURS:
                yield f"{at} defines `{node.name}`"
            if "placement" in {arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)}:
                yield f"{at} asks for `placement`"
        if isinstance(node, ast.Attribute):
            if node.attr in OPTING_OUT:
                yield f"{at} opts out: {node.attr}"
            if node.attr == "start" and isinstance(node.value, ast.Name) and node.value.id == "Platform":
                yield f"{at} starts a platform of its own"


def collected_offences(name: str, tests: Collected) -> Iterator[str]:
    """What of a file about services is not run everywhere."""
    placed: defaultdict[str, set[str]] = defaultdict(set)
    for _, test, fixtures, placement in tests:
        if "platform" in fixtures:
            placed[test].add(placement or "loopback")
        else:
            yield f"{name}: {test} has no platform"
    for test, placements in placed.items():
        if missing := [each for each in PLACEMENTS if each not in placements]:
            yield f"{name}: {test} does not run in {', '.join(missing)}"


def about_services(tree: ast.Module, tests: Collected) -> bool:
    """Whether a file imports a plugin or a contract, or has a test with a platform."""
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    inside = any(module.startswith(("acme_", "acme.contracts")) for module in modules)
    return inside or any("platform" in fixtures for _, _, fixtures, _ in tests)


def offences(name: str, path: Path, collected: Collected) -> list[str]:
    tests = [test for test in collected if Path(test[0]) == path]
    tree = ast.parse(path.read_text())
    if name in EXEMPT or not about_services(tree, tests):
        return []
    return [*written_offences(name, tree), *collected_offences(name, tests)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    for name, (source, _) in PLANTED.items():
        (folder / f"test_{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
def collected(planted: Path) -> Collected:
    """What pytest finds below tests/contract/ and among the planted files."""
    into = planted / "collected.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={ROOT}",
        "--collect-only",
        "-q",
        "-m",
        "drill or not drill",  # half of the placements are those of `make test-drills`
    ]
    command += ["-p", "tests.house.collected", "-p", "no:cacheprovider", str(ROOT / WHERE), str(planted)]
    # The run that this test is part of says nothing about that one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(command, cwd=ROOT, env=environment | {"COLLECTED": str(into)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: Collected = json.loads(into.read_text())
    return found


def test_every_test_of_services_runs_in_every_placement(collected: Collected) -> None:
    files = [name for name in sources("tests") if name.startswith(WHERE)]
    told = [offence for name in files for offence in offences(name, ROOT / name, collected)]
    assert told == []
    repeated = {test[0] for test in collected if test[3] and Path(test[0]).is_relative_to(ROOT / WHERE)}
    assert len(repeated) >= 7, "the tests of services were not found"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_offender_is_caught(name: str, planted: Path, collected: Collected) -> None:
    told = offences(name, planted / f"test_{name}.py", collected)
    expected = PLANTED[name][1]
    assert len(told) == bool(expected)
    assert all(expected in line for line in told)


def test_every_exemption_is_still_needed() -> None:
    for entry in EXEMPT:
        name, _, function = entry.partition(": ")
        assert name in sources("tests")
        assert not function or f"def {function}(" in (ROOT / name).read_text()
