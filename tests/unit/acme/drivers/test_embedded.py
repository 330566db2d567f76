"""Real servers on real folders. Each test names the way of starting, dying or being in the way that it is about."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acme.drivers import postgres
from acme.drivers.embedded import DataFolderInUse, EmbeddedPostgres, StartFailed
from acme.drivers.processes import living_in
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.prepared import prepare

LAUNCHER = """
    import asyncio, concurrent.futures.thread, os, sys  # all that is needed once root's files cannot be read any more
    from pathlib import Path
    from acme.drivers import postgres
    from acme.drivers.embedded import EmbeddedPostgres
    from acme.tasks import Tasks
    from acme.telemetry import Metrics

    async def main():
        for account in sys.argv[2:]:
            os.setgroups([]); os.setgid(int(account)); os.setuid(int(account))
        server = EmbeddedPostgres(Path(sys.argv[1]))
        await server.start()
        await server.create_database("kept")
        async with Tasks("test", Metrics()) as tasks:
            database = await postgres.open(server.url("kept"), tasks=tasks)
            async with database.connection() as connection:
                await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
                await connection.execute("INSERT INTO kept VALUES (1)")
                print(server.pid, flush=True)
                if len(sys.argv) == 2:
                    await connection.execute("SELECT count(*) FROM generate_series(1, 1000000000000)")
            await database.close()
        await server.stop()

    asyncio.run(main())
"""


async def ask(server: EmbeddedPostgres, sql: str, database: str = "postgres") -> object:
    async with Tasks("test", Metrics()) as tasks:
        pool = await postgres.open(server.url(database), tasks=tasks)
        try:
            async with pool.connection() as connection:
                return await connection.fetchval(sql)
        finally:
            await pool.close()


async def until(true: Callable[[], bool], limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Starts another process that runs a server, writes a row and then computes for ever; and the server's pid."""
    script = tmp_path / "launch.py"
    script.write_text(textwrap.dedent(LAUNCHER))
    started: list[subprocess.Popen[str]] = []

    def start(*args: object) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, script, *map(str, args)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def test_data_survives_a_restart_and_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    first = server.pid
    await server.create_database("users")
    await server.create_database("users")
    await server.create_database("copy", template="users")
    await server.stop()
    await server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
    await server.start()
    try:
        assert server.pid != first
        assert await ask(server, "SELECT count(*) FROM pg_database WHERE datname IN ('users', 'copy')") == 2
    finally:
        await server.stop()


async def test_the_server_is_private_and_durable_and_knows_unicode(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    try:
        assert await ask(server, "SHOW listen_addresses") == ""
        assert await ask(server, "SHOW fsync") == "on"
        assert await ask(server, "SHOW synchronous_commit") == "on"
        assert await ask(server, "SHOW server_encoding") == "UTF8"
        assert await ask(server, "SELECT lower('ÄÖ ПРИВЕТ')") == "äö привет"
        assert await ask(server, "SELECT count(*) FROM pg_hba_file_rules") == 1
        mode = (tmp_path / "data/postgres").stat().st_mode
        assert mode & 0o777 == 0o700
        assert (tmp_path / "data/postgres.log").stat().st_mode & 0o077 == 0
    finally:
        await server.stop()


async def test_the_log_says_nothing_of_statements_that_failed(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    try:
        with pytest.raises(Exception, match="invalid input syntax"):
            await ask(server, "SELECT 'ada@example.com'::int")
    finally:
        await server.stop()
    assert "ada@example.com" not in (tmp_path / "data/postgres.log").read_text()


@pytest.mark.parametrize("whom", ["process", "group"])
async def test_a_killed_launcher_leaves_no_orphan_and_loses_nothing(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], int]], whom: str
) -> None:
    data = tmp_path / "data"
    process, pid = launch(prepare(data))
    segments = {*(data / "postgres/pg_dynshmem").iterdir()}
    assert segments, "and none in /dev/shm, where nobody clears up after it"
    (os.kill if whom == "process" else os.killpg)(process.pid, signal.SIGKILL)
    server = EmbeddedPostgres(data)
    await server.start()  # at once: waits for the predecessor by itself
    try:
        assert server.pid != pid
        assert pid not in set(living_in(data / "postgres", "postgres"))
        assert await ask(server, "SELECT count(*) FROM kept", "kept") == 1
        assert not segments & {*(data / "postgres/pg_dynshmem").iterdir()}
    finally:
        await server.stop()
    assert list(living_in(data / "postgres", "postgres")) == []


async def test_a_killed_launcher_takes_its_server_along_without_a_new_start(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], int]]
) -> None:
    process, _ = launch(prepare(tmp_path / "data"))
    process.kill()
    await until(lambda: not list(living_in(tmp_path / "data/postgres", "postgres")))


