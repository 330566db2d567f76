"""One PostgreSQL for a test run."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acme.testing import server as kit
from acme.testing.server import Server, lease

HOLD = """
import sys
from acme.testing.server import lease
with lease(sys.argv[1]) as server:
    print(server.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run() -> str:
    """The name of a test run of its own."""
    return f"unit-{secrets.token_hex(4)}"


def holders(run: str) -> list[int]:
    """Process ids of the holders of a run."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "acme.testing.holder" in line and line.rstrip("\0").endswith(f"run-{run}"):
            found.append(int(entry))
    return found


def wait_until_gone(folder: Path, limit: float = 20.0) -> None:
    until = time.monotonic() + limit
    while folder.exists():
        assert time.monotonic() < until, f"{folder} is still there"
        time.sleep(0.01)


def somebody_else(run: str) -> subprocess.Popen[bytes]:
    """Another process of the same run, which has the server when this returns."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def leave(process: subprocess.Popen[bytes]) -> None:
    with process:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def test_nothing_is_left_when_the_only_user_has_gone(run: str) -> None:
    with lease(run) as server:
        assert len(holders(run)) == 1
        assert server.folder.exists()
    assert not server.folder.exists()


def test_two_processes_share_a_server_that_outlives_the_one_that_started_it(run: str) -> None:
    starter = somebody_else(run)
    with lease(run) as server:
        leave(starter)
        assert len(holders(run)) == 1
        asyncio.run(answers(server))
    assert not server.folder.exists()


async def answers(server: Server) -> None:
    async with server.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


def test_a_server_goes_when_its_only_user_is_killed(run: str) -> None:
    process = somebody_else(run)
    folder = kit._home() / f"run-{run}"
    with process:
        process.kill()
    wait_until_gone(folder)


def test_a_server_whose_holder_was_killed_is_started_again(run: str) -> None:
    with lease(run) as server:
        os.kill(holders(run)[0], signal.SIGKILL)
    with lease(run) as server:
        asyncio.run(answers(server))
    assert not server.folder.exists()


def test_a_run_named_like_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot name a test run"), lease("../elsewhere"):
        pass


async def test_a_fresh_database_is_empty_and_gone_afterwards(postgres: Server) -> None:
    async with postgres.database() as name, postgres.connection(name) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    async with postgres.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name) == 0


async def test_a_template_is_built_once_however_many_ask_at_a_time(postgres: Server) -> None:
    template = f"template_{secrets.token_hex(4)}"
    built = 0

    async def ask() -> None:
        nonlocal built
        async with postgres.building(template) as draft:
            if draft is not None:
                built += 1
                async with postgres.connection(draft) as connection:
                    await connection.execute("CREATE TABLE things ()")

    await asyncio.gather(*(ask() for _ in range(4)))
    async with postgres.database(template=template) as copy, postgres.connection(copy) as connection:
        assert await connection.fetchval("SELECT count(*) FROM things") == 0
    assert built == 1


async def test_a_template_that_failed_is_built_by_the_next_who_asks(postgres: Server) -> None:
    template = f"template_{secrets.token_hex(4)}"
    with pytest.raises(RuntimeError, match="half-way"):
        async with postgres.building(template):
            raise RuntimeError("half-way")
    async with postgres.building(template) as draft:
        assert draft is not None
