"""The process that holds the test run's PostgreSQL."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from acme.testing.holder import READY, Staff, Users, hold, sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run-1"
    made.mkdir()
    return made


def test_a_server_that_nobody_comes_for_is_stopped_and_its_folder_deleted(folder: Path) -> None:
    asyncio.run(hold(folder, first_user=0.0))
    assert not folder.exists()


async def test_the_last_users_connection_is_closed_after_everything_else(tmp_path: Path) -> None:
    users = Users(Staff(tmp_path))
    listener = await asyncio.start_unix_server(users.serve, tmp_path / "socket")
    async with listener:
        first_reader, first = await asyncio.open_unix_connection(tmp_path / "socket")
        last_reader, last = await asyncio.open_unix_connection(tmp_path / "socket")
        assert [await first_reader.readline(), await last_reader.readline()] == [READY, READY]
        first.write_eof()
        assert await first_reader.read() == b""
        assert not users.gone.is_set()
        last.write_eof()
        await asyncio.wait_for(users.gone.wait(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(last_reader.read(), 0.02)
        users.close()
        assert await last_reader.read() == b""
        first.close()
        last.close()


def test_what_a_killed_holder_left_is_deleted_and_what_a_living_one_has_is_not(folder: Path) -> None:
    dead, alive, starting = (folder.with_name(f"run-{name}") for name in ("dead", "alive", "starting"))
    for other in (dead, alive, starting):
        other.mkdir()
    for other in (dead, alive):
        (other / "alive").touch()
    descriptor = os.open(alive / "alive", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        sweep(folder)
        assert sorted(path.name for path in folder.parent.iterdir()) == ["run-1", "run-alive", "run-starting"]
    finally:
        os.close(descriptor)
