"""The placement "process": plugins in processes of their own, which a test run starts once."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from acme_projects import plugin as projects
from acme_users import plugin as users

from acme.contracts.projects.v1 import CreateProjectRequest, ProjectsStub
from acme.testing import Platform, Server, lease
from acme.testing.workers import hosting
from tests.unit.acme.runtime.plugins import made
from tests.unit.acme.testing.test_server import leave

ANOTHER = """
import sys
from acme.testing.server import lease
with lease(sys.argv[1]) as server:
    print(server.worker("projects").pid, flush=True)
    sys.stdin.read()
"""


def living(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_plugin_is_called_in_its_own_process_and_one_process_serves_many_platforms(postgres: Server) -> None:
    started = {name: postgres.worker(name).pid for name in ("users", "projects")}
    for _ in range(2):
        async with Platform.start([users, projects], placement="process", server=postgres) as one:
            stub = one.stub(ProjectsStub, as_=one.somebody())
            assert (await stub.create_project(CreateProjectRequest(name="Far"))).name == "Far"
            person = await one.sign_up("ada@example.com")
            (await one.client(person).get("/v1/projects")).expect(200)
        assert {name: postgres.worker(name).pid for name in started} == started
    assert len({*started.values(), os.getpid()}) == 3


async def test_two_platforms_share_a_process_at_a_time_and_nothing_else(postgres: Server) -> None:
    one = Platform.start([projects], placement="process", server=postgres)
    two = Platform.start([projects], placement="process", server=postgres)
    async with one as first, two as second:
        for platform, names in ((first, ["A"]), (second, ["B", "C"])):
            stub = platform.stub(ProjectsStub, as_=platform.somebody())
            for name in names:
                await stub.create_project(CreateProjectRequest(name=name))
        assert (len(await first.outbox("projects")), len(await second.outbox("projects"))) == (1, 2)


def test_the_processes_of_a_run_share_its_workers_which_outlive_the_one_that_asked_first_and_end_with_the_last() -> (
    None
):
    run = f"unit-{secrets.token_hex(4)}"
    another = subprocess.Popen([sys.executable, "-c", ANOTHER, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert another.stdout is not None
    pid = int(another.stdout.readline())
    with lease(run) as server:
        leave(another)
        assert server.worker("projects").pid == pid
        assert living(pid)
    assert not living(pid)


def test_a_worker_that_was_killed_is_started_again() -> None:
    with lease(f"unit-{secrets.token_hex(4)}") as server:
        first = server.worker("projects").pid
        os.kill(first, signal.SIGKILL)
        second = server.worker("projects").pid
        while second == first:  # its parent has yet to hear of it
            second = server.worker("projects").pid
        assert living(second)


async def test_a_plugin_that_does_not_come_up_is_told_with_its_reason(postgres: Server) -> None:
    wrong = {"plugins": {"projects": {"colour": "red"}}}
    start = Platform.start([projects], placement="process", server=postgres, settings=wrong)
    with pytest.raises(AssertionError, match=r"projects did not come up in a process of its own: .*colour"):
        async with start:
            pass


async def test_a_plugin_that_is_not_installed_is_told(postgres: Server, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="needs installed plugins, and made is none"):
        async with hosting(postgres, [made()], {}, tmp_path):
            pass


def test_what_names_no_plugin_starts_nothing(postgres: Server) -> None:
    with pytest.raises(AssertionError, match=r"'\.\./x' names no plugin"):
        postgres.worker("../x")