async def test_children_of_a_killed_server_that_still_compute_are_ended(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], int]]
) -> None:
    data = tmp_path / "data"
    process, pid = launch(prepare(data))
    process.send_signal(signal.SIGSTOP)  # so that it does not notice
    os.kill(pid, signal.SIGKILL)
    process.kill()
    server = EmbeddedPostgres(data)
    await server.start()
    try:
        assert await ask(server, "SELECT count(*) FROM kept", "kept") == 1
    finally:
        await server.stop()


async def test_a_second_start_on_a_folder_is_refused_by_name_and_process(
    tmp_path: Path, launch: Callable[..., tuple[subprocess.Popen[str], int]]
) -> None:
    process, _ = launch(prepare(tmp_path / "data"))
    with pytest.raises(DataFolderInUse, match=f"process {process.pid}") as caught:
        await EmbeddedPostgres(tmp_path / "data").start()
    assert caught.value.pid == process.pid
    assert caught.value.path == tmp_path / "data"


async def test_a_stale_postmaster_pid_that_names_a_living_process_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedPostgres(prepare(tmp_path / "data"))
    await server.start()
    await server.stop()
    (tmp_path / "data/postgres/postmaster.pid").write_text(f"{os.getpid()}\n/proc/self/cwd\n1\n5432\n.\n\n0 0\nready\n")
    await server.start()
    await server.stop()


async def test_a_half_made_folder_of_a_killed_start_is_cleared_away(tmp_path: Path) -> None:
    half = tmp_path / "data/postgres.new-half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(tmp_path / "data")
    await server.start()
    await server.stop()
    assert not half.exists()


async def test_two_data_folders_run_side_by_side(tmp_path: Path) -> None:
    servers = [EmbeddedPostgres(prepare(tmp_path / name)) for name in ("one", "two")]
    await asyncio.gather(*(server.start() for server in servers))
    try:
        assert await asyncio.gather(*(ask(server, "SELECT 1") for server in servers)) == [1, 1]
    finally:
        await asyncio.gather(*(server.stop() for server in servers))


async def test_a_path_longer_than_a_socket_allows_works(tmp_path: Path) -> None:
    data = tmp_path / ("long " * 20) / ("ø" * 100) / ("x" * 200)
    server = EmbeddedPostgres(data)
    await server.start()
    try:
        await server.create_database("users")
        assert await ask(server, "SELECT current_database()", "users") == "users"
    finally:
        await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that nobody else may enter")
async def test_a_checkout_that_only_root_may_enter_works_and_keeps_its_permissions(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = [(path, path.stat().st_mode) for path in (private, *private.parents)]
    server = EmbeddedPostgres(private / "data")
    await server.start()
    try:
        assert await ask(server, "SELECT 1") == 1
        assert os.stat(f"/proc/{server.pid}").st_uid == (private / "data/postgres").stat().st_uid != 0
    finally:
        await server.stop()
    assert before == [(path, path.stat().st_mode) for path in (private, *private.parents)]
    assert (private / "data").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user for a while")
async def test_an_ordinary_user_starts_it_and_root_can_go_on_with_the_folder(
    launch: Callable[..., tuple[subprocess.Popen[str], int]],
) -> None:
    if not all(path.stat().st_mode & 0o001 for path in Path(postgres.__file__).parents):
        pytest.skip("this checkout is in a folder that only root may enter, so that no other user can run its programs")
    user = pwd.getpwnam("nobody").pw_uid
    home = Path(tempfile.mkdtemp())  # pytest's own folders are root's alone
    os.chown(home, user, user)
    try:
        process, _ = launch(home / "data", user)
        assert process.wait(timeout=10) == 0
        assert (home / "data").stat().st_uid == user
        server = EmbeddedPostgres(home / "data")
        await server.start()
        try:
            assert await ask(server, "SELECT count(*) FROM kept", "kept") == 1
        finally:
            await server.stop()
    finally:
        shutil.rmtree(home)


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = EmbeddedPostgres(data)
    await server.start()
    await server.stop()
    (data / "postgres/PG_VERSION").write_text("9.6\n")
    with pytest.raises(StartFailed, match=r"(?s)database files are incompatible.*version 9.6"):
        await server.start()
    (data / "postgres/PG_VERSION").write_text("18\n")
    await server.start()  # the lock is free again
    await server.stop()


async def test_a_folder_without_programs_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="does not hold the programs"):
        await EmbeddedPostgres(tmp_path / "data", postgres_bin=tmp_path).start()


async def test_a_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.start(), 0.15)
    await until(lambda: not any(list(living_in(path, "postgres")) for path in tmp_path.glob("data/postgres*/")))
    await server.start()
    await server.stop()
