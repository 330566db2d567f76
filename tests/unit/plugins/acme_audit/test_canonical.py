"""Records as bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from acme_audit import canonical
from acme_audit.canonical import EPOCH, FIRST
from hypothesis import given
from hypothesis import strategies as st

from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Decision, Outcome, Target
from acme.errors import Refused

NOON = datetime(2026, 1, 31, 12, 0, 0, 1, UTC)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
RECORDS = st.builds(
    AuditRecord,
    id=TEXTS,
    organization_id=TEXTS,
    region=TEXTS,
    occurred_at=TIMES,
    action=TEXTS,
    category=st.sampled_from(Category),
    outcome=st.sampled_from(Outcome),
    reason=TEXTS,
    actor=st.builds(Actor, kind=TEXTS, id=TEXTS, session_id=TEXTS, service=TEXTS),
    decisions=st.lists(
        st.builds(Decision, permission=TEXTS, resource=TEXTS, role=TEXTS, granted=st.booleans()), max_size=3
    ),
    targets=st.lists(st.builds(Target, kind=TEXTS, id=TEXTS), max_size=3),
    changes=st.lists(TEXTS, max_size=3),
    request_id=TEXTS,
    trace_id=TEXTS,
    service=TEXTS,
    service_version=TEXTS,
    event_ids=st.lists(TEXTS, max_size=3),
    count=st.integers(0, 2**53 - 1),
    last_at=st.none() | TIMES,
    subject_id=TEXTS,
)


def written(record: AuditRecord, address: str = "") -> bytes:
    return canonical.canonical(
        record, log="us-east/org_1", sequence=7, previous=FIRST, recorded_at=NOON, address=address
    )


@given(RECORDS, TEXTS)
def test_every_record_comes_back_as_it_was_written(record: AuditRecord, address: str) -> None:
    content = written(record, address)
    kept = canonical.read(content)
    assert (kept.log, kept.sequence, kept.previous, kept.recorded_at) == ("us-east/org_1", 7, "00" * 32, NOON)
    record.address = address
    assert canonical.record_of(kept, kept.address) == record


@given(RECORDS)
def test_the_bytes_are_canonical_and_say_the_same_every_time(record: AuditRecord) -> None:
    content = written(record)
    assert rfc8785.dumps(json.loads(content)) == content == written(record)


def test_the_bytes_of_a_small_record_are_these() -> None:
    record = AuditRecord(id="aud_1", occurred_at=NOON, outcome=Outcome.DENIED, targets=[Target(kind="prj", id="é\n")])
    assert written(record).decode() == (
        '{"category":"CATEGORY_UNSPECIFIED","id":"aud_1","log":"us-east/org_1","occurred_at":"2026-01-31T12:00:00.000001Z",'
        '"outcome":"OUTCOME_DENIED","previous":"' + "00" * 32 + '","recorded_at":"2026-01-31T12:00:00.000001Z",'
        '"sequence":7,"targets":[{"id":"é\\n","kind":"prj"}]}'
    )


def test_times_are_utc_with_six_digits() -> None:
    assert canonical.moment(EPOCH) == "1970-01-01T00:00:00.000000Z"
    assert canonical.moment(NOON.astimezone(timezone(timedelta(hours=5)))) == "2026-01-31T12:00:00.000001Z"


@pytest.mark.parametrize("record", [AuditRecord(count=2**53), AuditRecord(action="\ud800")])
def test_what_json_cannot_say_is_refused(record: AuditRecord) -> None:
    with pytest.raises(ValueError, match=r"domain|codepoints"):
        written(record)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"id":1}', b"\xff"])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        canonical.read(content)
    assert not isinstance(caught.value, Refused)
