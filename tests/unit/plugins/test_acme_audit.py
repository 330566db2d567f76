"""The audit plugin: what it declares, and its jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from acme_audit import plugin, witness

from acme.contracts.audit.v1 import AuditRecord
from acme.contracts.users.v1 import UserCreated
from acme.plugin import Job
from acme.testing.server import Server
from tests.audits import ADA, LOG, Rig, heard
from tests.audits import rig as opened


@pytest.fixture
async def rig(postgres: Server, tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(postgres, tmp_path) as rig:
        yield rig


def job(name: str) -> Job:
    return next(each for each in plugin.jobs if each.name == name)


def test_it_declares_what_it_does() -> None:
    assert [base.__name__ for base in plugin.contracts] == ["AuditBase", "AuditIntakeBase"]
    assert {consumer.name: consumer.messages for consumer in plugin.consumers} == {
        "log": (AuditRecord,),
        "witness": witness.MESSAGES,
    }
    assert [archive.message for archive in plugin.archives] == [AuditRecord]
    assert [command.name for command in plugin.commands] == ["verify", "erase"]
    assert all(command.help for command in plugin.commands)


async def test_the_service_makes_the_key_that_signs_once(rig: Rig) -> None:
    for _ in range(2):
        with rig.units.outside():
            async with plugin.service(rig.resources) as instances:
                assert len(instances) == 2
    assert await rig.database.fetchval("SELECT count(*) FROM signing_keys") == 1


async def test_the_job_signs_and_archives(rig: Rig) -> None:
    await rig.grow(3)
    with rig.units.outside():
        await rig.checkpoints.first_key()
        await job("checkpoints").run(rig.resources)
    assert (await rig.head()).archived == 1
    assert (await rig.verify()).faults == []


async def test_the_job_tells_of_what_contradicts_what_was_signed(rig: Rig) -> None:
    await rig.grow(3)
    await rig.sign()
    await rig.flip("logs", "frontier", "true")
    await rig.grow(1)
    with rig.units.outside(), structlog.testing.capture_logs() as lines:
        await job("checkpoints").run(rig.resources)
    (line,) = lines
    assert (line["log_level"], "acme audit verify" in line["event"], LOG in line["fault"]) == ("error", True, True)


async def test_the_job_tells_of_events_without_a_record(rig: Rig) -> None:
    with rig.units.outside(), structlog.testing.capture_logs() as lines:
        await witness.hear(rig.resources, [heard(UserCreated(user_id=ADA), "evt_lost")])
        await job("witness").run(rig.resources)
        assert lines == []
        rig.clock.advance(timedelta(minutes=6))
        await job("witness").run(rig.resources)
    assert [(line["log_level"], line["count"], line["first"]) for line in lines] == [("warning", 1, "evt_lost")]
