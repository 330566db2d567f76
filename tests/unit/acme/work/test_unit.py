"""What a unit of work commits, and what it leaves behind when it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acme.contract import Work
from acme.contracts.projects.v1 import Project, ProjectCreated
from acme.errors import Unavailable
from acme.work.unit import Scope, Unit
from tests.services import INSERT, Stage


def unit_of(stage: Stage) -> Unit:
    return Scope(stage.units.service, Work.MANUAL).open()


async def in_transaction(stage: Stage) -> int:
    count: int = await stage.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND (state LIKE 'idle in transaction%' OR state = 'active')"
    )
    return count


async def test_statements_and_events_and_deliveries_commit_together(stage: Stage) -> None:
    unit = unit_of(stage)
    await unit.execute(INSERT, "one")
    unit.announce(ProjectCreated(project_id="prj_1", project=Project(name="One")))
    unit.deliver(unit.new_delivery_id(), "ping", b"payload")
    assert await stage.counts() == (0, 0, 0, 0)
    await unit.finish()
    assert await stage.counts() == (1, 1, 1, 0)


async def test_events_keep_their_order_and_say_what_they_are(stage: Stage) -> None:
    unit = unit_of(stage)
    for number in range(20):
        unit.announce(ProjectCreated(project_id=f"prj_{number}"))
    await unit.finish()
    rows = await stage.sql("SELECT key, topic, type, payload, headers, created_at FROM acme.outbox ORDER BY id")
    assert [row["key"] for row in rows] == [f":prj_{number}" for number in range(20)]
    assert (rows[0]["topic"], rows[0]["type"]) == ("acme.projects.events", "acme.projects.v1.ProjectCreated")
    assert stage.avro.decode(bytes(rows[0]["payload"])).project_id == "prj_0"
    assert rows[0]["headers"] == {
        "request_id": "",
        "traceparent": "",
        "principal_kind": "service",
        "principal_id": "things",
    }
    assert abs((rows[0]["created_at"] - stage.clock.now()).total_seconds()) < 60


async def test_a_unit_that_leaves_writes_nothing(stage: Stage) -> None:
    unit = unit_of(stage)
    await unit.execute(INSERT, "one")
    unit.announce(ProjectCreated(project_id="prj_1"))
    await unit.leave(ValueError())
    assert await stage.counts() == (0, 0, 0, 0)
    assert await in_transaction(stage) == 0


async def test_a_unit_without_statements_borrows_no_connection(stage: Stage) -> None:
    class Nobody:
        """A database that nobody may ask for anything."""

        def connection(self, call: Any = None) -> Any:
            raise AssertionError("a connection was asked for")

        alone = connection

        def queue(self) -> tuple[int, int]:
            return 0, 0

        async def close(self) -> None: ...

    unit = Scope(stage.factory(Nobody()).service, Work.MANUAL).open()
    await unit.finish()


async def test_statements_at_the_same_time_are_refused(stage: Stage) -> None:
    unit = unit_of(stage)
    results = await asyncio.gather(
        unit.fetchval("SELECT 1 FROM pg_sleep(0.01)"), unit.fetchval("SELECT 2"), return_exceptions=True
    )
    assert results[0] == 1
    assert isinstance(results[1], RuntimeError)
    assert "one after the other" in str(results[1])
    await unit.leave(results[1])


async def test_after_a_failed_statement_a_unit_can_only_roll_back(stage: Stage) -> None:
    unit = unit_of(stage)
    await unit.execute(INSERT, "one")
    with pytest.raises(Exception, match="nowhere"):
        await unit.fetch("SELECT * FROM nowhere")
    with pytest.raises(RuntimeError, match="failed"):
        await unit.fetch("SELECT 1")
    with pytest.raises(RuntimeError, match="failed"):
        await unit.finish()
    assert await stage.counts() == (0, 0, 0, 0)
    assert await in_transaction(stage) == 0


@pytest.mark.parametrize("ended", ["finished", "left"])
async def test_nothing_can_be_done_in_a_unit_that_has_ended(stage: Stage, ended: str) -> None:
    unit = unit_of(stage)
    await (unit.finish() if ended == "finished" else unit.leave(ValueError()))
    with pytest.raises(RuntimeError, match="ended"):
        await unit.fetch("SELECT 1")
    with pytest.raises(RuntimeError, match="ended"):
        unit.announce(ProjectCreated(project_id="prj_1"))
    with pytest.raises(RuntimeError, match="ended"):
        unit.deliver("dlv_1", "ping", b"")


async def test_a_connection_lost_while_committing_leaves_the_outcome_unknown(stage: Stage) -> None:
    unit = unit_of(stage)
    pid = await unit.fetchval("SELECT pg_backend_pid()")
    await stage.value("SELECT pg_terminate_backend($1, 5000)", pid)
    with pytest.raises(Unavailable) as caught:
        await unit.finish()
    assert caught.value.reason == "outcome_unknown"
    assert await stage.value("SELECT 1") == 1


async def test_leaving_after_the_connection_was_lost_raises_nothing(stage: Stage) -> None:
    unit = unit_of(stage)
    pid = await unit.fetchval("SELECT pg_backend_pid()")
    await stage.value("SELECT pg_terminate_backend($1, 5000)", pid)
    await unit.leave(ValueError())
    assert await stage.value("SELECT 1") == 1


async def test_a_delivery_of_an_undeclared_kind_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="things declares no delivery of kind 'pong'"):
        unit_of(stage).deliver("dlv_1", "pong", b"")


async def test_a_payload_is_sealed_before_it_is_written(stage: Stage) -> None:
    unit = unit_of(stage)
    unit.deliver("dlv_1", "ping", b"a secret token")
    await unit.finish()
    payload = await stage.value("SELECT payload FROM acme.deliveries")
    assert b"secret" not in payload
    assert stage.cipher.open("deliveries", payload, b"dlv_1") == b"a secret token"
