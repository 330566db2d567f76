"""The first signal asks, and the second insists."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acme.runtime.signals import Stopping

LIMIT = 10.0


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
from acme.runtime.signals import Stopping

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


async def test_a_hangup_asks_for_the_configuration_and_not_for_the_end() -> None:
    stopping, asked = Stopping(), asyncio.Event()
    with stopping.watch():
        os.kill(os.getpid(), signal.SIGHUP)  # nobody reads anything yet
        stopping.reload = asked.set
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(LIMIT):
            await asked.wait()
        assert not stopping._asked.is_set()


LEFT = """
import asyncio, os, sys
from acme.runtime.signals import Stopping

async def main():
    stopping = Stopping()
    with stopping.watch():
        os.write(1, b"ready")  # at once: the terminal may be gone right after it
        await asyncio.wait_for(stopping.wait(), 10)
    open(sys.argv[1], "w").write("ended")

asyncio.run(main())
"""


def test_who_was_started_from_a_terminal_ends_with_it(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", LEFT, str(ended)])  # noqa: S606 - there is no shell to want
    assert b"ready" in os.read(terminal, 100)
    os.close(terminal)  # the terminal's window is closed: the kernel sends SIGHUP
    assert os.waitpid(child, 0)[1] == 0
    assert ended.read_text() == "ended"
