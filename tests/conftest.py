"""What all tests share: hypothesis' profiles, and the home of pytest-aiohttp's fixtures (`aiohttp_client` and friends).

The fixtures `platform`, `database`, `placement` … come from the kit that plugin authors get: acme/testing/pytest_plugin.py.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

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

# Tracebacks as Python writes them. rich's, which structlog takes where it finds it, shows the locals of every frame: a tenth
# of a second of a core and more for each error that a test provokes, in which its event loop stands still, and peers that
# ping each other seem to be silent.
*_others, _ = structlog.get_config()["processors"]
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*_others, _plain])
_LOGS = structlog.get_config()


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
    config.addinivalue_line("markers", "drill: `make test-drills` runs it: kills, load and long walks, minutes in all.")
    config.addinivalue_line("markers", "soak: `make soak` runs it with 10,000 examples, 1 GiB, or more kills.")
    config.addinivalue_line("markers", "engines: `make test-engines` runs it, over servers that are fetched for it.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves drills and tests over engines out unless they are asked for by a marker; many drills are `make soak`'s too."""
    asked_by = {"drill": ("drill", "soak"), "engines": ("engines",)}
    unasked = [name for name, by in asked_by.items() if not any(marker in config.option.markexpr for marker in by)]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


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
