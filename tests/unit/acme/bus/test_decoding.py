"""Records are told apart by their headers, and decoded only where they are wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from acme.bus.decoding import Reader
from acme.codec.avro import Avro
from acme.contracts.projects.v1 import ProjectArchived, ProjectCreated
from acme.contracts.users.v1 import User, UserCreated
from acme.plugin import Consumer
from acme.ports import Received
from tests.services import CONTRACTS

AVRO = Avro(CONTRACTS)


async def nothing(resources: object, event: object) -> None:
    """A handler."""


def reader(*messages: type) -> Reader:
    return Reader(Consumer("ear", messages, nothing), CONTRACTS, AVRO)


def received(message: object, **headers: bytes) -> Received:
    payload = AVRO.encoder(CONTRACTS.message_of(type(message)))(message)
    return Received("acme.projects.events", 1, 2, b"org_1:prj_1", payload, tuple(headers.items()), 1_700_000_000_123)


def test_a_consumer_listens_to_the_topics_of_what_it_wants() -> None:
    assert reader(UserCreated, ProjectCreated).topics == ("acme.projects.events", "acme.users.events")


def test_a_consumer_of_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the consumer ear wants acme\.users\.v1\.User, which is no event"):
        reader(User)


def test_the_type_in_the_header_decides_without_a_look_inside() -> None:
    record = replace(received(ProjectCreated()), value=b"garbage")
    named = replace(record, headers=(("ce_type", b"acme.projects.v1.ProjectArchived"),))
    assert reader(ProjectCreated).wanted(named) is None
    assert reader(ProjectArchived).wanted(named) is not None
    assert reader(ProjectCreated).wanted(record) is not None  # it does not say, so one has to look
    assert reader(ProjectCreated).wanted(replace(record, value=None)) is None


def test_a_record_without_headers_is_an_event_all_the_same() -> None:
    mine = reader(ProjectCreated)
    mail = mine.wanted(received(ProjectCreated(project_id="prj_1")))
    assert mail is not None
    event = mine.read(mail)
    assert event is not None
    assert (event.id, event.source, event.request_id) == ("acme.projects.events/1/2", "", "")
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)
    assert (event.organization, event.aggregate) == ("org_1", "prj_1")


def test_what_turns_out_not_to_be_wanted_is_passed_over_and_what_lies_is_refused() -> None:
    mine = reader(ProjectCreated)
    silent = mine.wanted(received(ProjectArchived(project_id="prj_1")))
    assert silent is not None
    assert mine.read(silent) is None
    lies = mine.wanted(received(ProjectArchived(project_id="prj_1"), ce_type=b"acme.projects.v1.ProjectCreated"))
    assert lies is not None
    with pytest.raises(ValueError, match="not what its header says"):
        mine.read(lies)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (b"2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
        (b"2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        (b"yesterday", datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)),
    ],
)
def test_the_time_is_the_events_own_where_it_can_be_read(time: bytes, expected: datetime) -> None:
    mine = reader(ProjectCreated)
    mail = mine.wanted(received(ProjectCreated(project_id="prj_1"), ce_time=time))
    assert mail is not None
    event = mine.read(mail)
    assert event is not None
    assert event.occurred_at == expected


@pytest.mark.parametrize(("key", "parks"), [(None, False), (b"", False), (b"k", True), (b"k" * 1001, False)])
def test_a_key_parks_where_there_is_one_that_an_index_can_hold(key: bytes | None, parks: bool) -> None:
    mail = reader(ProjectCreated).wanted(replace(received(ProjectCreated()), key=key))
    assert mail is not None
    assert mail.parks is parks


def test_an_id_that_no_index_can_hold_is_none() -> None:
    mail = reader(ProjectCreated).wanted(received(ProjectCreated(), ce_id=b"e" * 201))
    assert mail is not None
    assert mail.event_id == "acme.projects.events/1/2"


def test_a_time_beyond_the_calendar_gives_way_to_when_the_record_was_sent() -> None:
    mine = reader(ProjectCreated)
    mail = mine.wanted(received(ProjectCreated(), ce_time=b"0001-01-01T00:00:00+14:00"))
    assert mail is not None
    event = mine.read(mail)
    assert event is not None
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)


@pytest.mark.parametrize("sent", [2**63 - 1, -(2**63), 10**15])
def test_a_record_that_was_sent_at_no_time_cannot_be_decoded(sent: int) -> None:
    mine = reader(ProjectCreated)
    mail = mine.wanted(replace(received(ProjectCreated()), timestamp=sent))
    assert mail is not None
    with pytest.raises(ValueError, match=r"timestamp|year"):
        mine.read(mail)
