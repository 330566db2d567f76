"""What all tests share: hypothesis' profiles, and the home of pytest-aiohttp's fixtures (`aiohttp_client` and friends).

The fixtures `platform`, `database`, `placement` … come from the kit that plugin authors get: acme/testing/pytest_plugin.py.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

from acme.testing.server import roomy
from tests import prepared

pytest_plugins = ("pytest_aiohttp",)

# Times vary with the machine, and a function-scoped fixture is a service that holds nothing between examples.
settings.register_profile(
    "test", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("soak", settings.get_profile("test"), max_examples=10_000)
settings.load_profile("test")


# The placement `process`: its workers start with the first test that needs them, and are every worker's of pytest-xdist.
os.environ["ACME_TEST_WORKER_FIRST"] = str(Path(__file__).with_name("quick_hashes.py"))

# Folders of tests are in memory where there is plenty of it (a run needs 3 GiB) and programs in it may run: most have a
# PostgreSQL's in them, and a disk takes twice the kernel's time, and has to be waited for.
_room = os.statvfs(roomy())
if _room.f_bavail * _room.f_frsize >= 6 << 30 and not _room.f_flag & getattr(os, "ST_NOEXEC", 0):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(roomy()))

# Tracebacks as Python writes them. rich's, which structlog takes where it finds it, shows the locals of every frame: a tenth
# of a second of a core and more for each error that a test provokes, in which its event loop stands still, and peers that
# ping each other seem to be silent.
*_others, _ = structlog.get_config()["processors"]
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*_others, _plain])
_LOGS = structlog.get_config()

TESTS: Final = Path(__file__).parent
CONTRACT: Final = TESTS / "contract"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> None:
    """A command that a test before this one ran in our process has said how its log lines look, and from which level on."""
    if structlog.get_config() != _LOGS:
        structlog.configure(**_LOGS)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # pytest-xdist's workers are started later, and have our environment
        stack = ExitStack()
        stack.enter_context(prepared.offered())
        config.add_cleanup(stack.close)
    gc.disable()  # until all is collected: what that makes stays
    config.addinivalue_line(
        "markers",
        "drill: `make test-drills` runs it: what is long, and the rest of what `make test` has a part of.",
    )
    config.addinivalue_line("markers", "sample: a drill tries all of it; left out where that is run.")
    config.addinivalue_line("markers", "soak: `make soak` runs it with 10,000 examples, 1 GiB, or more kills.")
    config.addinivalue_line("markers", "engines: `make test-engines` runs it, over servers that are fetched for it.")


OVER_WIRES: Final = ("grpc", "process")
"""Placements whose calls go over gRPC, in one process and between several: `make test-drills` tries those. `make test` tries
calls in one process, by object and by bytes."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """The suites of services run in every placement, half of them in `make test` and half in `make test-drills`."""
    chosen = getattr(getattr(item, "callspec", None), "params", {}).get("placement")
    if chosen in OVER_WIRES and item.path.is_relative_to(CONTRACT):
        item.add_marker("drill")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves drills and tests over engines out unless they are asked for by a marker; many drills are `make soak`'s too."""
    asked_by = {"drill": ("drill", "soak"), "engines": ("engines",)}
    unasked = {name for name, by in asked_by.items() if not any(marker in config.option.markexpr for marker in by)}
    if "drill" not in unasked:
        unasked.add("sample")
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    items[:] = mixed(items)


def mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """File by file, with those that keep the cores busy (tests/system starts processes) spread among those that mostly wait
    (tests/contract has rounds between processes). One after the other, the first left tests no time and the second the cores
    nothing to do. Small files come last: none of them keeps one worker of pytest-xdist busy when the others have ended."""
    folders: dict[str, dict[Path, list[pytest.Item]]] = {}
    for item in items:
        top = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        folders.setdefault(top, {}).setdefault(item.path, []).append(item)
    placed: list[tuple[float, list[pytest.Item]]] = []
    for top, files in folders.items():
        until = 1.0 if top == "unit" else 0.85
        placed += [(until * place / len(files), those) for place, those in enumerate(files.values())]
    placed.sort(key=lambda each: each[0])
    return [item for _, those in placed for item in those]


def pytest_collection_finish() -> None:
    """What was collected stays to the end: looked at again in every full collection, it was a tenth of the run's time."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)  # as seldom as that: a test lives for a moment, and the run for minutes


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Notes a figure that the summary at the end of the run shows."""

    def note(what: str, figure: object) -> None:
        request.node.user_properties.append((what, figure))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests measured, passed ones too."""
    for report in terminalreporter.getreports("passed"):
        for what, figure in report.user_properties:
            terminalreporter.write_line(f"measured: {figure} {what} ({report.nodeid})")
