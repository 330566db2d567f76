"""The first signal asks, and the second insists."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

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
