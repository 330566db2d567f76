"""Events as records of the bus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from acme.bus import record as records
from acme.bus.record import record
from acme.ports import Record

PAYLOAD = b"\x00\x00\x00\x01\x02avro"
"""Written with schema 258."""
SAID = {
    "request_id": "req_1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "principal_kind": "user",
    "principal_id": "usr_1",
}


def made(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "source": "/local/projects",
        "event_id": "evt_1",
        "topic": "acme.projects.events",
        "key": "org_1:prj_1",
        "kind": "acme.projects.v1.ProjectCreated",
        "payload": PAYLOAD,
        "said": SAID,
        "at": datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
    }
    return record(**{**fields, **changes})


def test_key_and_value_are_as_they_stood_in_the_outbox() -> None:
    one = made()
    assert (one.topic, one.key, one.value, one.id) == ("acme.projects.events", b"org_1:prj_1", PAYLOAD, "evt_1")


def test_headers_are_cloudevents_in_kafkas_binary_mode_and_who_caused_it() -> None:
    assert made().headers == (
        ("content-type", b"application/avro"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt_1"),
        ("ce_source", b"/local/projects"),
        ("ce_type", b"acme.projects.v1.ProjectCreated"),
        ("ce_time", b"2026-01-02T03:04:05.678901Z"),
        ("ce_partitionkey", b"org_1:prj_1"),
        ("ce_dataschema", b"/schemas/ids/258"),
        ("ce_traceparent", SAID["traceparent"].encode()),
        ("traceparent", SAID["traceparent"].encode()),
        ("acme_request_id", b"req_1"),
        ("acme_principal_kind", b"user"),
        ("acme_principal_id", b"usr_1"),
    )


def test_the_time_is_utc_with_microseconds_whatever_zone_it_came_in() -> None:
    moment = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    one = made(at=moment)
    assert dict(one.headers)[records.TIME] == b"2026-01-02T03:04:05.000000Z"
    assert one.timestamp == 1_767_323_045_000


def test_the_records_own_time_is_in_whole_milliseconds() -> None:
    assert made().timestamp % 1000 == 678


def test_what_nobody_requested_and_nobody_traces_has_no_such_headers() -> None:
    said = {"request_id": "", "traceparent": "", "principal_kind": "service", "principal_id": "projects"}
    headers = dict(made(said=said).headers)
    assert not headers.keys() & {records.REQUEST_ID, records.TRACEPARENT, "ce_traceparent"}
    assert (headers[records.PRINCIPAL_KIND], headers[records.PRINCIPAL_ID]) == (b"service", b"projects")


def test_nothing_else_that_a_unit_of_work_said_travels_in_headers() -> None:
    assert made(said={**SAID, "email": "ann@example.com"}).headers == made().headers


def test_headers_are_utf_8() -> None:
    assert dict(made(key="org_1:prj_ä").headers)[records.KEY] == "org_1:prj_ä".encode()
