"""`acme plugin test`: pytest is run, and its report becomes a table."""

from __future__ import annotations

from pathlib import Path

from acme.cli.trials import Line, as_text, run

TEST = """
import pytest
from acme_projects import plugin

@pytest.fixture(scope="module")
def plugins():
    return [plugin]

async def test_it(platform, placement, fault):
    assert (placement, fault) != ("loopback", "slow")

async def test_other(platform):
    pytest.skip("not today")

def test_alone():
    pass
"""
INI = (
    "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = module\n"
    "asyncio_default_test_loop_scope = module\n"
)


def test_tests_run_in_what_was_asked_for_and_each_is_noted(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_it.py").write_text(TEST)
    status, lines = run(tmp_path, ["local", "loopback"], ["clean", "slow"], ["-p", "no:cacheprovider"])
    assert status == 1
    noted = {(line.placement, line.fault, line.outcome) for line in lines if "test_it[" in line.test}
    assert noted == {
        ("local", "clean", "passed"),
        ("local", "slow", "passed"),
        ("loopback", "clean", "passed"),
        ("loopback", "slow", "failed"),
    }
    assert [line.outcome for line in lines if "test_other" in line.test] == ["skipped"] * 4
    assert [(line.placement, line.fault) for line in lines if "test_alone" in line.test] == [("", "")]


def test_an_unknown_fault_is_told_by_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    status, lines = run(tmp_path, [], ["thunder"], ["-p", "no:cacheprovider"])
    assert status != 0
    assert [line for line in lines if line.outcome == "passed" and line.fault] == []


def test_the_table_has_a_row_a_placement_and_a_column_a_fault() -> None:
    lines = [
        Line("a", "local", "clean", "passed"),
        Line("b", "local", "clean", "passed"),
        Line("a", "local", "crash", "failed"),
        Line("b", "local", "crash", "passed"),
        Line("a", "grpc", "clean", "skipped"),
        Line("c", "", "", "passed"),
    ]
    assert as_text(lines).splitlines() == [
        "Placement  clean   crash",
        "local      2 pass  1 of 2 FAILED",
        "grpc       -       -",
        "Without a platform: 1 pass",
    ]
