"""Messages on their way into the outbox."""

from __future__ import annotations

import json

import pytest

from acme.codec.avro import Avro
from acme.context import Call, Kind, Principal
from acme.contracts.projects.v1 import Project, ProjectCreated
from acme.contracts.users.v1 import UserUpdated
from acme.work.outbox import LARGEST, Outbox, headers
from tests.services import CONTRACTS


@pytest.fixture(scope="module")
def avro() -> Avro:
    return Avro(CONTRACTS)


@pytest.fixture(scope="module")
def outbox(avro: Avro) -> Outbox:
    return Outbox(CONTRACTS, avro)


def test_an_event_becomes_a_row_with_id_topic_key_type_and_avro(outbox: Outbox, avro: Avro) -> None:
    event = ProjectCreated(project_id="prj_1", project=Project(name="One", organization_id="org_1"))
    row = outbox.row(event, "evt_1")
    assert row[:4] == ("evt_1", "acme.projects.events", "org_1:prj_1", "acme.projects.v1.ProjectCreated")
    assert avro.decode(row.payload) == event
    assert row.organization == "org_1"


def test_an_event_of_no_organisation_has_a_key_that_says_so(outbox: Outbox) -> None:
    row = outbox.row(UserUpdated(user_id="usr_1"), "evt_1")
    assert (row.key, row.organization) == (":usr_1", "")


def test_an_event_whose_organisation_is_absent_belongs_to_none(outbox: Outbox) -> None:
    assert outbox.row(ProjectCreated(project_id="prj_1"), "evt_1").key == ":prj_1"


def test_an_event_is_encoded_when_it_is_added(outbox: Outbox, avro: Avro) -> None:
    event = ProjectCreated(project_id="prj_1")
    row = outbox.row(event, "evt_1")
    event.project_id = "prj_2"
    assert avro.decode(row.payload).project_id == "prj_1"


def test_a_message_that_is_no_event_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match=r"acme\.projects\.v1\.Project is no event"):
        outbox.row(Project(), "evt_1")


def test_an_event_without_a_key_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="orders by project_id, which is empty"):
        outbox.row(ProjectCreated(), "evt_1")


def test_what_avro_cannot_carry_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="version"):
        outbox.row(ProjectCreated(project_id="prj_1", project=Project(version=2**70)), "evt_1")


def test_an_event_that_no_bus_would_take_is_refused_without_its_content(outbox: Outbox) -> None:
    def of(size: int) -> ProjectCreated:
        return ProjectCreated(project_id="prj_1", project=Project(name="x" * size))

    overhead = len(outbox.row(of(900_000), "evt_1").payload) - 900_000
    assert len(outbox.row(of(LARGEST - overhead), "evt_1").payload) == LARGEST
    with pytest.raises(ValueError, match=r"acme\.projects\.v1\.ProjectCreated has 1000001 bytes") as caught:
        outbox.row(of(LARGEST - overhead + 1), "evt_1")
    assert "xxx" not in str(caught.value)


def test_the_headers_say_who_caused_an_event_in_which_request() -> None:
    call = Call("a.B/C", Principal(Kind.USER, "usr_1"), "req_1", 0.0, traceparent="00-t")
    assert json.loads(headers(call, "things")) == {
        "request_id": "req_1",
        "traceparent": "00-t",
        "principal_kind": "user",
        "principal_id": "usr_1",
    }


def test_outside_of_a_call_the_service_itself_causes_an_event() -> None:
    said = json.loads(headers(None, "things"))
    assert (said["principal_kind"], said["principal_id"], said["request_id"]) == ("service", "things", "")
