"""Reading the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from acme_projects import plugin as projects_plugin

from acme.codec.avro import Avro
from acme.contract import load
from acme.contracts.projects.v1 import CreateProjectRequest, Project, ProjectCreated, ProjectsStub, ProjectUpdated
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing.databases import FreshDatabase
from acme.testing.outbox import Outbox


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [projects_plugin]


async def test_events_are_decoded_in_the_order_they_were_published_in(database: FreshDatabase) -> None:
    made = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    events: list[ProjectCreated | ProjectUpdated] = [
        ProjectCreated(project_id="prj_1", project=Project(id="prj_1", created_at=made, labels={"a": "b"}, version=1)),
        ProjectCreated(project_id="prj_2"),
        ProjectUpdated(project_id="prj_1", project=Project(id="prj_1", version=2)),
    ]
    contracts = load("acme.contracts")
    avro = Avro(contracts)
    for number, event in enumerate(events):
        await database.execute(
            "INSERT INTO acme.outbox (event_id, topic, key, type, payload, headers, created_at)"
            " VALUES ($1, 't', $2, $3, $4, '{}', $5)",
            f"evt_{number}",
            f"org_1:{event.project_id}",
            f"acme.projects.v1.{type(event).__name__}",
            avro.encoder(contracts.message_of(type(event)))(event),
            made,
        )
    outbox = Outbox(contracts)
    assert await outbox.read(database) == events
    assert await outbox.read(database, key="prj_1") == [events[0], events[2]]


async def test_audit_records_are_read_apart_from_events(platform: Platform) -> None:
    ada, mark = platform.somebody(), 0
    stub = platform.stub(ProjectsStub, as_=ada)
    for name in ("Atlas", "Apollo"):
        made = await stub.create_project(CreateProjectRequest(name=name))
        records, mark = await platform.audited("projects", after=mark)
        assert [[target.id for target in record.targets] for record in records] == [[made.id]]
    assert len(await platform.outbox("projects")) == 2
