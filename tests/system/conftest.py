"""One running platform a test file, where a test does not need one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.system.running import Platform, platform


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with the settings that stand in the box."""
    with platform(tmp_path_factory.mktemp("platform")) as one:
        yield one


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
