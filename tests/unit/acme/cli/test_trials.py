"""`acme plugin test`: pytest is run, and its report becomes a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme.cli.trials import Line, as_text, run
from tests.made import Made

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


@pytest.mark.drill
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


@pytest.mark.drill
def test_what_is_kept_outside_of_the_transaction_is_found_by_the_crash(tmp_path: Path) -> None:
    """A service that remembers names in its memory says "taken" when the call is repeated, and passes all clean tests."""
    made = Made(tmp_path)
    service, one = f"{made.name}/service.py", made.name.removesuffix("es")
    made.edit(
        service,
        "settings = store, clock, pages, settings",
        "settings = store, clock, pages, settings\n        self._taken: set[tuple[str, str]] = set()",
    )
    made.edit(
        service,
        f"        await self._store.insert({one})",
        f"""        if ({one}.owner_id, {one}.name) in self._taken:
            raise NotFound("taken")
        self._taken.add(({one}.owner_id, {one}.name))
        await self._store.insert({one})""",
    )
    status, lines = run(
        made.folder, ["local"], ["clean", "duplicated", "crash"], ["-p", "no:cacheprovider", "-k", "announced"]
    )
    assert status == 1
    assert {line.fault: line.outcome for line in lines} == {
        "clean": "passed",
        "duplicated": "passed",
        "crash": "failed",
    }


@pytest.mark.drill
def test_a_method_that_is_not_idempotent_as_it_says_is_found_by_the_duplicate(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.edit(
        made.proto, "option (acme.options.v1.success_status) = 201;", "option (acme.options.v1.idempotent) = true;"
    )
    status, lines = run(
        made.folder, ["local"], ["clean", "duplicated", "slow"], ["-p", "no:cacheprovider", "-k", "announced"]
    )
    assert status == 1
    assert {line.fault: line.outcome for line in lines} == {"clean": "passed", "duplicated": "failed", "slow": "passed"}


@pytest.mark.drill
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
