"""Fixtures for plugin authors; what they are for is in the package's docstring.

pytest imports this file in every run of whoever has the platform installed. So it imports nothing of the platform until a
fixture is used, and registers nothing but the name of a marker.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from acme.testing import PLACEMENTS

if TYPE_CHECKING:
    from acme import Plugin
    from acme.runtime.hosting import Placement
    from acme.testing.databases import FreshDatabase
    from acme.testing.platform import Platform
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


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, so that `--strict-markers` accepts it."""
    config.addinivalue_line("markers", "every_placement: run once in every placement of services (see acme.testing).")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeats the tests marked `every_placement`."""
    if "placement" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_placement"):
        metafunc.parametrize("placement", PLACEMENTS, indirect=True, scope="module")


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


@_asynchronous
async def platform(
    postgres: Server, plugins: Sequence[Plugin] | None, placement: Placement, settings: Mapping[str, Any]
) -> AsyncIterator[Platform]:
    """A running platform."""
    from acme.testing.platform import Platform

    async with Platform.start(plugins, placement=placement, settings=settings, server=postgres) as running:
        yield running


@_asynchronous
async def database(postgres: Server, plugins: Sequence[Plugin] | None) -> AsyncIterator[FreshDatabase]:
    """The database of the only one of `plugins`, migrated and empty."""
    if plugins is None or len(plugins) != 1:
        raise pytest.UsageError("`database` is one plugin's: override the fixture `plugins` to return just that one")
    from acme.testing.databases import fresh

    async with fresh(postgres, plugins[0]) as opened:
        yield opened
