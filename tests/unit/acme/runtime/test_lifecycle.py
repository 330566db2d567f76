"""A platform runs until a signal, tells when it is ready, and insists on nothing but the second signal."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from acme.cli.options import without_collector
from acme.runtime.assembly import assemble
from acme.runtime.lifecycle import Report, report, run
from acme.runtime.settings import Config, load
from acme.testing import Server
from tests.unit.acme.runtime.plugins import configured, made


def without_plugins(server: Server, data: Path) -> Config:
    return load(
        values={
            "platform": {"data": str(data), "disabled": ["users", "projects", "audit"]},
            "gateway": {"port": 0, "access_log": False, "grace": 1.0},
            "database": {"url": server.url("postgres")},
            "bus": {"url": "outbox:"},
        }
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_everything_is_given_back(
    request: pytest.FixtureRequest, postgres: Server, tmp_path: Path, number: signal.Signals
) -> None:
    config = without_plugins(postgres, tmp_path)
    # As in a process that a terminal started: a shell lets those in the background ignore Ctrl-C, and asyncio does not.
    before = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, before)))
    for _ in range(2):  # the second time the data folder and the port are free again
        reports: list[Report] = []

        def announce(told: Report, reports: list[Report] = reports) -> None:
            reports.append(told)
            os.kill(os.getpid(), number)

        run(config, announce)
        assert reports[0].pid == os.getpid()
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("ready", [True, False], ids=["once it is ready", "when it did not get there"])
def test_a_start_without_the_collector_ends_with_it(postgres: Server, tmp_path: Path, ready: bool) -> None:
    without_collector()
    assert not gc.isenabled()
    if ready:
        # Told by a task of its own, which runs once the start has gone on to wait for a signal.
        seen: list[bool] = []

        def look() -> None:
            seen.append(gc.isenabled())
            os.kill(os.getpid(), signal.SIGTERM)

        def announce(_: Report) -> None:
            asyncio.get_running_loop().call_soon(look)

        run(without_plugins(postgres, tmp_path), announce)
        assert seen == [True]
    else:
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            run(without_plugins(postgres, tmp_path / "file" / "data"), lambda _: None)
    assert gc.isenabled()


async def test_the_report_tells_where_everything_is(postgres: Server, tmp_path: Path) -> None:
    plugin = made()
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]) as node:
        told = report(node, config)
    assert (told.api, told.openapi) == (node.url, f"{node.url}/v1/openapi.json")
    assert (told.mode, told.ready, told.data, told.asked_port) == ("external", False, str(tmp_path), 0)
    assert [(p.name, p.version, p.placement, p.health) for p in told.plugins] == [("made", "1.0", "local", "up")]
    assert told.cpu_seconds > 0
    assert told.ready_seconds > 0
