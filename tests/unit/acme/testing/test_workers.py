"""The placement "process": plugins in processes of their own, which are started once and end with the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from acme_projects import plugin as projects
from acme_users import plugin as users

from acme.contracts.projects.v1 import CreateProjectRequest, ProjectsStub
from acme.testing import Platform, Server
from acme.testing.workers import Workers
from tests.unit.acme.runtime.plugins import made


def pids(workers: Workers) -> dict[str, int]:
    return {name: process.pid for name, process in workers._running.items()}


def living(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_plugin_is_called_in_its_own_process_and_one_process_serves_many_platforms(postgres: Server) -> None:
    with Workers() as workers:
        assert pids(workers) == {}
        for _ in range(2):
            async with Platform.start([users, projects], placement="process", server=postgres, workers=workers) as one:
                stub = one.stub(ProjectsStub, as_=one.somebody())
                assert (await stub.create_project(CreateProjectRequest(name="Far"))).name == "Far"
                person = await one.sign_up("ada@example.com")
                (await one.client(person).get("/v1/projects")).expect(200)
                started = pids(workers)
                assert set(started) == {"users", "projects"}
                assert os.getpid() not in started.values()
            assert pids(workers) == started
    assert not any(living(pid) for pid in started.values())


async def test_two_platforms_share_a_process_at_a_time_and_nothing_else(postgres: Server) -> None:
    with Workers() as workers:
        one = Platform.start([projects], placement="process", server=postgres, workers=workers)
        two = Platform.start([projects], placement="process", server=postgres, workers=workers)
        async with one as first, two as second:
            for platform, names in ((first, ["A"]), (second, ["B", "C"])):
                stub = platform.stub(ProjectsStub, as_=platform.somebody())
                for name in names:
                    await stub.create_project(CreateProjectRequest(name=name))
            assert len(pids(workers)) == 1
            assert (len(await first.outbox("projects")), len(await second.outbox("projects"))) == (1, 2)


async def test_a_plugin_that_does_not_come_up_is_told_with_its_reason(postgres: Server) -> None:
    with Workers() as workers:
        start = Platform.start(
            [projects],
            placement="process",
            server=postgres,
            workers=workers,
            settings={"plugins": {"projects": {"colour": "red"}}},
        )
        with pytest.raises(AssertionError, match=r"projects did not come up in a process of its own: .*colour"):
            async with start:
                pass


async def test_a_plugin_that_is_not_installed_is_told(tmp_path: Path) -> None:
    with Workers() as workers, pytest.raises(AssertionError, match="needs installed plugins, and made is none"):
        async with workers.hosting([made()], {}, tmp_path):
            pass
