"""`acme plugin test`: a plugin's tests in every placement, with every fault on the way, and a table of how they went.

pytest runs them, in a process of its own and in the plugin's folder; what is repeated how is the test kit's affair
(`acme/testing/pytest_plugin.py`). This module starts it and reads its report.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

ALONE = ("", "")
"""Placement and fault of a test that has no platform."""


class TrialsError(Exception):
    """The tests cannot be run; the text says why."""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """How one test went."""

    test: str
    placement: str
    fault: str
    outcome: str
    """"passed", "failed" or "skipped"."""


def run(
    folder: Path, placements: Sequence[str], faults: Sequence[str], options: Sequence[str]
) -> tuple[int, list[Line]]:
    """Runs the tests in `folder`; pytest prints on the way. Returns its exit status and how each test went.

    Raises:
        TrialsError: pytest is not installed.
    """
    for module in ("pytest", "pytest_asyncio"):
        if find_spec(module) is None:
            raise TrialsError(f"{module} is not installed: pip install 'acme-platform[plugin]'")
    with tempfile.TemporaryDirectory(prefix="acme-trials-") as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", f"--acme-report={report}"]
        command += [f"--acme-placements={','.join(placements) or 'all'}", f"--acme-faults={','.join(faults) or 'all'}"]
        # The author's own tests, with the author's own options.
        done = subprocess.run([*command, *options], cwd=folder)  # noqa: S603 - see above
        if not report.exists():
            return done.returncode, []
        return done.returncode, msgspec.json.decode(report.read_bytes(), type=list[Line])


def as_text(lines: Sequence[Line]) -> str:
    """A row a placement, a column a fault, in the order they ran in; below it the tests that have no platform."""
    cells: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        cells.setdefault((line.placement, line.fault), Counter())[line.outcome] += 1
    alone = cells.pop(ALONE, None)
    placements, faults = (list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1))
    rows = [["Placement", *faults]]
    rows += [[place, *(_cell(cells.get((place, fault), Counter())) for fault in faults)] for place in placements]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if cells else []
    if alone is not None:
        text.append(f"Without a platform: {_cell(alone)}")
    return "\n".join(text)


def _cell(counted: Counter[str]) -> str:
    total = counted.total() - counted["skipped"]
    if counted["failed"]:
        return f"{counted['failed']} of {total} FAILED"
    return f"{total} pass" if total else "-"
