"""The test kit for plugin authors: a running platform, and what a test needs to speak with it.

    from acme.testing import Platform

    async with Platform.start([my_plugin]) as platform:
        somebody = platform.somebody()
        things = platform.stub(ThingsStub, as_=somebody)
        thing = await things.create_thing(CreateThingRequest(name="one"))
        platform.clock.advance(timedelta(days=1))
        assert [type(event) for event in await platform.outbox("things")] == [ThingCreated]

Everything is real: PostgreSQL (one a test run, a fresh database a plugin, copied from a migrated template), contracts,
unit of work, HTTP. Replaced are time, which `platform.clock` moves, and mail, which `platform.mailbox` keeps.

With pytest
-----------
Installing the platform brings the fixtures (`pytest_plugin.py`); nothing is started unless a test asks for one. They need
pytest-asyncio, and tests that share a module's platform run in the module's event loop:

    [tool.pytest.ini_options]
    asyncio_mode = "auto"
    asyncio_default_fixture_loop_scope = "module"
    asyncio_default_test_loop_scope = "module"

`plugins`    override it in a module or a conftest: the plugins to host; every installed one by default
`settings`   override it: configuration over the test's defaults, nested tables as in `acme.toml`
`platform`   a running `Platform`, one a module
`placement`  how calls between services travel: "loopback" (through the wire's bytes) by default. Tests marked
             `every_placement` run once in each
`fault`      what happens to calls on their way: "clean" by default
`database`   the database of the only one of `plugins`, migrated and empty: for tests of a store
`postgres`   the run's server (`Server`), for everything else

Four placements, one meaning
----------------------------
"local" copies messages as the wire would change them, "loopback" sends them through the wire's bytes, "grpc" through a
socket with all that a call to another process has: proof of identity, a token verified again, HTTP/2. In
"process" each plugin is in a process of its own, as with `acme serve` (one set of processes a test run, shared by all of
its platforms; for installed plugins only; a Python file that ACME_TEST_WORKER_FIRST names is run in each of them before any
platform, as a conftest is here). A plugin cannot tell, and its tests should not either: the kit reaches services
through contracts, HTTP, files and the database only.

The options `--acme-placements` and `--acme-faults` ("all", or names with commas) repeat every test that has a platform, as
`acme plugin test` does. `--acme-report FILE` notes how each went, in JSON.

What is where: `platform.py` (Platform) · `client.py` (HTTP) · `people.py` (who calls) · `stubs.py` (calls by contract) ·
`vouched.py` · `outbox.py` (events) · `faults.py` · `mailbox.py` · `loops.py` · `server.py` and `holder.py` (what a run has
one of: PostgreSQL, processes) · `databases.py` (templates) · `workers.py` and `worker.py` (the placement "process").
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from acme.testing.client import Client, Reply
    from acme.testing.people import PASSWORD, User, somebody
    from acme.testing.platform import Platform
    from acme.testing.server import Server, lease

__all__ = ["FAULTS", "PASSWORD", "PLACEMENTS", "Client", "Platform", "Reply", "Server", "User", "lease", "somebody"]

PLACEMENTS: Final = ("local", "loopback", "grpc", "process")
"""Every placement of services that tests can run in."""

FAULTS: Final = ("clean", "duplicated", "slow", "crash")
"""Every fault that can happen to calls on their way, the first being none: see `faults.py`."""

_HOMES: Final = {
    "PASSWORD": "people",
    "Client": "client",
    "Platform": "platform",
    "Reply": "client",
    "Server": "server",
    "User": "people",
    "lease": "server",
    "somebody": "people",
}


def __getattr__(name: str) -> Any:
    """Imports at first use: pytest imports this package in every run of whoever has the platform installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
