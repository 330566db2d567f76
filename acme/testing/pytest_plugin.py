"""Fixtures for plugin authors; what they are for is in the package's docstring.

pytest imports this file in every run of whoever has the platform installed. So it imports nothing of the platform until a
fixture is used, and registers nothing but a marker and three options.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from acme.testing import FAULTS, PLACEMENTS

if TYPE_CHECKING:
    from acme import Plugin
    from acme.testing.databases import FreshDatabase
    from acme.testing.faults import Fault
    from acme.testing.platform import Placement, Platform
    from acme.testing.server import Server

try:
    import pytest_asyncio
except ImportError:  # it is the author's to install; without it there are no asynchronous tests

    def _asynchronous(function: Callable[..., Any]) -> Any:
        @pytest.fixture(name=function.__name__)
        def refuse() -> None:
            raise pytest.UsageError(f"the fixture `{function.__name__}` needs pytest-asyncio")

        return refuse
else:

    def _asynchronous(function: Callable[..., Any]) -> Any:
        return pytest_asyncio.fixture(scope="module", loop_scope="module")(function)


_PLACEMENTS: Final = "--acme-placements"
_FAULTS: Final = "--acme-faults"
_REPORT: Final = "--acme-report"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that `acme plugin test` gives."""
    group = parser.getgroup("acme", "Acme Platform")
    group.addoption(_PLACEMENTS, default="", metavar="NAMES", help='placements to repeat tests in: "all", or a list')
    group.addoption(_FAULTS, default="", metavar="NAMES", help='faults to repeat tests with: "all", or a list')
    group.addoption(_REPORT, default="", metavar="FILE", help="writes how each test went, in JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, so that `--strict-markers` accepts it."""
    config.addinivalue_line("markers", "every_placement: run once in every placement of services (see acme.testing).")
    if (file := config.getoption(_REPORT)) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(Path(file)), "acme-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeats the tests marked `every_placement`; with the options, every test that has a platform."""
    marked = metafunc.definition.get_closest_marker("every_placement") is not None
    asked = _asked(metafunc.config, _PLACEMENTS, PLACEMENTS)
    repeated = {"placement": asked or (PLACEMENTS if marked else ()), "fault": _asked(metafunc.config, _FAULTS, FAULTS)}
    for name, values in repeated.items():
        if name in metafunc.fixturenames and values and not _chosen_by_itself(metafunc, name):
            metafunc.parametrize(name, values, indirect=True, scope="module")


def _asked(config: pytest.Config, option: str, known: Sequence[str]) -> Sequence[str]:
    value: str = config.getoption(option)
    names = known if value == "all" else [name for name in value.split(",") if name]
    if unknown := sorted(set(names).difference(known)):
        raise pytest.UsageError(f"{option}: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _chosen_by_itself(metafunc: pytest.Metafunc, name: str) -> bool:
    marks = metafunc.definition.iter_markers("parametrize")
    return any(name in re.split(r"\W+", mark.args[0]) for mark in marks if mark.args and isinstance(mark.args[0], str))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Notes where a test runs, for the report; it travels with the results of pytest-xdist's workers."""
    if item.config.getoption(_REPORT) and "platform" in getattr(item, "fixturenames", ()):
        chosen = getattr(getattr(item, "callspec", None), "params", {})
        placed = chosen.get("placement", "loopback"), chosen.get("fault", FAULTS[0])
        item.user_properties.append(("acme", list(placed)))


class Report:
    """How each test went: a JSON array of [test, placement, fault, outcome], the middle two empty without a platform."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of set-up, call and tear-down, whatever failed decides."""
        properties: dict[str, Any] = dict(report.user_properties)
        placement, fault = properties.get("acme", ("", ""))
        line = self._lines.setdefault(report.nodeid, [report.nodeid, placement, fault, "passed"])
        if report.outcome != "passed" and line[3] != "failed":
            line[3] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Writes the file."""
        self._file.write_text(json.dumps(list(self._lines.values())))


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The test run's PostgreSQL: one for all workers of pytest-xdist, started by the first test that needs it."""
    from acme.testing.server import lease

    worker: Mapping[str, Any] = getattr(request.config, "workerinput", {})
    with lease(worker.get("testrunuid") or f"pid-{os.getpid()}") as server:
        yield server


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin] | None:
    """The plugins that `platform` hosts. `None`: every one that is installed."""
    return None


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """Configuration over the kit's defaults: nested tables, as in `acme.toml`."""
    return {}


@pytest.fixture(scope="module")
def placement(request: pytest.FixtureRequest) -> Placement:
    """How calls between services travel."""
    chosen: Placement = getattr(request, "param", "loopback")
    return chosen


@pytest.fixture(scope="module")
def fault(request: pytest.FixtureRequest) -> Fault:
    """What happens to calls on their way."""
    chosen: Fault = getattr(request, "param", FAULTS[0])
    return chosen


@_asynchronous
async def platform(
    postgres: Server,
    plugins: Sequence[Plugin] | None,
    placement: Placement,
    fault: Fault,
    settings: Mapping[str, Any],
) -> AsyncIterator[Platform]:
    """A running platform."""
    from acme.testing.platform import Platform

    start = Platform.start(plugins, placement=placement, fault=fault, settings=settings, server=postgres)
    async with start as running:
        yield running


@_asynchronous
async def database(postgres: Server, plugins: Sequence[Plugin] | None) -> AsyncIterator[FreshDatabase]:
    """The database of the only one of `plugins`, migrated and empty."""
    if plugins is None or len(plugins) != 1:
        raise pytest.UsageError("`database` is one plugin's: override the fixture `plugins` to return just that one")
    from acme.testing.databases import fresh

    async with fresh(postgres, plugins[0]) as opened:
        yield opened
