"""The unit tree mirrors the source tree, so that the test of a file is found without looking for it."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

import pytest

from tests.house.tree import parsed, sources

EXEMPT = {
    "acme/ports/__init__.py": "protocols and their exceptions only: drivers pass the contract suites in tests/contract",
    "acme/ports/bus.py": "the same: tests/contract/bus",
    "acme/ports/objects.py": "the same: tests/contract/test_objects.py",
    "acme/plugin.py": "declarations only: runtime's assembly and every plugin use them",
    "acme/client/services.py": "generated: test_generate.py tells whether it is as the contracts make it",
    "acme/__main__.py": "one line: calls the command line",
    "acme/cli/__main__.py": "one line: calls the command line",
}
"""Source files without a unit test of their own, each with the reason."""


def mirror(source: str) -> str:
    """Where the unit test of a source file lives."""
    path = PurePosixPath(source)
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    return str(PurePosixPath("tests/unit") / folder / f"test_{stem}.py")


def does_something(source: str) -> bool:
    """Whether a package's `__init__.py` holds more than its docstring, imports and constants."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in parsed(source).body)


def needs_a_test(source: str) -> bool:
    return source not in EXEMPT and (not source.endswith("/__init__.py") or does_something(source))


WRITTEN = sources("acme", "plugins")
UNIT_TESTS = [name for name in sources("tests") if name.startswith("tests/unit/") and "/test_" in name]


@pytest.mark.parametrize("source", [name for name in WRITTEN if needs_a_test(name)])
def test_every_source_file_has_its_unit_test(source: str) -> None:
    if mirror(source) not in UNIT_TESTS:
        pytest.fail(f"write {mirror(source)}, or give a reason in EXEMPT", pytrace=False)


def test_every_unit_test_has_its_source_file() -> None:
    known = {mirror(source) for source in WRITTEN}
    assert [name for name in UNIT_TESTS if name not in known] == []


def test_every_exemption_is_still_needed() -> None:
    gone = [source for source in EXEMPT if source not in WRITTEN and not source.endswith("__main__.py")]
    tested = [source for source in EXEMPT if mirror(source) in UNIT_TESTS]
    assert gone + tested == []
