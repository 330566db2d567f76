"""Locks and lives, each with a real process at the other end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acme.drivers import processes
from acme.drivers.processes import DataFolderInUse

PARENT = """
import signal, subprocess, sys
from acme.drivers import processes
arm = processes.die_with_parent(signal.SIGTERM)
child = subprocess.Popen(["sleep", "1001"], preexec_fn=arm, start_new_session=True)
print(child.pid, flush=True)
signal.pause()
"""
HOLDER = """
import signal, subprocess, sys
from pathlib import Path
from acme.drivers import processes
held = processes.hold(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "1001"], close_fds=False)
print(child.pid, flush=True)
signal.pause()
"""


@contextmanager
def running(code: str, *args: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that runs `code`, and the number it printed."""
    command = [sys.executable, "-c", code, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()
            process.stdout.close()


def test_a_held_folder_is_refused_with_the_holders_process(tmp_path: Path) -> None:
    held = processes.hold(tmp_path)
    with pytest.raises(DataFolderInUse, match=f"in use by process {os.getpid()}") as caught:
        processes.hold(tmp_path)
    assert (caught.value.path, caught.value.pid) == (tmp_path, os.getpid())
    os.close(held)
    os.close(processes.hold(tmp_path))


def test_a_killed_holder_frees_the_folder_even_though_its_child_lives_on(tmp_path: Path) -> None:
    with running(HOLDER, str(tmp_path)) as (holder, child):
        with pytest.raises(DataFolderInUse, match=f"process {holder.pid}"):
            processes.hold(tmp_path)
        holder.kill()
        holder.wait()
        os.close(processes.hold(tmp_path))
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not processes.LINUX, reason="only Linux ends a child with its parent")
def test_a_child_dies_with_its_parent() -> None:
    with running(PARENT) as (parent, child):
        descriptor = os.pidfd_open(child)
        parent.kill()
        parent.wait()
        readable, _, _ = select.select([descriptor], [], [], 5.0)  # a pidfd is, once its process has ended
        assert readable
        os.close(descriptor)


@pytest.mark.skipif(not processes.LINUX, reason="reads /proc")
def test_those_who_live_in_a_folder_are_told_by_program(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1001"], cwd=tmp_path) as inside, subprocess.Popen(["sleep", "1001"]) as outside:
        try:
            assert list(processes.living_in(tmp_path, "sleep")) == [inside.pid]
            assert list(processes.living_in(tmp_path, "postgres")) == []
        finally:
            inside.kill()
            outside.kill()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1001"]) as process:
        yield process
        process.kill()


async def test_waiting_for_an_end_is_bounded(sleeper: subprocess.Popen[bytes]) -> None:
    await processes.ended(sleeper, 0.01)
    assert sleeper.poll() is None
    sleeper.kill()
    await processes.ended(sleeper, 5.0)
    assert sleeper.returncode == -signal.SIGKILL
