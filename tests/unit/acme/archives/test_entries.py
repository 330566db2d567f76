"""Entries come back as they were written, and a file that contradicts itself is damaged."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from acme.archives import Damaged, Entry, Layout, Stretch
from acme.codec.avro import UnknownSchema
from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Decision, Outcome
from acme.contracts.projects.v1 import Project, ProjectCreated
from tests.archives import AVRO, MESSAGE
from tests.services import CONTRACTS

LAYOUT = Layout(AVRO, MESSAGE)
RECORD = AuditRecord(
    id="aud_1",
    occurred_at=datetime(2026, 11, 22, 10, 0, 0, 123456, UTC),
    category=Category.WRITE,
    outcome=Outcome.DENIED,
    actor=Actor(kind="user", id="usr_1"),
    decisions=[Decision(permission="projects.read", granted=True)],
    changes=["name", "café"],
    count=3,
)


def entry(offset: int, message: Any = RECORD, **said: Any) -> Entry:
    fields = {"timestamp": 1_790_000_000_123, "id": f"evt_{offset}", "key": b"k", "type": MESSAGE.name, "raw": None}
    return Entry(**{"offset": offset, "message": message, **fields, **said})


def test_entries_come_back_as_they_were() -> None:
    entries = [entry(10), entry(11, None, raw=b"\0garbage", key=None, type=""), entry(13, None)]
    content = LAYOUT.write(4, 10, 20, [Stretch(12, 13), Stretch(14, 20, "lost")], entries)
    opened = LAYOUT.read(content)
    assert list(opened.entries) == entries
    assert (opened.span.partition, opened.span.start, opened.span.next) == (4, 10, 20)
    assert opened.span.gaps == (Stretch(12, 13), Stretch(14, 20, "lost"))
    assert list(opened.leaves) == [LAYOUT.encode(each) for each in entries]
    assert content == Layout(AVRO, MESSAGE).write(4, 10, 20, opened.span.gaps, opened.entries)


def test_any_tool_that_knows_avro_reads_the_messages() -> None:
    content = LAYOUT.write(0, 0, 2, [], [entry(0), entry(1, None, raw=b"x")])
    one, other = [each for each in fastavro.reader(io.BytesIO(content)) if isinstance(each, dict)]
    assert one["timestamp"] == datetime.fromtimestamp(1_790_000_000.123, UTC)
    assert one["message"]["occurred_at"] == RECORD.occurred_at
    assert one["message"]["outcome"] == "OUTCOME_DENIED"
    assert (other["message"], other["raw"]) == (None, b"x")


def test_a_file_may_hold_nothing_but_a_gap() -> None:
    opened = LAYOUT.read(LAYOUT.write(0, 5, 9, [Stretch(5, 9, "lost")], []))
    assert (opened.entries, opened.span.next) == ((), 9)


@pytest.mark.parametrize(
    ("start", "following", "gaps", "offsets"),
    [
        (0, 3, [], [0, 2]),
        (0, 3, [], [0, 1]),
        (0, 2, [], [0, 1, 2]),
        (1, 3, [], [0, 1, 2]),
        (0, 2, [], [1, 0]),
        (0, 2, [], [0, 0]),
        (0, 3, [Stretch(1, 3)], [0, 1, 2]),
        (0, 3, [Stretch(1, 1)], [0, 1, 2]),
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_damaged(
    start: int, following: int, gaps: list[Stretch], offsets: list[int]
) -> None:
    content = LAYOUT.write(0, start, following, gaps, [entry(offset) for offset in offsets])
    with pytest.raises(Damaged):
        LAYOUT.read(content)


def test_another_topics_file_is_damaged() -> None:
    other = Layout(AVRO, CONTRACTS.message_of(ProjectCreated))
    with pytest.raises(Damaged, match="another topic"):
        LAYOUT.read(other.write(0, 0, 0, [], []))


def test_a_schema_that_is_not_known_here_is_said_to_be() -> None:
    content = LAYOUT.write(0, 0, 0, [], [])
    digits = str(LAYOUT.schema_id).encode()
    changed = content.replace(digits, b"1" * len(digits))
    assert changed != content
    with pytest.raises(UnknownSchema):
        LAYOUT.read(changed)


def test_a_schema_that_is_not_the_one_of_its_id_is_damaged() -> None:
    content = LAYOUT.write(0, 0, 1, [], [entry(0)])
    changed = content.replace(b'"trace_id"', b'"trace_ip"')
    assert changed != content
    with pytest.raises(Damaged, match="not the one"):
        LAYOUT.read(changed)


def test_only_events_are_archived() -> None:
    with pytest.raises(ValueError, match="no event"):
        Layout(AVRO, CONTRACTS.message_of(Project))
