"""The fixtures, in pytest runs of their own, as a plugin author has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = module
asyncio_default_test_loop_scope = module
addopts = --strict-markers
filterwarnings = error
"""

TWO_WORKERS = pytest.param(("-n", "2"), id="two workers", marks=pytest.mark.drill)


def pytest_run(folder: Path, test: str, *options: str, ini: str = INI) -> tuple[int, str]:
    """Exit code and output of pytest over one file with this text."""
    (folder / "pytest.ini").write_text(ini)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return answer.returncode, answer.stdout + answer.stderr


def test_importing_the_plugin_imports_no_driver_no_server_and_no_client() -> None:
    program = "import sys, json, acme.testing.pytest_plugin; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    imported = set(json.loads(answer.stdout))
    # grpclib is not in the list: generated contracts import it, and audit records are one.
    heavy = {"asyncpg", "aiohttp", "argon2", "cryptography", "acme.runtime", "acme.drivers", "acme.gateway"}
    assert imported & heavy == set()


def test_a_run_that_asks_for_nothing_starts_nothing(tmp_path: Path) -> None:
    test = """
import sys

def test_it():
    assert "acme.testing.server" not in sys.modules
    assert "acme.testing.platform" not in sys.modules
"""
    code, output = pytest_run(tmp_path, test, ini="[pytest]\n")
    assert code == 0, output


@pytest.mark.drill
def test_without_pytest_asyncio_only_the_asynchronous_fixtures_are_missing(tmp_path: Path) -> None:
    (tmp_path / "pytest_asyncio.py").write_text("raise ImportError('not installed')")
    test = """
def test_one():
    pass

def test_two(platform):
    pass
"""
    ini = "[pytest]\n"
    code, output = pytest_run(tmp_path, test, "-p", "no:asyncio", "-p", "no:aiohttp", ini=ini)
    assert "1 passed, 1 error" in output
    assert "`platform` needs pytest-asyncio" in output
    assert code == 1


@pytest.mark.parametrize("workers", [pytest.param((), id="alone"), TWO_WORKERS])
def test_all_workers_of_a_run_share_one_server(tmp_path: Path, workers: tuple[str, ...]) -> None:
    test = """
import pathlib, pytest

@pytest.mark.parametrize("number", range(4))
async def test_it(postgres, number):
    async with postgres.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    pathlib.Path(f"server-{postgres.folder.name}").touch()
"""
    code, output = pytest_run(tmp_path, test, *workers)
    assert code == 0, output
    assert len(list(tmp_path.glob("server-run-*"))) == 1


@pytest.mark.drill
def test_a_placement_is_loopback_unless_the_test_asks_for_every_one(tmp_path: Path) -> None:
    test = """
import pytest

def test_one(placement):
    assert placement == "loopback"

@pytest.mark.every_placement
def test_each(placement):
    assert placement in ("local", "loopback", "grpc", "process")
"""
    code, output = pytest_run(tmp_path, test)
    assert code == 0, output
    assert "5 passed" in output


@pytest.mark.drill
def test_the_database_fixture_asks_for_one_plugin(tmp_path: Path) -> None:
    code, output = pytest_run(tmp_path, "async def test_it(database):\n    pass\n")
    assert code == 1
    assert "override the fixture `plugins`" in output


@pytest.mark.drill
def test_a_test_in_an_event_loop_of_its_own_is_told_what_to_set(tmp_path: Path) -> None:
    test = """
import pytest
from acme.contracts.projects.v1 import ListProjectsRequest, ProjectsStub
from acme_projects import plugin

@pytest.fixture(scope="module")
def plugins():
    return [plugin]

async def test_stub(platform):
    await platform.stub(ProjectsStub, as_=platform.somebody()).list_projects(ListProjectsRequest())

async def test_client(platform):
    await platform.client().get("/healthz")
"""
    code, output = pytest_run(tmp_path, test, ini="[pytest]\nasyncio_mode = auto\n")
    assert code == 1
    said = [
        line
        for line in output.splitlines()
        if line.startswith("E  ") and "this test runs in another event loop" in line
    ]
    assert len(said) == 2, output


REPEATED = """
import pytest

@pytest.fixture
def platform():
    pass

def test_one(platform, placement, fault):
    pass

@pytest.mark.parametrize("placement", ["local"], indirect=True)
def test_chosen(platform, placement, fault):
    assert placement == "local"

def test_without(tmp_path):
    pass
"""


@pytest.mark.parametrize("workers", [pytest.param((), id="alone"), TWO_WORKERS])
def test_options_repeat_tests_and_note_how_each_went(tmp_path: Path, workers: tuple[str, ...]) -> None:
    report = tmp_path / "report.json"
    options = ("--acme-placements=local,loopback", "--acme-faults=all", f"--acme-report={report}", *workers)
    code, output = pytest_run(tmp_path, REPEATED, *options)
    assert code == 0, output
    noted = [(line[0].partition("::")[2].partition("[")[0], *line[1:]) for line in json.loads(report.read_text())]
    faults = ("clean", "duplicated", "slow", "crash")
    assert sorted(noted) == sorted(
        [("test_one", placement, fault, "passed") for placement in ("local", "loopback") for fault in faults]
        + [("test_chosen", "local", fault, "passed") for fault in faults]
        + [("test_without", "", "", "passed")]
    )


@pytest.mark.drill
def test_an_unknown_placement_or_fault_is_told_with_those_there_are(tmp_path: Path) -> None:
    for option in ("--acme-placements=moon", "--acme-faults=moon"):
        code, output = pytest_run(tmp_path, REPEATED, option)
        assert code != 0
        assert f"{option.partition('=')[0]}: there is no moon; there are " in output
