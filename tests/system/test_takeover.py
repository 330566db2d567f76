"""A job of one process at a time goes on in another when the process that ran it is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acme.runtime.leases import TAKEOVER
from acme.testing import Server
from tests.system.deployment import deployment, free_port, services
from tests.system.running import path_with, wait_for
from tests.system.test_lifecycle import install

PLUGIN = """
    import os
    from contextlib import asynccontextmanager
    from acme import Job, Plugin

    @asynccontextmanager
    async def service(resources):
        yield ()

    async def run(resources):
        with open(os.environ["CLOCKWORK_NOTES"], "a") as notes:
            notes.write(f"{os.getpid()}\\n")

    plugin = Plugin(
        name="clockwork", version="1.0", package=__name__, contracts=(), service=service,
        jobs=(Job("tick", every=0.1, run=run),),
    )
    """


@pytest.mark.drill
def test_a_job_whose_process_is_killed_is_begun_by_another_in_its_stated_time(
    tmp_path: Path, postgres: Server, measured: Callable[[str, object], None]
) -> None:
    notes = tmp_path / "notes"
    notes.touch()

    def by(seen: int = 0) -> set[int]:
        """Processes that have run the job since so many runs."""
        return {int(pid) for pid in notes.read_text().splitlines()[seen:]}

    site = install(tmp_path / "site", "clockwork", PLUGIN)
    with deployment(tmp_path / "platform", postgres, "clockwork") as one:
        users = f"grpc://127.0.0.1:{free_port()}"
        places = [f"grpc://127.0.0.1:{free_port()}" for _ in range(2)]
        disabled = {
            "ACME_PLATFORM__DISABLED": '["projects", "audit"]',
            "CLOCKWORK_NOTES": str(notes),
            **path_with(site),
        }
        beside = {**disabled, **services(users=users)}
        started = [
            one.begin(
                "users", "--only", "users", "--listen", users, environ={**disabled, **services(clockwork=places[0])}
            )
        ]
        for number, place in enumerate(places, 1):
            started.append(one.begin(f"clockwork-{number}", "--only", "clockwork", "--listen", place, environ=beside))
        for process in started:
            process.wait_until_ready()
        workers = {process.running.pid: process for process in started[1:]}
        wait_for("the job", lambda: len(notes.read_text().splitlines()) > 10)
        (holder,) = by()
        assert holder in workers
        workers[holder].kill()
        killed, before = time.monotonic(), len(notes.read_text().splitlines())
        wait_for("another", lambda: len(notes.read_text().splitlines()) > before, limit=TAKEOVER)
        measured(
            "seconds from the kill -9 of its holder until a job was begun elsewhere",
            round(time.monotonic() - killed, 2),
        )
        assert by(before) == workers.keys() - {holder}
