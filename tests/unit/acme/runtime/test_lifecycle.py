"""A platform runs until a signal, tells when it is ready, and insists on nothing but the second signal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acme.runtime.assembly import assemble
from acme.runtime.lifecycle import Report, Stopping, age, report, run
from acme.runtime.settings import Config, load
from acme.testing import Server
from tests.unit.acme.runtime.plugins import configured, made

LIMIT = 10.0


def without_plugins(server: Server, data: Path) -> Config:
    return load(
        values={
            "platform": {"data": str(data), "disabled": ["users", "projects"]},
            "gateway": {"port": 0, "access_log": False, "grace": 1.0},
            "database": {"url": server.url("postgres")},
        }
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_everything_is_given_back(
    postgres: Server, tmp_path: Path, number: signal.Signals
) -> None:
    config, before = without_plugins(postgres, tmp_path), signal.getsignal(number)
    for _ in range(2):  # the second time the data folder and the port are free again
        reports: list[Report] = []

        def announce(told: Report, reports: list[Report] = reports) -> None:
            reports.append(told)
            os.kill(os.getpid(), number)

        run(config, announce)
        assert reports[0].pid == os.getpid()
    assert signal.getsignal(number) == before


async def test_a_signal_before_it_is_ready_cancels_the_start() -> None:
    stopping, started = Stopping(), asyncio.Event()

    async def start() -> None:
        with stopping.watch():
            started.set()
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(start())
    await started.wait()
    stopping.ask()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_signal_after_it_is_ready_is_waited_for() -> None:
    stopping = Stopping()
    with stopping.watch():
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            await stopping.wait()


INSISTING = """
import asyncio, os, signal
from acme.runtime.lifecycle import Stopping

async def main():
    stopping = Stopping()
    with stopping.watch():
        os.kill(os.getpid(), signal.SIGINT)
        await stopping.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_second_signal_does_not_wait() -> None:
    ended = subprocess.run([sys.executable, "-c", INSISTING], timeout=LIMIT, check=False)
    assert ended.returncode == 130


async def test_the_report_tells_where_everything_is(postgres: Server, tmp_path: Path) -> None:
    plugin = made()
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]) as node:
        told = report(node, config)
    assert (told.api, told.openapi) == (node.url, f"{node.url}/v1/openapi.json")
    assert (told.mode, told.ready, told.data, told.asked_port) == ("external", False, str(tmp_path), 0)
    assert [(p.name, p.version, p.placement, p.health) for p in told.plugins] == [("made", "1.0", "local", "up")]
    assert told.cpu_seconds > 0
    assert told.ready_seconds > 0


def test_the_age_is_that_of_the_process() -> None:
    code = "from acme.runtime.lifecycle import age; print(age())"
    before = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert 0 < float(ended.stdout) < time.monotonic() - before + 0.02  # the kernel counts in ticks of 10 ms
    assert age() > float(ended.stdout)
